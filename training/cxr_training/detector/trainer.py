"""Ultralytics' trainer on one prepared data set, with a few things changed.

- Unknown classes, sharpness and precision: `cxr_training.detector.partly_known`.
- The learning rate follows the budget, step by step, and the run ends with it
  (`cxr_training.detector.schedule`); Ultralytics' own limit and warm-up are turned off.
- The averaged weights look back over as many steps as the recipe says.
- Checkpoints are safetensors, and a killed run goes on from the last
  (`cxr_training.detector.resume`).

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

import json
import math
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionTrainer

from cxr_detector.network import network_layout
from cxr_detector.backbone import replace_backbone
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import UNKNOWN_FILE
from cxr_training.detector.partly_known import PartlyKnownDataset, PartlyKnownModel
from cxr_training.detector.resume import STATE_NAME, RunState, Tensors, replace_file, save_state
from cxr_training.detector.sampling import repeat_factors
from cxr_training.detector.schedule import Schedule
from cxr_training.half_precision import rounded
from cxr_training.runs import RunError


class DetectorTrainer(DetectionTrainer):  # type: ignore[misc]
    """Trains from a state dict that may lack the head, or goes on from a `RunState`."""

    def __init__(
        self,
        overrides: dict[str, Any],
        config: DetectorConfig,
        start: Tensors,
        *,
        half_on_cpu: bool = False,
        state: RunState | None = None,
    ) -> None:
        self._config = config
        self._start = start
        self._half_on_cpu = half_on_cpu
        self._state = state
        self._steps = 0
        self._schedule: Schedule
        self._mosaic_closed = False
        super().__init__(get_cfg(), overrides)
        # Ultralytics has just set its own number: of two cores, one.
        torch.set_num_threads(config.threads)
        self.add_callback("on_train_start", DetectorTrainer._begin)
        self.add_callback("on_train_epoch_start", DetectorTrainer._begin_epoch)
        self.add_callback("on_train_batch_start", DetectorTrainer._set_learning_rate)
        self.add_callback("on_fit_epoch_end", DetectorTrainer._stop_at_the_end)

    def get_model(self, **_: Any) -> PartlyKnownModel:
        """The network of the recipe with the tensors of the start."""
        layout = network_layout(self._config.architecture)
        model = PartlyKnownModel(layout, nc=self.data["nc"], ch=3, verbose=False)
        trunk = self._config.trunk
        if trunk is not None:
            replace_backbone(
                model,
                self._config.architecture,
                trunk.network,
                drop_path_rate=trunk.drop_path_rate,
            )
        model.half_on_cpu = self._half_on_cpu
        model.load_state_dict(self._start, strict=False)
        return cast("PartlyKnownModel", model.to(memory_format=torch.channels_last))

    def resume_training(self, *_: Any) -> None:
        """Set the average's length, and take up the state of a killed run, if there is one."""
        if self._config.average_steps is not None:
            self.ema.decay = averaging(self._config.average_steps)
        state = self._state
        if state is None:
            return
        self.model.load_state_dict(state.model)
        self.ema.ema.load_state_dict(state.average)
        self.ema.updates = self._steps = state.steps
        groups = self.optimizer.state_dict()["param_groups"]
        moments = {number: _channels_last(of) for number, of in state.optimizer.items()}
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.best_fitness = state.best_fitness
        self.start_epoch = state.epochs

    def optimizer_step(self) -> None:
        """One step; the run stops with the one that uses up the budget."""
        super().optimizer_step()
        self._steps += 1
        self._stop_at_the_end()

    def save_model(self) -> bool:
        """Write the averaged weights in half precision, as `last` and, if they are, as `best`.

        Instead of Ultralytics' pickled checkpoints; and the state to go on from.
        """
        average = self.ema.ema.state_dict()
        folder = Path(self.save_dir)
        weights = rounded(average)
        replace_file(weights, folder / "last.safetensors")
        if self.fitness == self.best_fitness:
            replace_file(weights, folder / "best.safetensors")
        state = RunState(
            epochs=self.epoch + 1,
            steps=self._steps,
            elapsed_s=self._elapsed_s(),
            best_fitness=None if self.best_fitness is None else float(self.best_fitness),
            model=self.model.state_dict(),
            average=average,
            optimizer=self.optimizer.state_dict()["state"],
        )
        save_state(state, folder / STATE_NAME)
        return True

    def _model_train(self) -> None:
        super()._model_train()
        trunk = self._config.trunk
        if trunk is not None and trunk.frozen_stages:
            # Ultralytics finds the frozen normalisations by name, and not one that is a layer.
            self.model.model[0].network.bn1.eval()

    def validate(self) -> tuple[dict[str, float], float | None]:
        """Ultralytics' validation at every so many epochs and at the end; else no figures."""
        last = self.stop or self.epoch + 1 >= self.epochs
        if last or (self.epoch + 1) % self._config.validate_every == 0:
            return cast("tuple[dict[str, float], float | None]", super().validate())
        return dict.fromkeys(self.metrics, math.nan), None

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
            augmentation=self._config.augmentation,
            seed=self.args.seed,
        )

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """Ultralytics' loader; for training, with rare classes drawn more often if so wished."""
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)
        rare_share = self._config.data.rare_share
        if mode == "train" and rare_share > 0:
            labels = [label["cls"].ravel().astype(np.intp) for label in loader.dataset.labels]
            weights = repeat_factors(labels, self.data["nc"], rare_share).tolist()
            generator = torch.Generator().manual_seed(self.args.seed)
            # Ultralytics' loader takes no sampler.
            loader.batch_sampler.sampler.sampler = WeightedRandomSampler(
                weights, len(weights), generator=generator
            )
            # Worker processes have begun to read what the old one drew.
            loader.reset()
        return loader

    def _handle_nan_recovery(self, epoch: int) -> bool:
        # Ultralytics goes back to its own checkpoint, which is not written.
        if self.loss is not None and not bool(self.loss.isfinite()):
            raise RunError(
                f"the loss is no longer finite in epoch {epoch + 1}: lower optimizer.learning_rate"
            )
        return False

    def _elapsed_s(self) -> float:
        return time.time() - float(self.train_time_start)

    def _begin(self) -> None:
        self._schedule = Schedule.of(self._config, len(self.train_loader))
        if self._state is not None:
            self.train_time_start -= self._state.elapsed_s

    def _stop_at_the_end(self) -> None:
        self.stop |= self._schedule.spent(self._steps, self._elapsed_s()) >= 1.0

    def _begin_epoch(self) -> None:
        left = self._schedule.epochs_left(self._steps, self._elapsed_s())
        if not self._mosaic_closed and left <= self._config.augmentation.close_mosaic_epochs:
            self._mosaic_closed = True
            self._close_dataloader_mosaic()
            self.train_loader.reset()

    def _set_learning_rate(self) -> None:
        elapsed_s = self._elapsed_s()
        for group in self.optimizer.param_groups:
            # As in Ultralytics' own warm-up of a fine-tuning, biases begin at the full rate.
            group["lr"] = self._schedule.learning_rate(
                self._steps, elapsed_s, warm_up=group.get("param_group") != "bias"
            )


def _channels_last(tensors: Tensors) -> Tensors:
    # As the weights lie: the optimiser's step is slow over tensors of two orders.
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in tensors.items()
    }


def averaging(steps: int) -> Any:
    """The decay of averaged weights at each update: over about the last `steps`, fewer at first."""
    return lambda update: min(1 - 1 / steps, (1 + update) / (10 + update))
