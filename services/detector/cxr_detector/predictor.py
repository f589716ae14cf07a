"""The detector's model: input, run, boxes; on whichever runtime."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import InputSpec, ModelManifest, Region
from cxr_detector.placement import Placement
from cxr_detector.postprocessing import Detections, postprocess
from cxr_detector.preprocessing import Resize, preprocess
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolderError
from cxr_serving.runtime import FloatArray, Runtime

# Centre x, centre y, width, height come before the classes in the network's output.
_N_GEOMETRY = 4


@dataclass(frozen=True)
class NetworkInput:
    """A network's input [C, H, W], and where the image lies in it."""

    pixels: FloatArray
    placement: Placement


@dataclass(frozen=True)
class Prepared:
    """What is read of one image: the input of each network, one or several."""

    inputs: tuple[NetworkInput, ...]
    min_score: float | None = None
    """Down to where boxes below their thresholds are wanted, too."""


class DetectorPredictor:
    """A loaded detector.

    Raises:
        ModelFolderError: The manifest's labels, suppression or resizing make no sense.
    """

    def __init__(self, manifest: ModelManifest, runtime: Runtime) -> None:
        self.manifest = manifest
        self.runtime = runtime.name
        self.device = runtime.device
        self._runtime = runtime
        self._thresholds = np.array([label.threshold for label in manifest.labels], np.float32)
        try:
            self.regions = [Region(label.name) for label in manifest.labels]
            self._nms_iou = float(manifest.extra["nms_iou"])
            self._max_boxes = int(manifest.extra["max_boxes"])
            # A folder from before there was a choice says nothing.
            self._resize = _resize_of(str(manifest.extra.get("resize", "letterbox")))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelFolderError(f"The manifest of {manifest.name} is wrong: {error}.") from error

    @property
    def takes(self) -> tuple[InputSpec, Resize]:
        """What decides how an image becomes the network's input."""
        return self.manifest.input, self._resize

    def prepare(self, image: DecodedImage) -> Prepared:
        """The network's input for one image."""
        placed = NetworkInput(*preprocess(image.grey, self.manifest.input, self._resize))
        return Prepared((placed,))

    def predict(self, batch: Sequence[Prepared]) -> list[Detections]:
        """The boxes of each input's image, in pixels of that image."""
        predictions = self._run([prepared.inputs[0].pixels for prepared in batch])
        return [
            postprocess(
                one,
                prepared.inputs[0].placement,
                self._thresholds,
                nms_iou=self._nms_iou,
                max_boxes=self._max_boxes,
                min_score=prepared.min_score,
            )
            for one, prepared in zip(predictions, batch, strict=True)
        ]

    def warm_up(self, max_batch_size: int) -> None:
        """Run the smallest and the largest batch once, and check the shape of the outputs.

        Raises:
            ModelFolderError: The network's output is not a detector's.
        """
        spec = self.manifest.input
        blank = np.zeros((spec.channels, spec.height_px, spec.width_px), dtype=np.float32)
        rows = _N_GEOMETRY + len(self.regions)
        try:
            for size in {1, max_batch_size}:
                shape = self._run([blank] * size).shape
                if len(shape) != 3 or shape[:2] != (size, rows):
                    raise ValueError(f"its shape is {shape} where ({size}, {rows}, any) is due")
        except Exception as error:
            raise ModelFolderError(f"The detector's first run failed: {error}") from error

    def _run(self, pixels: list[FloatArray]) -> FloatArray:
        images = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)
        (predictions,) = self._runtime.run(images)
        if not np.isfinite(predictions).all():
            raise ArithmeticError("the detector's predictions are not finite")
        return predictions


def _resize_of(text: str) -> Resize:
    known: dict[str, Resize] = {"letterbox": "letterbox", "stretch": "stretch"}
    if text not in known:
        raise ValueError(f"resize is {text!r} and should be letterbox or stretch")
    return known[text]
