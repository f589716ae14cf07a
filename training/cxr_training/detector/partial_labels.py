"""Learning from images on which some classes are unknown: data set, loss and model.

A class that nobody looked for on an image trains nothing there. Such a class travels through crop
and flip as one more box over its whole image, with the class's number raised by the number of
classes; the loss takes these marks out and ignores the class under them.

Training images also vary in resolution (`cxr_training.detector.dataset`), and the forward
pass may run under bfloat16 autocast on a CPU, which Ultralytics has on GPUs only; the loss stays
float32.

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import get_worker_info
from ultralytics.data.dataset import YOLODataset
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors

from cxr_training.detector.config import AugmentationConfig
from cxr_training.detector.dataset import vary_resolution


class PartialLabelDataset(YOLODataset):  # type: ignore[misc]
    """Training images of varied resolution, with a whole-image box for each unknown class."""

    def __init__(
        self,
        *args: Any,
        unknown: dict[str, list[int]],
        augmentation: AugmentationConfig,
        seed: int,
        **kwargs: Any,
    ) -> None:
        self._unknown = unknown
        self._augmentation = augmentation
        self._seed = seed
        self._generator: np.random.Generator | None = None
        # Ultralytics fills its image cache through load_image: what it keeps must be the original.
        self._filling = True
        super().__init__(*args, **kwargs)
        self._filling = False

    def get_labels(self) -> list[dict[str, Any]]:
        """Ultralytics' labels with the whole-image boxes appended."""
        labels: list[dict[str, Any]] = super().get_labels()
        n_classes = len(self.data["names"])
        for label in labels:
            classes = self._unknown[Path(label["im_file"]).stem]
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


class PartialLabelLoss(v8DetectionLoss):  # type: ignore[misc]
    """Ultralytics' detection loss that leaves out classes under their whole-image boxes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._plain_bce = nn.BCEWithLogitsLoss(reduction="none")
        self._known = torch.ones(())
        self.bce = self._known_bce

    def loss(
        self, preds: dict[str, Any], batch: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss over known classes."""
        preds = {
            key: value.float() if isinstance(value, torch.Tensor) else [v.float() for v in value]
            for key, value in preds.items()
        }
        is_mark = batch["cls"].view(-1) >= self.nc
        self._known = self._known_mask(preds, batch, is_mark)
        boxes = {key: batch[key][~is_mark] for key in ("cls", "bboxes", "batch_idx")}
        return cast(
            "tuple[torch.Tensor, dict[str, torch.Tensor]]",
            super().loss(preds, {**batch, **boxes}),
        )

    def _known_bce(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self._plain_bce(scores, targets)
        return loss * self._known

    def _known_mask(
        self, preds: dict[str, Any], batch: dict[str, Any], is_mark: torch.Tensor
    ) -> torch.Tensor:
        """1 where the class is known at the anchor, else 0: [images, anchors, classes]."""
        points, strides = make_anchors(preds["feats"], self.stride, 0.5)
        height, width = (side * float(self.stride[0]) for side in preds["feats"][0].shape[2:])
        points = points * strides / torch.tensor([width, height], device=points.device)
        n_images, n_anchors = preds["scores"].shape[0], len(points)
        boxes = batch["bboxes"][is_mark].to(points.device)[:, None]
        inside = ((points - boxes[..., :2]).abs() <= boxes[..., 2:] / 2).all(dim=2)
        image = batch["batch_idx"].view(-1)[is_mark].to(points.device, torch.long)
        number = batch["cls"].view(-1)[is_mark].to(points.device, torch.long) - self.nc
        # In one go: a GPU waits at each step of a loop over the marks.
        marks = torch.zeros(n_images * self.nc, n_anchors, device=points.device)
        marks.index_add_(0, image * self.nc + number, inside.float())
        return (marks == 0).float().view(n_images, self.nc, n_anchors).transpose(1, 2)


class PartialLabelModel(DetectionModel):  # type: ignore[misc]
    """YOLO with the loss above."""

    bfloat16_on_cpu = False
    """Whether the training forward on a CPU is bfloat16."""

    def init_criterion(self) -> PartialLabelLoss:
        """The loss over known classes."""
        return PartialLabelLoss(self)

    def loss(self, batch: dict[str, Any], preds: Any = None) -> Any:
        """Loss of a batch."""
        if preds is None:
            image = batch["img"].contiguous(memory_format=torch.channels_last)
            is_half = self.bfloat16_on_cpu and image.device.type == "cpu"
            with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
                preds = self.forward(image)
        return super().loss(batch, preds)
