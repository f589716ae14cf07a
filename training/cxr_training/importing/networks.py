"""From the tensors of a foreign network to our own network over the fourteen findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from cxr_classifier.network import CamNetwork, build_member, load_weights
from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.importing import ModelImportError
from cxr_training.importing.labels import Output, Selection, select
from cxr_training.importing.trial import probes

# Our maps' means against the network's own logits, relative to the largest of its logits.
_TOLERANCE = 1e-4


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
    licence: str


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
    # Counts that no inference reads; old checkpoints lack them.
    own = whole.backbone.state_dict()
    counts = {name: own[name] for name in own if name.endswith("num_batches_tracked")}
    try:
        whole.backbone.load_state_dict(counts | foreign.state)
    except RuntimeError as error:
        raise ModelImportError(
            f"{foreign.path} does not fill {foreign.architecture.name} with "
            f"{len(foreign.outputs)} outputs: {str(error)[:500]}"
        ) from error
    whole.eval()
    head = next(name for name, module in whole.named_modules() if module is whole.head)
    state = {
        name: tensor[selection.rows] if name.startswith(f"{head}.") else tensor
        for name, tensor in whole.state_dict().items()
    }
    load_weights(network, state)
    _check_logits(foreign, whole, network, selection)
    return Adopted(network, selection)


def _check_logits(
    foreign: ForeignNetwork, whole: CamNetwork, network: CamNetwork, selection: Selection
) -> None:
    name = foreign.architecture.name
    images = torch.from_numpy(probes(foreign.spec))
    with torch.inference_mode():
        seen = whole.backbone.forward_features(whole.as_trained(images))  # type: ignore[operator]
        if seen.ndim != 4 or seen.shape[1] != whole.head.in_features:
            raise ModelImportError(
                f"{name} has no feature map to apply its head to, so its findings have no "
                "activation map"
            )
        expected = cast(Tensor, whole.backbone(whole.as_trained(images)))[:, selection.rows]
        logits, cams = network(images)
    if not bool(torch.isfinite(cams).all() and torch.isfinite(expected).all()):
        raise ModelImportError(f"{foreign.path}: its logits are not finite")
    gap = float((logits - expected).abs().max())
    if gap > _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelImportError(
            f"{name} computes more than a linear layer over the mean of its feature map (the "
            f"logits differ by {gap:.3g}), so its findings have no activation map"
        )
