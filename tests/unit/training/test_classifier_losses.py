"""The three losses: what each one weighs, and that a label left unjudged costs nothing."""

import pytest
import torch
from torch.nn import functional

from cxr_training.classifier.config import LossName
from cxr_training.classifier.losses import element_loss, judged_loss
from cxr_training.classifier.samples import UNJUDGED

LOGITS = torch.tensor([[2.0, -1.0], [0.5, -3.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


# Not a token, a test's name.
# pragma: allowlist nextline secret
def test_the_balanced_loss_weighs_a_positive_by_the_negatives_it_stands_against() -> None:
    seen = torch.tensor([[1.0, 0.0]] + [[0.0, 0.0]] * 4 + [[UNJUDGED, 1.0]])
    balanced = element_loss("balanced", seen)(LOGITS, TARGETS)
    plain = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS, reduction="none")
    torch.testing.assert_close(balanced / plain, torch.tensor([[4.0, 1.0], [1.0, 5.0]]))


def test_a_label_without_a_positive_does_not_weigh_without_limit() -> None:
    seen = torch.zeros(1000, 2)
    balanced = element_loss("balanced", seen)(LOGITS, TARGETS)
    plain = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS, reduction="none")
    assert float((balanced / plain).max()) == pytest.approx(30.0)


def test_the_asymmetric_loss_forgets_easy_negatives_and_keeps_positives() -> None:
    loss = element_loss("asymmetric", TARGETS)
    logits = torch.tensor([[-4.0], [3.0]])
    negatives = loss(logits, torch.zeros(2, 1))
    assert negatives[0] == 0  # a probability of 0.018 lies within the margin
    assert negatives[1] > 1
    positives = loss(logits, torch.ones(2, 1))
    assert positives[0] > 3
    assert torch.isfinite(loss(torch.tensor([[80.0], [-80.0]]), torch.zeros(2, 1))).all()


@pytest.mark.parametrize("name", ["binary_cross_entropy", "balanced", "asymmetric"])
def test_an_unjudged_target_moves_nothing(name: LossName) -> None:
    targets = torch.tensor([[1.0, UNJUDGED], [0.0, 1.0]])
    logits = LOGITS.clone().requires_grad_()
    loss = judged_loss(logits, targets, torch.ones(2), element_loss(name, TARGETS))
    [gradient] = torch.autograd.grad(loss, [logits])
    assert gradient[0, 1] == 0
    assert (gradient[[0, 1, 1], [0, 0, 1]] != 0).all()
