"""Ultralytics' trainer with three things changed.

- The forward pass runs under bfloat16 autocast where the processor is the device, which halves
  the time on one with AMX; the loss stays in float32. Ultralytics has mixed precision on GPUs only.
- Training images vary in sharpness (`cxr_training.detector.sharpness`).
- A class that nobody looked for on an image trains nothing there. Such a class travels through
  mosaic, crop and flip as one more box over its whole image, with the class's number raised by the
  number of classes; the loss takes these boxes out and ignores the class under them.

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors

from cxr_training.detector.config import AugmentationConfig
from cxr_training.detector.dataset import UNKNOWN_FILE
from cxr_training.detector.sharpness import vary


class PartlyKnownDataset(YOLODataset):  # type: ignore[misc]
    """Training images with varied sharpness and a whole-image box for each unknown class."""

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
        self._generator = np.random.default_rng(seed)
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
            rows = np.array(classes, dtype=np.float32).reshape(-1, 1) + n_classes
            whole = np.tile(np.array([[0.5, 0.5, 1.0, 1.0]], dtype=np.float32), (len(rows), 1))
            label["cls"] = np.concatenate([label["cls"].reshape(-1, 1), rows])
            label["bboxes"] = np.concatenate([label["bboxes"].reshape(-1, 4), whole])
        return labels

    def load_image(self, i: int, **kwargs: Any) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """The image [H, W, 3], varied anew each time."""
        image, original, resized = super().load_image(i, **kwargs)
        if self._filling:
            return image, original, resized
        grey = vary(np.ascontiguousarray(image[..., 0]), self._augmentation, self._generator)
        return np.repeat(grey[..., np.newaxis], 3, axis=2), original, resized


class PartlyKnownLoss(v8DetectionLoss):  # type: ignore[misc]
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
        known = torch.ones(
            preds["scores"].shape[0], len(points), self.nc, device=preds["scores"].device
        )
        for index, number, box in zip(
            batch["batch_idx"][is_mark].long().tolist(),
            batch["cls"].view(-1)[is_mark].long().tolist(),
            batch["bboxes"][is_mark].to(points.device),
            strict=True,
        ):
            inside = ((points - box[:2]).abs() <= box[2:] / 2).all(dim=1)
            known[index, inside, number - self.nc] = 0.0
        return known


class PartlyKnownModel(DetectionModel):  # type: ignore[misc]
    """YOLO whose training forward is bfloat16 on a processor, with the loss above."""

    def init_criterion(self) -> PartlyKnownLoss:
        """The loss over known classes."""
        return PartlyKnownLoss(self)

    def loss(self, batch: dict[str, Any], preds: Any = None) -> Any:
        """Loss of a batch; the forward pass is ours unless validation hands its predictions in."""
        if preds is None:
            image = batch["img"].contiguous(memory_format=torch.channels_last)
            with torch.autocast(
                image.device.type, torch.bfloat16, enabled=image.device.type == "cpu"
            ):
                preds = self.forward(image)
        return super().loss(batch, preds)


class DetectorTrainer(DetectionTrainer):  # type: ignore[misc]
    """Trains from a state dict that may lack the head, on a prepared data set."""

    def __init__(
        self,
        overrides: dict[str, Any],
        start: dict[str, torch.Tensor],
        augmentation: AugmentationConfig,
    ) -> None:
        self._start = start
        self._augmentation = augmentation
        super().__init__(get_cfg(), overrides)

    def get_model(self, cfg: Any = None, **_: Any) -> PartlyKnownModel:
        """The network with every tensor of the start that has the same name and shape."""
        model = PartlyKnownModel(cfg, nc=self.data["nc"], ch=3, verbose=False)
        own = model.state_dict()
        fitting = {
            name: tensor.to(own[name].dtype)
            for name, tensor in self._start.items()
            if name in own and own[name].shape == tensor.shape
        }
        model.load_state_dict(fitting, strict=False)
        return cast("PartlyKnownModel", model.to(memory_format=torch.channels_last))

    def save_model(self) -> bool:
        """Write the averaged weights, as `last` and, where validation says so, as `best`.

        Instead of Ultralytics' pickled checkpoints.
        """
        tensors = {
            name: tensor.detach().contiguous().clone()
            for name, tensor in self.ema.ema.state_dict().items()
        }
        folder = Path(self.save_dir)
        _replace_file(tensors, folder / "last.safetensors")
        if self.fitness == self.best_fitness:
            _replace_file(tensors, folder / "best.safetensors")
        return True

    def final_eval(self) -> None:
        """Nothing: `cxr_training.detector.evaluation` judges the weights, with intervals."""

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Ours for training; Ultralytics' own for validation."""
        if mode != "train":
            return super().build_dataset(img_path, mode, batch)
        unknown = json.loads((Path(self.data["path"]) / UNKNOWN_FILE).read_text())
        return PartlyKnownDataset(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=True,
            hyp=self.args,
            rect=False,
            cache="ram",
            stride=32,
            pad=0.0,
            task="detect",
            data=self.data,
            unknown=unknown,
            augmentation=self._augmentation,
            seed=self.args.seed,
        )


def _replace_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
    # Whoever reads the file while the run goes on sees the old weights or the new, never half.
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)
