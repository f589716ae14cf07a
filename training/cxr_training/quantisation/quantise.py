"""From a published ONNX file to one with 8-bit integers: static quantisation by ONNX Runtime.

The ranges of what flows through the network are those of training radiographs. Weights take 7 bits
of the 8: then no sum of two products overflows the 16 bits that CPUs without VNNI add them in, and
the file answers alike on all CPUs, so that the gate holds where it was not measured.

The file takes its place beside the published one if it loses little: `evaluation.py` is its gate.
"""

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from cxr_classifier.predictor import ClassifierPredictor
from cxr_contracts import ModelManifest, QuantisedModel, SelfCheck
from cxr_detector.fused import (
    QUANTISED_MEMBERS_FILE,
    QuantisedMembers,
    is_fused,
    member_folders,
    quantised_members,
)
from cxr_detector.predictor import DetectorPredictor
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder, manifest_in, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.quantised import INT8_RUNTIME, check_answers, open_quantised
from cxr_serving.runtime import FloatArray
from cxr_training.classifier.card import classifier_card
from cxr_training.core.errors import PublishError
from cxr_training.data.nih import read_boxed
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import NIH_FOLDER, TEST_FOLDER, Split
from cxr_training.detector.card import render_card
from cxr_training.export.publishing import model_file, write_manifest
from cxr_training.quantisation.evaluation import Load, float32, losses
from cxr_training.report.tables import format_interval


def quantise_published(model: Path, data: Path, *, n_images: int, seed: int) -> str | None:
    """Make, measure and, where its gate lets it pass, publish the 8-bit file of `model`.

    What it loses is measured on validation patients, which decide, and reported on test patients
    where there are any. A file that does not pass leaves the folder without one.

    Args:
        model: a published classifier or detector; of a fused one, its members' 8-bit files are
            measured together.
        data: the folder that holds nih/ and the like.
        n_images: how many training radiographs give the ranges.
        seed: of their choice.

    Returns:
        Why there is none, as half a sentence; None if there is one.

    Raises:
        DataError: the data is not as published, or is a test set.
        ModelFolderError: the folder is not what its manifest says.
        PublishError: the model is neither, or no member of a fused one has an 8-bit file.
    """
    manifest = manifest_in(model, ModelManifest)
    folder = open_model_folder(model, manifest.role)
    if manifest.role == "ood":
        raise PublishError(f"{manifest.name} is no classifier, and no detector")
    with tempfile.TemporaryDirectory() as scratch:
        if is_fused(manifest.architecture):
            path = Path(scratch) / QUANTISED_MEMBERS_FILE
            quantised = _of_members(folder, path)
            load: Load = _quantised_member
        else:
            path = Path(scratch) / INT8_NAME
            images = [image.path for image in read_boxed(data / NIH_FOLDER).of(Split.TRAIN)]
            chosen = random.Random(seed).sample(images, min(n_images, len(images)))  # noqa: S311
            quantised = quantise(folder, chosen, path)
            runtime = _opened(path)
            load = lambda _: runtime  # noqa: E731
        gate = losses(folder, load, data, Split.VALIDATION)
        if (data / TEST_FOLDER).is_dir():
            gate += losses(folder, load, data, Split.TEST)
        for row in gate:
            print(f"{row.name}, {row.split}: {format_interval(row.result, 4)}")
        quantised = quantised.model_copy(update={"gate": gate})
        reason, target = quantised.failed_gate, model / path.name
        if reason is None:
            partial = model / f".{path.name}.partial"
            shutil.copyfile(path, partial)
            partial.rename(target)
        else:
            target.unlink(missing_ok=True)
    kept = None if reason else quantised
    if kept is not None or manifest.int8 is not None:
        manifest = manifest.model_copy(update={"int8": kept})
        card = render_card if manifest.role == "detector" else classifier_card
        write_manifest(manifest, model, card(manifest))
    return reason


def _of_members(folder: ModelFolder, path: Path) -> QuantisedModel:
    """Write to `path` which of the members' 8-bit files are measured together."""
    members = quantised_members(member_folders(folder))
    if not members:
        raise PublishError(f"no member of {folder.manifest.name} has an 8-bit file")
    path.write_text(QuantisedMembers(members=members).model_dump_json(indent=2) + "\n")
    return QuantisedModel(
        onnx=model_file(path),
        method=f"Those of {', '.join(one.name for one in members)} were measured together",
        check=None,
        gate=[],
    )


