"""The detector's loss, over the classes that are known on each image, and the model that has it.

The forward pass may run under bfloat16 autocast on a CPU, which Ultralytics has on GPUs only; the
loss stays float32.

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

from typing import Any, cast

import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors


class PartialLabelLoss(v8DetectionLoss):  # type: ignore[misc]
    """Ultralytics' detection loss that leaves out classes under their whole-image boxes.

    A teacher's place trains the scores of its row, each as far as the prediction fits the place.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._plain_bce = nn.BCEWithLogitsLoss(reduction="none")
        self._known = torch.ones(())
        self.bce = self._known_bce
        # By the number of a box: a drawn one's class alone, nothing for a mark, a place's scores.
        soft = getattr(model, "soft_scores", torch.zeros(0, self.nc))
        drawn = torch.cat([torch.eye(self.nc), torch.zeros(self.nc, self.nc)])
        self._targets = torch.cat([drawn, soft]).to(self.device)
        self._hard_assigner: Any = vars(self)["assigner"]
        self.assigner = self._assign

    def loss(
        self, preds: dict[str, Any], batch: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss over known classes."""
        preds = {
            key: value.float() if isinstance(value, torch.Tensor) else [v.float() for v in value]
            for key, value in preds.items()
        }
        numbers = batch["cls"].view(-1)
        is_mark = (numbers >= self.nc) & (numbers < 2 * self.nc)
        self._known = self._known_mask(preds, batch, is_mark)
        boxes = {key: batch[key][~is_mark] for key in ("cls", "bboxes", "batch_idx")}
        return cast(
            "tuple[torch.Tensor, dict[str, torch.Tensor]]",
            super().loss(preds, {**batch, **boxes}),
        )

    def _assign(
        self,
        scores: torch.Tensor,
        boxes: torch.Tensor,
        points: torch.Tensor,
        numbers: torch.Tensor,
        drawn: torch.Tensor,
        *rest: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Ultralytics' assignment by the likeliest class, with the scores of each box's row."""
        targets = self._targets[numbers.squeeze(-1).long()]
        likeliest = targets.argmax(dim=-1, keepdim=True).to(numbers.dtype)
        labels, places, fit, assigned, which = self._hard_assigner(
            scores, boxes, points, likeliest, drawn, *rest
        )
        if targets.shape[1]:
            index = which.long()[..., None].expand(-1, -1, self.nc)
            # `fit` has one class's column filled: how well the prediction fits its box.
            fit = fit.amax(dim=-1, keepdim=True) * targets.gather(1, index)
        return labels, places, fit, assigned, which

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
    soft_scores: torch.Tensor
    """The rows [n, classes] of a teacher's places, where there is a teacher."""

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
