"""A model folder tried out as its service would load it, on images drawn here."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.preprocessing import preprocess
from cxr_classifier.settings import ClassifierSettings
from cxr_classifier.torch_runtime import load_torch_runtime
from cxr_contracts import InputSpec
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.ood import load_ood_detector
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolderError, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.export.publishing import check_same_answers, read_manifest
from cxr_training.importing import ModelImportError

_IMAGES = 6
_SIDE_PX = 256
_THREADS = 1


def probes(spec: InputSpec) -> npt.NDArray[np.float32]:
    """Drawn images as inputs of a classifier, float32 [P, 1, H, W]."""
    return np.stack([preprocess(image, spec) for image in _images()])


def try_out(folder: Path) -> None:
    """Load the model as its service does and let it read the drawn images.

    Raises:
        ModelImportError: the service would refuse it, or fails on an image.
        PublishError: a classifier's ONNX file and its weights differ.
    """
    role = read_manifest(folder).role
    try:
        if role == "ood":
            detector = load_ood_detector(folder)
            for image in _images():
                detector.check(image)
        elif role == "detector":
            settings = DetectorSettings(model_dir=folder, model=None, runtime="onnxruntime")
            boxes = load_detector(settings)
            boxes.predict([boxes.prepare(_decoded(image)) for image in _images()])
        else:
            _try_classifier(folder)
    except ModelFolderError as error:
        raise ModelImportError(str(error).removesuffix(".")) from error


def _try_classifier(folder: Path) -> None:
    model = load_classifier(ClassifierSettings(model_dir=folder, runtime="onnxruntime"))
    try:
        prepared = [model.prepare(_decoded(image)) for image in _images()[:2]]
        for prediction in model.predict(prepared):
            prediction.findings_and_cams(explain=1)
    except Exception as error:  # whatever a foreign file makes of an image
        raise ModelImportError(f"{model.manifest.name} fails on an image: {error}") from error
    opened = open_model_folder(folder, "classifier")
    batch = probes(model.manifest.input)
    on_torch = load_torch_runtime(opened, device="cpu", threads=_THREADS).run(batch)
    on_onnx = OnnxRuntime(opened.onnx(), threads=_THREADS).run(batch)
    for name, expected, found in zip(("logits", "cams"), on_torch, on_onnx, strict=True):
        check_same_answers(name, expected, found, relative=name == "cams")


def _images() -> list[npt.NDArray[np.uint8]]:
    """Grey images of noise at every scale from a quarter of the side to a pixel, [H, W]."""
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


def _decoded(image: npt.NDArray[np.uint8]) -> DecodedImage:
    return DecodedImage(image, "png", as_stored=True)