def _quantised_member(member: ModelFolder) -> OnnxRuntime:
    int8 = member.manifest.int8
    return float32(member) if int8 is None else open_quantised(member, int8, threads=1)


def _opened(path: Path) -> OnnxRuntime:
    return OnnxRuntime(path.read_bytes(), threads=1, name=INT8_RUNTIME)


INT8_NAME = "model.int8.onnx"
_CHECK_SEED = 22
# An answer of another CPU may round otherwise even where quantisation itself moved nothing.
_LEAST_SHARE, _LEAST_GAP = 0.02, 1e-6


class RadiographReader(CalibrationDataReader):  # type: ignore[misc]
    """The network's inputs of some radiographs, one at a time."""

    def __init__(self, name: str, inputs: Iterator[FloatArray]) -> None:
        self._name, self._inputs = name, inputs

    def get_next(self) -> dict[str, FloatArray] | None:
        """The next input, or None after the last."""
        image = next(self._inputs, None)
        return None if image is None else {self._name: image}


def quantise(folder: ModelFolder, images: Sequence[Path], path: Path) -> QuantisedModel:
    """Write the 8-bit file of the model in `folder` to `path`; its gate is still to be measured.

    Args:
        folder: a published classifier, or a detector of one network.
        images: radiographs of training patients, for the ranges.
        path: the new file.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what the manifest says.
    """
    runtime = OnnxRuntime(folder.onnx(), threads=1)
    spec = folder.manifest.input
    with tempfile.TemporaryDirectory() as scratch:
        # Folds batch normalisation, and the casts of half-precision weights, into the weights.
        prepared = Path(scratch) / "prepared.onnx"
        source = str(folder.path / folder.manifest.onnx.path)
        quant_pre_process(source, str(prepared), skip_symbolic_shape=True)
        network = onnx.load(prepared)
        quantize_static(
            str(prepared),
            str(path),
            RadiographReader(network.graph.input[0].name, _inputs(folder, runtime, images)),
            quant_format=QuantFormat.QDQ,
            # The arithmetic is in the convolutions; the rest, and a detector's decoding of boxes to
            # pixels, stays as it is. A convolution that is clipped is quantised after the clip:
            # before it the range is ten times as wide.
            op_types_to_quantize=["Conv", "Clip"],
            nodes_to_exclude=decoding_nodes(network),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    ours, theirs = (check_answers(one, spec, _CHECK_SEED) for one in (runtime, _opened(path)))
    return QuantisedModel(
        onnx=model_file(path),
        method="ONNX Runtime's static quantisation of the convolutions: QDQ, 7-bit weights by "
        f"channel, ranges of {len(images)} training radiographs",
        check=SelfCheck(
            seed=_CHECK_SEED,
            answers=theirs,
            # Another CPU may move an answer by as much as quantisation did, not by more.
            allowed=[
                max(_LEAST_SHARE * abs(answer), abs(answer - plain), _LEAST_GAP)
                for answer, plain in zip(theirs, ours, strict=True)
            ],
        ),
        gate=[],
    )


def decoding_nodes(network: onnx.ModelProto) -> list[str]:
    """The convolutions that decode a box's distances, by name: they have one output channel.

    Ultralytics' head takes the mean of a distribution by a convolution with the numbers 0 to 15.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in network.graph.initializer}
    return [
        node.name
        for node in network.graph.node
        if node.op_type == "Conv" and shapes.get(node.input[1], (0,))[0] == 1
    ]


def _inputs(
    folder: ModelFolder, runtime: OnnxRuntime, images: Sequence[Path]
) -> Iterator[FloatArray]:
    """The inputs [1, C, H, W], as the service prepares them."""
    manifest = folder.manifest
    for path in images:
        decoded = DecodedImage(decode_grey(path), "png")
        if manifest.role == "classifier":
            image = ClassifierPredictor(manifest, runtime).prepare(decoded)
        else:
            image = DetectorPredictor(manifest, runtime).prepare(decoded).inputs[0].pixels
        yield np.ascontiguousarray(image[np.newaxis])
