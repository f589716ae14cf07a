"""A model folder tried out as its service would load it, on pictures drawn here."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.preprocessing import preprocess
from cxr_classifier.settings import ClassifierSettings
from cxr_classifier.torch_runtime import load_torch_runtime
from cxr_contracts import InputSpec
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.gate.loading import GateModelError
from cxr_gateway.gate.loading import load_model as load_gate
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolderError, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.export.publishing import check_same_answers, read_manifest
from cxr_training.importing.errors import ModelImportError

_PICTURES = 6
_SIDE_PX = 256
_THREADS = 1


def pictures() -> list[npt.NDArray[np.uint8]]:
    """Grey pictures of noise at every scale from a quarter of the side to a pixel, [H, W]."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(_PICTURES):
        picture = np.zeros((_SIDE_PX, _SIDE_PX))
        for cells in (4, 16, 64, _SIDE_PX):
            side = _SIDE_PX // cells
            noise = generator.normal(size=(cells, cells))
            picture += np.kron(noise, np.ones((side, side))) / cells**0.5
        low, high = picture.min(), picture.max()
        drawn.append(((picture - low) / (high - low) * 255).round().astype(np.uint8))
    return drawn


def probes(spec: InputSpec) -> npt.NDArray[np.float32]:
    """The pictures as inputs of a classifier, float32 [P, 1, H, W]."""
    return np.stack([preprocess(picture, spec) for picture in pictures()])


def try_out(folder: Path) -> None:
    """Load the model as its service does and let it answer.

    Raises:
        ModelImportError: the service would refuse it, or fails on a picture.
        PublishError: a classifier's ONNX file answers otherwise than its weights.
    """
    role = read_manifest(folder).role
    try:
        if role == "gate":
            model = load_gate(folder)
            side = model.manifest.input.width_px
            model.run(np.zeros((1, 1, side, side), np.float32))
        elif role == "detector":
            detector = load_detector(
                DetectorSettings(model_dir=folder, model=None, runtime="onnxruntime")
            )
            detector.predict([detector.prepare(_decoded(one)) for one in pictures()])
        else:
            _try_classifier(folder)
    except (ModelFolderError, GateModelError) as error:
        raise ModelImportError(str(error).removesuffix(".")) from error


def _try_classifier(folder: Path) -> None:
    model = load_classifier(ClassifierSettings(model_dir=folder, runtime="onnxruntime"))
    _read_pictures(model)
    opened = open_model_folder(folder, "classifier")
    batch = probes(model.manifest.input)
    on_torch = load_torch_runtime(opened, device="cpu", threads=_THREADS)
    on_onnx = OnnxRuntime(opened.onnx(), threads=_THREADS)
    answers = zip(("logits", "cams"), on_torch.run(batch), on_onnx.run(batch), strict=True)
    for name, expected, answered in answers:
        check_same_answers(name, expected, answered, relative=name == "cams")


def _read_pictures(model: ClassifierPredictor) -> None:
    try:
        for reading in model.predict([model.prepare(_decoded(one)) for one in pictures()[:2]]):
            reading.answer(explain=1)
    except Exception as error:  # whatever a foreign file makes of a picture
        raise ModelImportError(
            f"{model.manifest.name} does not answer for a picture: {error}"
        ) from error


def _decoded(picture: npt.NDArray[np.uint8]) -> DecodedImage:
    return DecodedImage(picture, "png", as_stored=True)
