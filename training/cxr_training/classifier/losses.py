"""The loss of a multi-label reader under imbalance: three published forms, one of them used.

Which one the recipe takes is decided by the ablation (docs/results/classifier). The two that
weight positives up move the probabilities away from the prevalence; calibration brings them back.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cxr_training.classifier.config import LossName
from cxr_training.classifier.samples import UNJUDGED

# Ridnik et al., ICCV 2021, their setting for multi-label images.
_FOCUS_NEGATIVE = 4.0
_FOCUS_POSITIVE = 1.0
_MARGIN = 0.05
# Hernia has one positive in three hundred images: its full weight would drown every other label.
_LARGEST_POSITIVE_WEIGHT = 30.0

# Elementwise: logits [N, L] and targets [N, L] of 0 and 1 to losses [N, L].
ElementLoss = Callable[[Tensor, Tensor], Tensor]


def element_loss(name: LossName, targets: Tensor) -> ElementLoss:
    """The loss called `name`.

    Args:
        name: `binary_cross_entropy`; `balanced`, the same with positives weighted by negatives
            per positive (at most 30); `asymmetric` (Ridnik et al. 2021).
        targets: of all training images, [N, L] of 0, 1 and `UNJUDGED`; only `balanced` counts.
    """
    if name == "asymmetric":
        return _asymmetric
    if name == "balanced":
        positives = (targets == 1).sum(dim=0).clamp(min=1)
        negatives = (targets == 0).sum(dim=0)
        weight = (negatives / positives).clamp(max=_LARGEST_POSITIVE_WEIGHT)

        def balanced(logits: Tensor, targets: Tensor) -> Tensor:
            return functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weight.to(logits.device), reduction="none"
            )

        return balanced
    return _cross_entropy


def judged_loss(
    logits: Tensor, targets: Tensor, label_weights: Tensor, loss: ElementLoss | None = None
) -> Tensor:
    """Mean loss, weighted by label [L], nothing where a target is `UNJUDGED`."""
    each = (loss or _cross_entropy)(logits, targets.clamp(min=0.0))
    return (each * (targets != UNJUDGED) * label_weights).mean()


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _asymmetric(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    # Negatives below the margin are easy enough to cost nothing at all.
    shifted = (p - _MARGIN).clamp(min=0)
    positive = (1 - p) ** _FOCUS_POSITIVE * functional.logsigmoid(logits)
    negative = shifted**_FOCUS_NEGATIVE * torch.log1p(-shifted.clamp(max=1 - 1e-6))
    return -(targets * positive + (1 - targets) * negative)
