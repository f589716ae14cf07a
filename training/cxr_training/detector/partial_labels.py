"""Training images on which some classes are unknown, or softly known, for Ultralytics' trainer.

A class that nobody looked for on an image trains nothing there. Such a class travels through crop
and flip as one more box over its whole image, with the class's number raised by the number of
classes; `cxr_training.detector.losses` takes these marks out and ignores the class under them.

A teacher's place travels in the same way, as a box whose number, from twice the number of classes
up, is a row of a table of soft scores: what it trains is a score for each class, where a drawn box
trains one class.

Training images also vary in resolution (`cxr_training.detector.dataset`).

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import get_worker_info
from ultralytics.data.dataset import YOLODataset

from cxr_training.detector.config import AugmentationConfig
from cxr_training.detector.dataset import vary_resolution


class SoftTargets:
    """A teacher's places, as `cxr_training.detector.dataset` writes them."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as content:
            self.images: list[str] = content["images"].tolist()
            self.scores: npt.NDArray[np.float32] = content["scores"]
            self._boxes: npt.NDArray[np.float32] = content["boxes"]
            image = content["image"]
        # Places stand in the order of their images.
        self._bounds = np.searchsorted(image, np.arange(len(self.images) + 1))
        self._number = {name: number for number, name in enumerate(self.images)}

    def on(self, stem: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        """The rows [n] of the places on an image, and their boxes [n, 4]."""
        number = self._number.get(stem)
        low, high = (0, 0) if number is None else self._bounds[number : number + 2]
        return np.arange(low, high), self._boxes[low:high]


class PartialLabelDataset(YOLODataset):  # type: ignore[misc]
    """Training images of varied resolution, with a whole-image box for each unknown class."""

    def __init__(
        self,
        *args: Any,
        unknown: dict[str, list[int]],
        soft: SoftTargets | None = None,
        augmentation: AugmentationConfig,
        seed: int,
        **kwargs: Any,
    ) -> None:
        self._unknown = unknown
        self._soft = soft
        self._augmentation = augmentation
        self._seed = seed
        self._generator: np.random.Generator | None = None
        # Ultralytics fills its image cache, if it keeps one, through load_image: what it keeps must
        # be the original.
        self._filling = True
        super().__init__(*args, **kwargs)
        self._filling = False

    def get_labels(self) -> list[dict[str, Any]]:
        """Ultralytics' labels with the whole-image boxes and the teacher's places appended."""
        labels: list[dict[str, Any]] = super().get_labels()
        n_classes = len(self.data["names"])
        for label in labels:
            stem = Path(label["im_file"]).stem
            if self._soft is not None:
                rows, boxes = self._soft.on(stem)
                numbers = (rows + 2 * n_classes).astype(np.float32)[:, np.newaxis]
                label["cls"] = np.concatenate([label["cls"].reshape(-1, 1), numbers])
                label["bboxes"] = np.concatenate([label["bboxes"].reshape(-1, 4), boxes])
            classes = self._unknown[stem]
            marks = np.array(classes, dtype=np.float32).reshape(-1, 1) + n_classes
            whole = np.tile(np.array([[0.5, 0.5, 1.0, 1.0]], dtype=np.float32), (len(marks), 1))
            label["cls"] = np.concatenate([label["cls"].reshape(-1, 1), marks])
            label["bboxes"] = np.concatenate([label["bboxes"].reshape(-1, 4), whole])
        return labels

    def load_image(self, i: int, **kwargs: Any) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """The image [H, W, 3], varied anew each time."""
        image, original, resized = super().load_image(i, **kwargs)
        if self._filling:
            return image, original, resized
        if self._generator is None:
            # Made in the process that draws: workers must not all draw the same.
            worker = get_worker_info()
            self._generator = np.random.default_rng([self._seed, worker.id + 1 if worker else 0])
        plane = np.ascontiguousarray(image[..., 0])
        grey = vary_resolution(plane, self._augmentation, self._generator)
        return np.repeat(grey[..., np.newaxis], 3, axis=2), original, resized
