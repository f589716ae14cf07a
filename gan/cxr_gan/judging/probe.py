"""Real or synthetic? Two classifiers that are trained to tell, each answering on images unseen.

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
from cxr_gan.judging.extractor import Features, Images

Correct = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.str_]
Rows = npt.NDArray[np.int64]
LARGEST_PX = 64
_FOLDS = 3
# Fewer leave it at a guess on images that anyone tells apart (ADR 0015).
_EPOCHS = 24
_BATCH, _LARGE_BATCH = 64, 256
_RATE = 4e-3
# Strong: there are nearly as many features as images.
_INVERSE_PENALTY = 1e-3


def linear_probe(features: Features, synthetic: Correct, groups: Groups) -> Correct:
    """Whether a logistic regression on features is right about each image, [n].

    Args:
        features: [n, d] of real and synthetic images.
        synthetic: which are synthetic.
        groups: the patient of each; no patient is both learnt from and asked about.
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
            logits = torch.cat([network(pixels[some]) for some in _batches(test, _LARGE_BATCH)])
        right[test] = (logits[:, 0] > 0).numpy() == synthetic[test]
    return right


def _trained(pixels: Tensor, targets: Tensor, seed: tuple[int, int]) -> nn.Module:
    chosen = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chosen)
        network = nn.Sequential(
            *_stage(1, 16), *_stage(16, 32), *_stage(32, 64), _Mean(), nn.Linear(64, 1)
        )
    shuffling = torch.Generator().manual_seed(chosen)
    steps = _EPOCHS * -(-len(pixels) // _BATCH)
    optimiser = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(_EPOCHS):
        for rows in _batches(torch.randperm(len(pixels), generator=shuffling).numpy(), _BATCH):
            logits = network(pixels[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return network.eval()


def _batches(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _stage(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    # Normalised by group: a batch of real and synthetic images normalised as one would let the
    # answer on an image depend on its company.
    return (
        nn.Conv2d(n_in, n_out, 3, stride=2, padding=1),
        nn.GroupNorm(4, n_out),
        nn.ReLU(inplace=True),
    )


class _Mean(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        """[n, c] of [n, c, h, w]."""
        return features.mean((2, 3))
