"""Ultralytics' trainer on one prepared data set, with a few things changed.

- Unknown classes, resolution and precision: `cxr_training.detector.partial_labels` and `losses`.
- Validation is ours: the mAP that a manifest states, of the weights as they would be published.
- The averaged weights look back over as many steps as the recipe says.
- Weights are safetensors, and a killed run goes on from its last checkpoint
  (`cxr_training.core.checkpoints`).

Schedule, optimiser, averaging and geometric augmentation are Ultralytics' own.
Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch.utils.data import WeightedRandomSampler
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import ModelEMA

from cxr_detector.backbone import replace_backbone
from cxr_detector.network import build_network, network_layout
from cxr_training.core.checkpoints import write_checkpoint
from cxr_training.core.errors import RunError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import SOFT_FILE, UNKNOWN_FILE
from cxr_training.detector.evaluation import AT_50, AT_50_TO_95, PreparedImages, match_all
from cxr_training.detector.losses import PartialLabelModel
from cxr_training.detector.partial_labels import PartialLabelDataset, SoftTargets
from cxr_training.export.onnx import rounded
from cxr_training.metrics.detection import mean_average_precision

WEIGHTS_NAME, STATE_NAME = "last.safetensors", "state.pt"
VALIDATION_FIGURES = ("map50", "map50_95")


class DetectorTrainer(DetectionTrainer):  # type: ignore[misc]
    """Trains from a state dict that may lack the head, or goes on from a checkpoint."""

    def __init__(
        self,
        overrides: dict[str, Any],
        config: DetectorConfig,
        validation: PreparedImages,
        start: dict[str, torch.Tensor],
        *,
        bfloat16_on_cpu: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._config = config
        self._validation = validation
        self._start = start
        self._bfloat16_on_cpu = bfloat16_on_cpu
        self._state = state
        super().__init__(get_cfg(), overrides)
        # Ultralytics has just set its own number: of two cores, one.
        torch.set_num_threads(config.threads)
        self.add_callback("on_train_start", DetectorTrainer._go_on_with_the_clock)

    def get_model(self, **_: Any) -> PartialLabelModel:
        """The network of the recipe with the tensors of the start."""
        layout = network_layout(self._config.architecture)
        model = PartialLabelModel(layout, nc=self.data["nc"], ch=3, verbose=False)
        backbone = self._config.backbone
        if backbone is not None:
            replace_backbone(
                model,
                self._config.architecture,
                backbone.network,
                drop_path_rate=backbone.drop_path_rate,
            )
        model.bfloat16_on_cpu = self._bfloat16_on_cpu
        soft = self._soft_targets()
        if soft is not None:
            model.soft_scores = torch.from_numpy(soft.scores)
        model.load_state_dict(self._start, strict=False)
        return cast("PartialLabelModel", model.to(memory_format=torch.channels_last))

    def resume_training(self, *_: Any) -> None:
        """Set the average's length, and take up the state of a killed run, if there is one."""
        steps = self._config.average_steps
        # Ultralytics' own ramp is for runs of 10,000 steps; this one is over after half of `steps`.
        self.ema = ModelEMA(self.model, decay=1 - 1 / steps, tau=steps / 10)
        state = self._state
        if state is None:
            return
        self.model.load_state_dict(state["network"])
        self.ema.ema.load_state_dict(state["average"])
        self.ema.updates = state["progress"]["steps"]
        # The rates are the schedule's, and stand in this run's own groups.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimiser"], "param_groups": groups})
        self.start_epoch = state["progress"]["epochs"]

    def save_model(self) -> bool:
        """Write the averaged weights as they would be published, and the state to go on from.

        Instead of Ultralytics' pickled checkpoints.
        """
        average = self.ema.ema.state_dict()
        folder = Path(self.save_dir)
        weights, partial = folder / WEIGHTS_NAME, folder / f"{WEIGHTS_NAME}.partial"
        # Contiguous: safetensors knows no other order of a tensor's values.
        save_file({name: one.contiguous() for name, one in rounded(average).items()}, partial)
        partial.replace(weights)
        progress = {
            "epochs": self.epoch + 1,
            "steps": self.ema.updates,
            "elapsed_s": time.time() - float(self.train_time_start),
        }
        state = {
            "network": self.model.state_dict(),
            "average": average,
            "optimiser": self.optimizer.state_dict()["state"],
            "progress": progress,
        }
        write_checkpoint(folder / STATE_NAME, state)
        return True

    def get_validator(self) -> Any:
        """What Ultralytics asks of a validator beside `validate`: the names of its figures."""
        config = self._config
        # The network as it is published; built here, as `validate` must draw no random numbers.
        self._published = build_network(config.network, len(config.regions)).to(self.device)
        return SimpleNamespace(metrics=SimpleNamespace(keys=list(VALIDATION_FIGURES)))

    def validate(self) -> tuple[dict[str, float], float | None]:
        """The published figures of the weights so far, every so many epochs and at the end."""
        last = self.stop or self.epoch + 1 >= self.epochs
        if not last and (self.epoch + 1) % self._config.validate_every:
            return dict.fromkeys(VALIDATION_FIGURES, math.nan), None
        config, images = self._config, self._validation.images
        self._published.load_state_dict(rounded(self.ema.ema.state_dict()))
        detections = self._validation.detect(self._published, config.nms_iou)
        matches = match_all(detections, images, config.regions)
        once = np.ones((1, len(images)))
        figures = {
            name: float(mean_average_precision(matches, once, ious)[0])
            for name, ious in zip(VALIDATION_FIGURES, (AT_50, AT_50_TO_95), strict=True)
        }
        return figures, figures[VALIDATION_FIGURES[0]]

    def final_eval(self) -> None:
        """Nothing: `cxr detector evaluate` measures the weights, with intervals."""

    def build_dataset(self, img_path: str, _mode: str = "train", batch: int | None = None) -> Any:
        """Training images with partial labels."""
        unknown = json.loads((Path(self.data["path"]) / UNKNOWN_FILE).read_text())
        return PartialLabelDataset(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=True,
            hyp=self.args,
            rect=False,
            # Where an epoch is a part of the images, all of them would take gigabytes, and to read
            # one is a hundredth of a step.
            cache="ram" if self._config.data.epoch_images is None else False,
            stride=32,
            pad=0.0,
            task="detect",
            data=self.data,
            unknown=unknown,
            soft=self._soft_targets(),
            augmentation=self._config.augmentation,
            seed=self.args.seed,
        )

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """Ultralytics' loader of training images, which draws rare classes more often if asked."""
        if mode != "train":
            return self.train_loader
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)
        factors = self._draws(loader.dataset.labels)
        if factors is not None:
            generator = torch.Generator().manual_seed(self.args.seed)
            # Ultralytics' loader takes no sampler.
            loader.batch_sampler.sampler.sampler = WeightedRandomSampler(
                factors.tolist(),
                self._config.data.epoch_images or len(factors),
                generator=generator,
            )
            # Worker processes have begun to read what the old one drew.
            loader.reset()
        return loader

    def _draws(self, labels: list[dict[str, Any]]) -> npt.NDArray[np.float64] | None:
        """How often to draw each image beside the others; None: each once an epoch."""
        data, distillation = self._config.data, self._config.distillation
        if data.rare_share == 0 and data.epoch_images is None and distillation is None:
            return None
        soft = self._soft_targets()
        names = set() if distillation is None or soft is None else set(soft.images)
        taught = np.array([Path(label["im_file"]).stem in names for label in labels])
        factors = np.ones(len(labels))
        classes = [label["cls"].ravel().astype(np.intp) for label in labels]
        drawn = [one for one, is_taught in zip(classes, taught, strict=True) if not is_taught]
        factors[~taught] = repeat_factors(drawn, self.data["nc"], data.rare_share)
        if distillation is not None and taught.any():
            share = distillation.drawn_share
            factors[~taught] *= share / max(factors[~taught].sum(), 1.0)
            factors[taught] *= (1 - share) / taught.sum()
        return factors

    def _soft_targets(self) -> SoftTargets | None:
        path = Path(self.data["path"]) / SOFT_FILE
        return SoftTargets(path) if path.exists() else None

    def _model_train(self) -> None:
        super()._model_train()
        backbone = self._config.backbone
        if backbone is not None and backbone.frozen_stages:
            # Ultralytics finds the frozen normalisations by name, and not one that is a layer.
            self.model.model[0].network.bn1.eval()

    def _handle_nan_recovery(self, epoch: int) -> bool:
        # Ultralytics goes back to its own checkpoint, which is not written.
        if self.loss is not None and not bool(self.loss.isfinite()):
            raise RunError(
                f"the loss is no longer finite in epoch {epoch + 1}: lower optimizer.learning_rate"
            )
        return False

    def _go_on_with_the_clock(self) -> None:
        if self._state is not None:
            self.train_time_start -= self._state["progress"]["elapsed_s"]


def repeat_factors(
    labels: list[npt.NDArray[np.intp]], n_classes: int, rare_share: float
) -> npt.NDArray[np.float64]:
    """How often to draw each image beside the others (Gupta et al., LVIS, 2019): [images], >= 1.

    A class that stands on the share f of the images, f < `rare_share`, asks for
    sqrt(rare_share / f); an image gets what its rarest class asks for.

    Args:
        labels: the classes on each image; numbers from `n_classes` up are no classes.
        n_classes: how many there are.
        rare_share: 0 to 1.
    """
    present = np.zeros((len(labels), n_classes), dtype=bool)
    for index, classes in enumerate(labels):
        present[index, classes[classes < n_classes]] = True
    share = present.mean(axis=0)
    asked = np.sqrt(rare_share / np.maximum(share, 1.0 / max(len(labels), 1)))
    factors: npt.NDArray[np.float64] = np.where(present, np.maximum(asked, 1.0), 1.0).max(axis=1)
    return factors
