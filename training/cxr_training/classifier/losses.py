"""What a training of the classifier makes small: losses of labels, of further answers, of maps."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cxr_training.classifier.config import Training
from cxr_training.classifier.samples import MASKED, Samples, masked_targets
from cxr_training.classifier.supervision import UNKNOWN
from cxr_training.data.splits import Split

# Of a label by its prevalence: 1 at `_COMMON`, before the mean of all is made 1.
_COMMON, _LEAST_WEIGHT, _LARGEST_WEIGHT = 0.08, 0.6, 3.0
# Radiologists' opacity and normality count twice.
_READ_WEIGHT = 2.0
_AGE_WEIGHT = 0.05


def masked_loss(logits: Tensor, targets: Tensor, label_weights: Tensor) -> Tensor:
    """Mean binary cross-entropy, weighted by label [L], nothing where a target is `MASKED`."""
    each = functional.binary_cross_entropy_with_logits(
        logits, targets.clamp(min=0.0), reduction="none"
    )
    return (each * (targets != MASKED) * label_weights).mean()


def label_weights(samples: Samples, training: Training, epoch: int) -> Tensor:
    """Of each label's loss in an epoch, the first is 1; float32 [L].

    By prevalence they follow its square root, within bounds: with the full inverse a handful of
    images would steer the network.
    """
    rules = training.within_source_in(epoch)
    own = torch.tensor([rule.weight if (rule := rules.get(x)) else 1.0 for x in samples.labels])
    if training.label_weights == "equal":
        return own
    sources = {label: rule.sources for label, rule in rules.items()}
    seen = masked_targets(samples, sources)[samples.rows(Split.TRAIN)] == 1
    prevalence = seen.mean(axis=0).clip(min=1e-6)
    rarer = np.sqrt(_COMMON / prevalence).clip(_LEAST_WEIGHT, _LARGEST_WEIGHT)
    return own * torch.tensor(rarer / rarer.mean(), dtype=torch.float32)


def auxiliary_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of the auxiliary head's outputs [B, A + 1] against rows of `Supervision.targets`."""
    answers, wanted = outputs[:, :-1], targets[:, :-1]
    weights = torch.ones(wanted.shape[1], device=outputs.device)
    weights[:2] = _READ_WEIGHT
    each = functional.binary_cross_entropy_with_logits(
        answers, wanted.clamp(min=0.0), reduction="none"
    )
    age, known = targets[:, -1].nan_to_num(), ~targets[:, -1].isnan()
    off = functional.smooth_l1_loss(outputs[:, -1], age, reduction="none")
    return (each * (wanted != UNKNOWN) * weights).mean() + _AGE_WEIGHT * (off * known).mean()


def pointing_loss(maps: Tensor, covered: Tensor) -> Tensor:
    """How little of each boxed map's softmax lies inside its boxes, summed; zero where all does.

    Args:
        maps: the usual place added, [B, 14, h, w].
        covered: `Supervision.covered` of each image, [B, 14, h, w].
    """
    boxed = covered.amax(dim=(2, 3)) > 0
    shares = maps[boxed].flatten(1).log_softmax(dim=1)
    inside = torch.logsumexp(shares + covered[boxed].flatten(1).clamp(min=1e-6).log(), dim=1)
    return -inside.sum()
