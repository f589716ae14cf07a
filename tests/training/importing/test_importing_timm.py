"""A timm checkpoint becomes our network with the logits that timm gives, or is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Finding
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import adopt
from cxr_training.importing.sources import Description, read_description, read_timm
from support.images import radiograph_like

NETWORK = "test_resnet"  # timm's own, of 0.5 million weights
NAMES = ["Fracture", *reversed([finding.value for finding in Finding])]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
IMAGES = [radiograph_like(96, 96, seed=seed) for seed in range(3)]


def network(name: str = NETWORK, channels: int = 3, outputs: int = len(NAMES)) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = timm.create_model(name, num_classes=outputs, in_chans=channels)
    return made.eval()


def save(module: nn.Module, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return path


def labels(folder: Path, names: list[str] | None = None) -> Path:
    path = folder / "labels.csv"
    path.write_text("label\n" + "".join(f"{name}\n" for name in names or NAMES))
    return path


def timm_logits(module: nn.Module, mean: Any, std: Any) -> Tensor:
    """What timm says of the images in colour, the fourteen findings in our order."""
    grey = torch.from_numpy(np.stack(IMAGES)).float()[:, None] / 255
    channels = len(mean)
    mean, std = (torch.tensor(values).reshape(1, channels, 1, 1) for values in (mean, std))
    with torch.inference_mode():
        logits: Tensor = module((grey.expand(-1, channels, -1, -1) - mean) / std)
    return logits[:, [NAMES.index(finding.value) for finding in Finding]]


def our_logits(path: Path, folder: Path, **options: Any) -> Tensor:
    foreign = read_timm(path, Description(NETWORK), labels=labels(folder), size_px=96, **options)
    inputs = np.stack([preprocess(grey, foreign.spec) for grey in IMAGES])
    with torch.inference_mode():
        logits, _ = adopt(foreign).network(torch.from_numpy(inputs))
    return logits


@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (3, {}),
        (3, {"mean": [0.5], "std": [0.25]}),
        (3, IMAGENET),
        (1, {"mean": [0.5], "std": [0.25]}),
    ],
)
def test_the_logits_are_timms_own(tmp_path: Path, channels: int, options: Any) -> None:
    module = network(channels=channels)
    own: Any = timm.get_pretrained_cfg(NETWORK)
    known = options or {"mean": own.mean, "std": own.std}
    used = {key: [*values] * (channels // len(values)) for key, values in known.items()}
    expected = timm_logits(module, **used)
    found = our_logits(save(module, tmp_path), tmp_path, **options)
    assert float((found - expected).abs().max()) < 1e-4
    assert float(expected.std()) > 1e-3, "the random network says the same of everything"


@pytest.mark.parametrize(
    ("make", "name", "options", "reason"),
    [
        (
            lambda: network(channels=1),
            NETWORK,
            IMAGENET,
            "mean: 3 values for 1 channels",
        ),
        (lambda: network(channels=2), NETWORK, {}, "takes images of 2 channels"),
        (network, NETWORK, {"std": [0.0]}, "a standard deviation is above zero"),
        (network, "no_such_network", {}, "timm has no model 'no_such_network'"),
        (network, "resnet18", {}, r"has no conv1\.weight"),
        (lambda: network("densenet121"), "densenet161", {}, "does not fill densenet161"),
        (lambda: network(outputs=14), NETWORK, {}, "does not fill test_resnet with 15 outputs"),
        (lambda: network("test_convnext"), "test_convnext", {}, "more than a linear layer"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, make: Callable[[], nn.Module], name: str, options: Any, reason: str
) -> None:
    path = save(make(), tmp_path)
    with pytest.raises(ModelImportError, match=reason):
        adopt(read_timm(path, Description(name), labels=labels(tmp_path), **options))


def test_outputs_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelImportError, match="give --labels"):
        read_timm(save(network(), tmp_path), Description(NETWORK))


def test_what_timm_writes_beside_weights_is_obeyed(tmp_path: Path) -> None:
    config = {
        "architecture": NETWORK,
        "model_args": {"drop_rate": 0.1},
        "label_names": NAMES,
        "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 128, 128]},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    foreign = read_timm(save(network(), tmp_path), read_description(path))
    assert foreign.spec.width_px == 128
    assert foreign.architecture.arguments == {
        "drop_rate": 0.1,
        "in_chans": 3,
        "channel_mean": [0.5] * 3,
        "channel_std": [0.5] * 3,
    }
    assert [output.label for output in foreign.outputs] == NAMES


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"architecture": "x", "model_args": 3}'])
def test_a_configuration_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ModelImportError, match="not a configuration that timm wrote"):
        read_description(path)
