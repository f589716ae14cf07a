"""Real or synthetic? Two classifiers that are trained to tell, each tested on images unseen.

A half right is what guessing gives; the more they tell, the less real the images are. A probe on
features misses what features leave out, e.g. a lattice of single pixels; the one on pixels does
not.
"""

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cxr_classifier.preprocessing import to_canonical
from cxr_gan.evaluation.features import Features
from cxr_gan.generator import Images

Correct = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.str_]
LARGEST_PX = 64
_FOLDS = 3
# Fewer leave it at a guess on images that anyone tells apart (ADR 0015).
_EPOCHS = 24
_BATCH, _LARGE_BATCH = 64, 256
_RATE = 4e-3
# Strong: there are nearly as many features as images.
_INVERSE_PENALTY = 1e-3


def linear_probe(features: Features, synthetic: Correct, groups: Groups) -> Correct:
    """Whether a logistic regression on features [n, d] is right about each image, [n].

    No patient of `groups` is both learnt from and tested on.
    """
    right = np.zeros(len(features), bool)
    for train, test in GroupKFold(_FOLDS).split(features, synthetic, groups):
        regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=200)
        probe = make_pipeline(StandardScaler(), regression).fit(features[train], synthetic[train])
        right[test] = probe.predict(features[test]) == synthetic[test]
    return right


def pixel_probe(images: Images, synthetic: Correct, groups: Groups, seed: int) -> Correct:
    """The same of a small convolutional network on the pixels, at 64 px at most."""
    side = min(images.shape[1], LARGEST_PX)
    small = np.stack([to_canonical(np.asarray(image), side) for image in images])
    pixels = torch.from_numpy(small).float()[:, None] / 127.5 - 1
    targets = torch.from_numpy(synthetic).float()
    right = np.zeros(len(images), bool)
    for fold, (train, test) in enumerate(GroupKFold(_FOLDS).split(small, synthetic, groups)):
        network = _trained(pixels[train], targets[train], (seed, fold))
        with torch.inference_mode():
            logits = torch.cat([network(some) for some in torch.split(pixels[test], _LARGE_BATCH)])
        right[test] = (logits[:, 0] > 0).numpy() == synthetic[test]
    return right


def _trained(pixels: Tensor, targets: Tensor, seed: tuple[int, int]) -> nn.Module:
    chosen = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chosen)
        # Normalised by group: a batch of real and synthetic images normalised as one would let
        # the answer on an image depend on its company.
        stages = [
            layer
            for n_in, n_out in ((1, 16), (16, 32), (32, 64))
            for layer in (
                nn.Conv2d(n_in, n_out, 3, stride=2, padding=1),
                nn.GroupNorm(4, n_out),
                nn.ReLU(inplace=True),
            )
        ]
        network = nn.Sequential(*stages, _Mean(), nn.Linear(64, 1))
    shuffling = torch.Generator().manual_seed(chosen)
    steps = _EPOCHS * -(-len(pixels) // _BATCH)
    optimiser = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(pixels), generator=shuffling), _BATCH):
            logits = network(pixels[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return network.eval()


class _Mean(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))
