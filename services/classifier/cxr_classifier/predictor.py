"""The classifier's model: input, run, outputs; on whichever runtime."""

from collections.abc import Sequence

import numpy as np

from cxr_classifier.calibration import Calibration, ClassifierOutput
from cxr_classifier.evidence import has_maps
from cxr_classifier.preprocessing import preprocess
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import ModelManifest
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder, ModelFolderError, open_model_folder
from cxr_serving.quantised import load_onnx
from cxr_serving.runtime import FloatArray, Runtime, choose_runtime

# The library of an architecture that is nothing but the graph of an ONNX file.
ONNX_LIBRARY = "onnx"


class ClassifierPredictor:
    """A loaded classifier.

    Raises:
        ModelFolderError: The manifest's labels are no findings, each once.
    """

    def __init__(self, manifest: ModelManifest, runtime: Runtime) -> None:
        self.manifest = manifest
        self.runtime = runtime.name
        self.device = runtime.device
        try:
            self.calibration = Calibration(manifest.labels)
        except ValueError as error:
            raise ModelFolderError(f"The manifest of {manifest.name} is wrong: {error}.") from error
        self._runtime = runtime

    def prepare(self, image: DecodedImage) -> FloatArray:
        """The network's input [C, H, W]."""
        return preprocess(image.grey, self.manifest.input)

    def predict(self, batch: Sequence[FloatArray]) -> list[ClassifierOutput]:
        """One output for each input."""
        images = batch[0][None] if len(batch) == 1 else np.stack(batch)
        logits, *maps = self._runtime.run(images)
        cams = maps[0] if maps else np.zeros((len(logits), 0, 0, 0), dtype=np.float32)
        if not np.isfinite(logits).all():
            raise ArithmeticError("the classifier's logits are not finite")
        return [
            ClassifierOutput(self.calibration, one, maps)
            for one, maps in zip(logits, cams, strict=True)
        ]

    def warm_up(self, max_batch_size: int) -> None:
        """Run the smallest and the largest batch once, and check the shape of the outputs.

        Raises:
            ModelFolderError: The network's outputs are not a classifier's.
        """
        spec = self.manifest.input
        blank = np.zeros((spec.channels, spec.height_px, spec.width_px), dtype=np.float32)
        try:
            for size in {1, max_batch_size}:
                outputs = self.predict([blank] * size)
                for output in outputs:
                    _check_shapes(output, len(outputs), size, maps=has_maps(self.manifest))
        except Exception as error:
            raise ModelFolderError(f"The classifier's first run failed: {error}") from error


def load_predictor(settings: ClassifierSettings) -> ClassifierPredictor:
    """The model that `settings` name: opened, checked against its manifest, loaded and warmed.

    Raises:
        ModelFolderError: It cannot be served.
    """
    folder = open_model_folder(settings.model_dir, "classifier")
    predictor = ClassifierPredictor(folder.manifest, _load_runtime(folder, settings))
    predictor.warm_up(min(settings.max_batch_size or 1, 2))
    return predictor


def _load_runtime(folder: ModelFolder, settings: ClassifierSettings) -> Runtime:
    # The files of both runtimes are checked: responses name the weights, whichever file runs.
    folder.weights()
    onnx_alone = folder.manifest.architecture.library == ONNX_LIBRARY
    if onnx_alone and settings.runtime == "torch":
        raise ModelFolderError(
            f"{folder.path} is an ONNX file alone and does not run on PyTorch: set the runtime to "
            "auto or onnxruntime."
        )
    if onnx_alone or choose_runtime(settings.runtime) == "onnxruntime":
        return load_onnx(folder, threads=settings.model_threads, int8=settings.int8)
    from cxr_classifier.torch_runtime import load_torch_runtime

    return load_torch_runtime(folder, device=settings.device, threads=settings.model_threads)


def _check_shapes(output: ClassifierOutput, n_outputs: int, n_images: int, *, maps: bool) -> None:
    n_labels = len(output.calibration.findings)
    shapes_fit = (
        output.logits.shape == (n_labels,)
        and output.cams.ndim == 3
        and output.cams.shape[0] == (n_labels if maps else 0)
    )
    if n_outputs != n_images or not shapes_fit:
        raise ValueError(
            f"for {n_images} images it gives {n_outputs} times logits {output.logits.shape} "
            f"and maps {output.cams.shape}, where {n_labels} logits and "
            f"{f'{n_labels} maps' if maps else 'no map'} are due"
        )
