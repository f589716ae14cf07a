"""An ONNX file becomes a model that takes a grey image and gives the logits of fourteen findings.

Whatever it takes and gives, what is served has one form: nodes are put before its input
(normalisation, a grey image in every channel) and behind its outputs (the fourteen findings in our
order, logits where it gives probabilities). Between them its graph is as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, helper, numpy_helper

from cxr_classifier.predictor import ONNX_LIBRARY
from cxr_contracts import Architecture, InputSpec
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.export.publishing import check_same_answers
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import Foreign, probes, read_labels
from cxr_training.importing.sources import each_channel

IMAGE, LOGITS, CAMS = "image", "logits", "cams"
_GIVEN = "given/"
# Beyond these a probability in float32 says nothing of its logit.
_LEAST, _MOST = 1e-7, 1.0 - 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignGraph(Foreign):
    """An ONNX file, and which of its outputs are what."""

    model: ModelProto
    channels: int
    logits: str
    maps: str | None
    probabilities: bool


def read_onnx(
    path: Path,
    labels: Path,
    *,
    output: str | None = None,
    maps: str | None = None,
    probabilities: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size_px: int | None = None,
) -> ForeignGraph:
    """An ONNX file of one input, float32 [N, 1 or 3, H, W], where N is free or one.

    Args:
        path: the file, weights inside.
        labels: what its outputs mean, in their order, see `read_labels`.
        output: the name of the one with a figure for each label, [N, L]; None where there is one.
        maps: the name of the one with a map for each label, [N, L, h, w].
        probabilities: it gives probabilities, not logits.
        mean: subtracted after scaling to 0..1, one figure, or one a channel; None: nothing.
        std: divided by, likewise.
        size_px: side of the input, where the file leaves it free.

    Raises:
        DataError: `labels` is not as `read_labels` wants it.
        ModelImportError: it is no such file.
    """
    outputs = read_labels(labels)
    model = _load(path)
    given = _only_input(model, path)
    batch, channels, height, width = _dimensions(given, path)
    if batch not in (0, 1):
        raise ModelImportError(f"{path} takes {batch} images at once: export it with a free batch")
    if channels not in (1, 3):
        raise ModelImportError(f"{path} takes images of {channels} channels; 1 or 3 can be served")
    if not (height and width) and not size_px:
        raise ModelImportError(f"{path} takes images of any size: give --size")
    if height and width and size_px and (height, width) != (size_px, size_px):
        raise ModelImportError(f"{path} takes images of {width} x {height} px, not {size_px}")
    means, stds = each_channel(mean or [0.0], std or [1.0], channels)
    arguments = {"channel_mean": list(means), "channel_std": list(stds)}
    return ForeignGraph(
        path=path,
        architecture=Architecture(library=ONNX_LIBRARY, name=path.stem, arguments=arguments),
        spec=InputSpec(
            width_px=width or size_px or 0,
            height_px=height or size_px or 0,
            channels=1,
            canonical_px=None,
            mean=0.0,
            std=1.0,
        ),
        outputs=outputs,
        named_by=str(labels),
        threshold_rule=f"from {labels.name}",
        data="",
        licence="",
        model=model,
        channels=channels,
        logits=_logits_of(model, output, len(outputs), path),
        maps=maps if maps is None else _named(model, maps, path).name,
        probabilities=probabilities,
    )


def write_onnx(foreign: ForeignGraph, target: Path) -> None:
    """The file as it is served: `image` [N, 1, H, W] to `logits` [N, 14], and `cams` if it has any.

    Raises:
        ModelImportError: a finding has no output; the graph is not valid.
        PublishError: it does not answer as the given file does.
    """
    selection = foreign.selection()
    model = ModelProto()
    model.CopyFrom(compose.add_prefix(foreign.model, _GIVEN))
    graph = model.graph
    given = _only_input(model, foreign.path)
    spec, arguments = foreign.spec, foreign.architecture.arguments
    batch = given.type.tensor_type.shape.dim[0]
    first: int | str = batch.dim_value or batch.dim_param or "batch"

    def constant(name: str, value: npt.NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def per_channel(name: str) -> npt.NDArray[np.float32]:
        return np.array(arguments[name], dtype=np.float32).reshape(1, -1, 1, 1)

    mean = constant("mean", per_channel("channel_mean"))
    std = constant("std", per_channel("channel_std"))
    before = [
        helper.make_node("Sub", [IMAGE, mean], ["centred"]),
        helper.make_node("Div", ["centred", std], [given.name]),
    ]
    rows = constant("rows", np.array(selection.rows, dtype=np.int64))
    chosen = "chosen" if foreign.probabilities else LOGITS
    behind = [helper.make_node("Gather", [_GIVEN + foreign.logits, rows], [chosen], axis=1)]
    if foreign.probabilities:
        least = constant("least", np.array(_LEAST, dtype=np.float32))
        most = constant("most", np.array(_MOST, dtype=np.float32))
        one = constant("one", np.array(1.0, dtype=np.float32))
        behind += [
            helper.make_node("Max", [chosen, least], ["above"]),
            helper.make_node("Min", ["above", most], ["within"]),
            helper.make_node("Sub", [one, "within"], ["other"]),
            helper.make_node("Log", ["within"], ["log_odds_for"]),
            helper.make_node("Log", ["other"], ["log_odds_against"]),
            helper.make_node("Sub", ["log_odds_for", "log_odds_against"], [LOGITS]),
        ]
    shapes: dict[str, list[int | str]] = {LOGITS: [first, len(selection.rows)]}
    if foreign.maps is not None:
        behind.append(helper.make_node("Gather", [_GIVEN + foreign.maps, rows], [CAMS], axis=1))
        shapes[CAMS] = [first, len(selection.rows), "rows_of_cells", "columns_of_cells"]
    nodes = [*before, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    side = [first, 1, spec.height_px, spec.width_px]
    graph.input.append(helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, side))
    for name, shape in shapes.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelImportError(f"{foreign.path}: {error}") from error
    onnx.save(model, target)
    _check_same(foreign, selection.rows, target)


def _check_same(foreign: ForeignGraph, rows: Sequence[int], target: Path) -> None:
    """What is served answers as the given file does, run by itself."""
    images = probes(foreign.spec)
    arguments = foreign.architecture.arguments
    mean, std = (
        np.array(arguments[name], dtype=np.float32).reshape(1, -1, 1, 1)
        for name in ("channel_mean", "channel_std")
    )
    alone = OnnxRuntime(foreign.model.SerializeToString(), threads=1).run((images - mean) / std)
    by_name = dict(zip([one.name for one in foreign.model.graph.output], alone, strict=True))
    expected = by_name[foreign.logits]
    if expected.ndim != 2 or expected.shape[1] != len(foreign.outputs):
        raise ModelImportError(
            f"{foreign.path}: {foreign.logits} is of shape {expected.shape}, and "
            f"{len(foreign.outputs)} labels are named"
        )
    if foreign.probabilities:
        if expected.min() < 0 or expected.max() > 1:
            raise ModelImportError(f"{foreign.path}: {foreign.logits} are no probabilities")
        within = expected.astype(np.float64).clip(_LEAST, _MOST)
        expected = np.log(within / (1 - within)).astype(np.float32)
    found = OnnxRuntime(target.read_bytes(), threads=1).run(images)
    check_same_answers(LOGITS, expected[:, rows], found[0])


def _load(path: Path) -> ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise ModelImportError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        reason = str(error).partition("\n")[0]
        raise ModelImportError(f"{path} is not an ONNX file: {reason}") from error
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ModelImportError(f"{path} keeps its weights in other files: save it as one file")
    return model


def _only_input(model: ModelProto, path: Path) -> ValueInfoProto:
    held = {tensor.name for tensor in model.graph.initializer}
    inputs: list[ValueInfoProto] = [one for one in model.graph.input if one.name not in held]
    if len(inputs) != 1:
        raise ModelImportError(f"{path} has {len(inputs)} inputs; one image is what there is")
    return inputs[0]


def _dimensions(given: ValueInfoProto, path: Path) -> list[int]:
    """Of its input; 0 for what is free."""
    kind = given.type.tensor_type
    sizes = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(sizes) != 4:
        raise ModelImportError(f"{path}: its input {given.name} is not float32 [N, C, H, W]")
    return sizes


def _logits_of(model: ModelProto, wanted: str | None, n_labels: int, path: Path) -> str:
    if wanted is not None:
        return str(_named(model, wanted, path).name)
    fitting: list[str] = [
        one.name
        for one in model.graph.output
        if len(shape := one.type.tensor_type.shape.dim) == 2 and shape[1].dim_value in (0, n_labels)
    ]
    if len(fitting) != 1:
        names = ", ".join(one.name for one in model.graph.output)
        raise ModelImportError(
            f"{path}: which of its outputs ({names}) has a figure for each of the {n_labels} "
            "labels is not clear: give --output"
        )
    return fitting[0]


def _named(model: ModelProto, name: str, path: Path) -> ValueInfoProto:
    outputs: list[ValueInfoProto] = list(model.graph.output)
    for one in outputs:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in model.graph.output)
    raise ModelImportError(f"{path} has no output {name!r}: {names}")
