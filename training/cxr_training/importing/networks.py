"""From a foreign network's tensors and outputs to our own network over the fourteen findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor

from cxr_classifier.network import CamNetwork, TokenNetwork, build_member, load_weights
from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Architecture, Finding, InputSpec, LabelSpec
from cxr_contracts.findings import parse_finding
from cxr_training.data.csv_rows import Row, parsed_rows
from cxr_training.importing import ModelImportError

NO_OPERATING_POINT = "none given: 0.5"
_COLUMNS = ("label", "threshold", "slope", "intercept")
Finite = Annotated[float, Field(allow_inf_nan=False)]


@checked_dataclass(frozen=True)
class Output:
    """One output of a network, in the order of its head.

    `label` is empty for an output without a meaning. `threshold` is a probability, after
    sigmoid(slope * logit + intercept).
    """

    label: str
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    slope: Finite = 1.0
    intercept: Finite = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The outputs that are served: their rows in the head and their labels, in our order."""

    rows: list[int]
    labels: list[LabelSpec]
    dropped: list[str]


def select(outputs: Sequence[Output], source: str, rule: str) -> Selection:
    """Find the fourteen findings among `outputs`.

    Args:
        outputs: of the network, in its order.
        source: what names them, for the sentence that refuses them.
        rule: how the thresholds were chosen; with no threshold at all, each is 0.5.

    Raises:
        ModelImportError: a finding is missing, stands there twice, or alone lacks a threshold.
    """
    rows: dict[Finding, int] = {}
    dropped: list[str] = []
    for row, output in enumerate(outputs):
        try:
            finding = parse_finding(output.label)
        except ValueError:
            dropped += [output.label] if output.label else []
            continue
        if finding in rows:
            raise ModelImportError(f"{source} names {finding.value} twice")
        rows[finding] = row
    missing = [finding.value for finding in Finding if finding not in rows]
    if missing:
        raise ModelImportError(
            f"{source} has no output for {', '.join(missing)}: a classifier needs all "
            f"{len(Finding)} findings"
        )
    chosen = {finding: outputs[rows[finding]] for finding in Finding}
    bare = [finding.value for finding, output in chosen.items() if output.threshold is None]
    if bare and len(bare) < len(chosen):
        raise ModelImportError(f"{source} gives no threshold for {', '.join(bare)}")
    labels = [
        LabelSpec(
            name=finding.value,
            threshold=0.5 if output.threshold is None else output.threshold,
            threshold_rule=NO_OPERATING_POINT if output.threshold is None else rule,
            slope=output.slope,
            intercept=output.intercept,
        )
        for finding, output in chosen.items()
    ]
    return Selection([rows[finding] for finding in Finding], labels, dropped)


def read_labels(path: Path) -> list[Output]:
    """The outputs that a CSV names, a row each, in the order of the head.

    Columns: `label`, and where known `threshold`, `slope` and `intercept`. A label that is none
    of the fourteen is an output that is dropped; an empty one has no meaning.

    Raises:
        DataError: no such file, no column `label`, a column of another name, a figure that is
            none, or a threshold outside 0..1.
    """
    return parsed_rows(path, ("label",), _output, allowed=_COLUMNS)


def _output(_: int, row: Row) -> Output:
    # Pydantic reads the figures out of the texts.
    given: dict[str, Any] = {column: text.strip() for column, text in row.items() if text.strip()}
    try:
        return Output(**{"label": "", **given})
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ValueError(f"{wrong['loc'][0]} {wrong['input']!r}: {wrong['msg']}") from error


# Our maps' means against the network's own logits, relative to the largest of its logits.
_TOLERANCE = 1e-4
_IMAGES = 6
_SIDE_PX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A model's file as it was found, and all that is known of it."""

    path: Path
    architecture: Architecture
    spec: InputSpec
    outputs: list[Output]
    named_by: str
    threshold_rule: str
    data: str
    licence: str

    def selection(self) -> Selection:
        """The fourteen findings among the outputs; ModelImportError as `select`."""
        return select(self.outputs, self.named_by, self.threshold_rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignNetwork(Foreign):
    """Weights by name, for a network that timm builds."""

    state: dict[str, Tensor]


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
    selection = foreign.selection()
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


def drawn_images() -> list[npt.NDArray[np.uint8]]:
    """What a model is tried out on: noise at every scale from a quarter of the side to a pixel.

    Grey images, uint8 [H, W].
    """
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(_IMAGES):
        image = np.zeros((_SIDE_PX, _SIDE_PX))
        for cells in (4, 16, 64, _SIDE_PX):
            block = np.ones((_SIDE_PX // cells, _SIDE_PX // cells))
            image += np.kron(generator.normal(size=(cells, cells)), block) / cells**0.5
        scaled = (image - image.min()) / np.ptp(image)
        drawn.append((scaled * 255).round().astype(np.uint8))
    return drawn


def probes(spec: InputSpec) -> npt.NDArray[np.float32]:
    """Drawn images as inputs of a classifier, float32 [P, 1, H, W]."""
    return np.stack([preprocess(image, spec) for image in drawn_images()])


def _check_logits(
    foreign: ForeignNetwork, whole: CamNetwork, network: CamNetwork, selection: Selection
) -> None:
    name = foreign.architecture.name
    images = torch.from_numpy(probes(foreign.spec))
    with torch.inference_mode():
        seen = whole.backbone.forward_features(whole.as_trained(images))  # type: ignore[operator]
        is_map = seen.ndim == 4 and seen.shape[1] == whole.head.in_features
        if not (is_map or isinstance(whole, TokenNetwork)):
            raise ModelImportError(
                f"{name} has no feature map to apply its head to, so its findings have no "
                "activation map; as an ONNX file it can be imported without one"
            )
        expected = cast(Tensor, whole.backbone(whole.as_trained(images)))[:, selection.rows]
        logits, cams = network(images)
    if not bool(torch.isfinite(cams).all() and torch.isfinite(expected).all()):
        raise ModelImportError(f"{foreign.path}: its logits are not finite")
    gaps = (logits - expected, cams.mean(dim=(2, 3)) - expected)
    gap = max(float(one.abs().max()) for one in gaps)
    if gap > _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelImportError(
            f"{name} computes more than a linear layer over the mean of its feature map (the "
            f"logits differ by {gap:.3g}), so its findings have no activation map; as an ONNX file "
            "it can be imported without one"
        )
