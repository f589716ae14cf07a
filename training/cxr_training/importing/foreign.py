"""From the tensors of a foreign network to our own network over the fourteen findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import timm
import torch
from torch import Tensor, nn

from cxr_classifier.network import CamNetwork, build_member, load_weights
from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.importing.errors import ModelImportError
from cxr_training.importing.labels import Output, Selection, select
from cxr_training.importing.trial import probes

# Our maps' means against the network's own answer, relative to the largest of its answers.
_TOLERANCE = 1e-4
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ForeignNetwork:
    """Weights as they were found, and all that is known of them."""

    path: Path
    architecture: Architecture
    state: dict[str, Tensor]
    spec: InputSpec
    outputs: list[Output]
    named_by: str
    threshold_rule: str
    data: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """Our network with those weights, and the outputs that it kept."""

    network: CamNetwork
    selection: Selection


def adopt(foreign: ForeignNetwork) -> Adopted:
    """Fill our network with the weights, of the head those of the fourteen findings.

    Raises:
        ModelImportError: a finding has no output; a tensor is missing, surplus or of another
            shape; or the network computes more than a linear layer over the mean of its map.
    """
    selection = select(foreign.outputs, foreign.named_by, foreign.threshold_rule)
    try:
        whole = build_member(foreign.architecture, len(foreign.outputs))
        network = build_member(foreign.architecture, len(Finding))
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise ModelImportError(f"{foreign.architecture.name}: {error}") from error
    _fill(whole.backbone, foreign)
    head = f"{_name_of(whole.head, whole)}."
    state = {
        name: tensor[selection.rows] if name.startswith(head) else tensor
        for name, tensor in whole.state_dict().items()
    }
    load_weights(network, state)
    _check_answers(foreign, whole, network, selection)
    return Adopted(network, selection)


def stem_channels(architecture: str, state: Mapping[str, Tensor]) -> int:
    """How many channels the first convolution of a checkpoint takes.

    Raises:
        ModelImportError: timm does not know the architecture, or the checkpoint lacks its stem.
    """
    if not timm.is_model(architecture):
        raise ModelImportError(f"timm has no model {architecture!r}")
    configuration = timm.get_pretrained_cfg(architecture)
    stem = getattr(configuration, "first_conv", None)
    first = stem[0] if isinstance(stem, tuple | list) else stem
    weight = state.get(f"{first}.weight")
    if weight is None or weight.ndim < 2:
        raise ModelImportError(
            f"the weights are not those of {architecture}: they have no {first}.weight"
        )
    return int(weight.shape[1])


def _fill(backbone: nn.Module, foreign: ForeignNetwork) -> None:
    own = backbone.state_dict()
    given = dict(foreign.state)
    for name, tensor in own.items():
        # A count that no inference reads; old checkpoints lack it.
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)
    wrong = [
        f"{name} is {tuple(given[name].shape)} where {tuple(tensor.shape)} is due"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    missing = [name for name in own if name not in given]
    surplus = [name for name in given if name not in own]
    problems = [
        *_few(wrong),
        *_few([f"{name} is missing" for name in missing]),
        *_few([f"{name} is not of it" for name in surplus]),
    ]
    if problems:
        raise ModelImportError(
            f"{foreign.path} does not fill {foreign.architecture.name} with "
            f"{len(foreign.outputs)} outputs: {'; '.join(problems)}"
        )
    backbone.load_state_dict(given)
    backbone.eval()


def _few(problems: list[str]) -> list[str]:
    rest = len(problems) - _NAMED
    return problems[:_NAMED] + ([f"and {rest} more"] if rest > 0 else [])


def _name_of(module: nn.Module, parent: nn.Module) -> str:
    names: list[str] = [name for name, found in parent.named_modules() if found is module]
    return names[0]


def _check_answers(
    foreign: ForeignNetwork, whole: CamNetwork, network: CamNetwork, selection: Selection
) -> None:
    images = torch.from_numpy(probes(foreign.spec))
    with torch.inference_mode():
        seen = whole.backbone.forward_features(whole.as_trained(images))  # type: ignore[operator]
        if seen.ndim != 4 or seen.shape[1] != whole.head.in_features:
            raise ModelImportError(
                f"{foreign.architecture.name} has no feature map to apply its head to, so its "
                "findings have no activation map"
            )
        expected = cast(Tensor, whole.backbone(whole.as_trained(images)))[:, selection.rows]
        logits, cams = network(images)
    if not bool(torch.isfinite(cams).all() and torch.isfinite(expected).all()):
        raise ModelImportError(f"{foreign.path}: its answers are not finite")
    gap = float((logits - expected).abs().max())
    if gap > _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelImportError(
            f"{foreign.architecture.name} computes more than a linear layer over the mean of its "
            f"feature map (the logits differ by {gap:.3g}), so its findings have no activation map"
        )
