"""`time`: what a configuration takes on this machine, from a few dozen steps of it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loading import Batch
from cxr_training.classifier.loop import Trainer
from cxr_training.classifier.samples import Samples
from cxr_training.classifier.subset import taken
from cxr_training.classifier.throughput import Throughput, speed_in_words
from cxr_training.classifier.train import (
    new_trainer,
    open_images,
    samples_of,
    threads_side_by_side,
)
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.distributed import Processes, processes_of_this_run
from cxr_training.core.parallel import in_processes
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.splits import Split

# The first steps compile, choose convolutions and start the workers.
_WARM_UP = 3
# As much again as is measured would be decoded for nothing.
_VALIDATION_IMAGES = 256


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured, and the run's length that follows from it."""

    speed: dict[str, Any]
    validation_images_per_s: float
    warm_up_s: float
    n_train: int
    n_validation: int
    steps_per_epoch: int
    config: ClassifierConfig
    side_by_side: bool = False
    """Whether this is the pace of a member beside the others."""

    @property
    def epoch_s(self) -> float:
        """An epoch's training and validation."""
        seen = self.steps_per_epoch * self.config.training.batch_size
        if self.config.training.steps_per_epoch is None:
            seen = min(seen, self.n_train)
        training_s = seen / float(self.speed["images_per_s"])
        return training_s + self.n_validation / self.validation_images_per_s

    @property
    def run_s(self) -> float:
        """The whole run of one network, or its time limit if that comes first."""
        whole_s = self.warm_up_s + self.config.training.epochs * self.epoch_s
        limit = self.config.training.max_minutes
        return whole_s if limit is None else min(whole_s, limit * 60)

    @property
    def all_s(self) -> float:
        """The runs of all members."""
        return self.run_s if self.side_by_side else self.config.members * self.run_s

    def lines(self) -> list[str]:
        """For a person."""
        training = self.config.training
        lines = [
            f"training: {speed_in_words(self.speed)}",
            f"validation: {self.validation_images_per_s:.1f} images/s",
            f"an epoch of {self.n_train} images, with validation on {self.n_validation}: "
            f"{self.epoch_s / 60:.1f} min, once {self.warm_up_s / 60:.1f} min to begin with",
            f"the run of at most {training.epochs} epochs: {self.run_s / 60:.1f} min",
        ]
        if training.max_minutes is not None and self.run_s >= training.max_minutes * 60:
            epochs = (self.run_s - self.warm_up_s) / self.epoch_s
            lines.append(
                f"training.max_minutes={training.max_minutes:g} ends it in epoch {epochs:.1f}"
            )
        if self.config.members > 1:
            how = "side by side" if self.side_by_side else "one after the other"
            lines.append(f"all {self.config.members} members, {how}: {self.all_s / 60:.1f} min")
        return lines


def time_training(
    config: ClassifierConfig,
    data: Path | None,
    *,
    manifests: Sequence[Path] = (),
    steps: int = 30,
    stream: bool = False,
) -> Timing:
    """Train `steps` batches after a warm-up, and leave nothing behind.

    Only the images of these steps are decoded beforehand; decoding the others, once for all runs,
    is not part of the prediction. With `stream` they are decoded within the steps.

    Of several members that will train side by side as many are measured at once: they share the
    memory's bandwidth. The slowest counts.

    Raises:
        DataError: the data set is not as published.
        RunError: torchrun started it with a batch that does not divide.
    """
    samples = samples_of(config, data, manifests)
    shown = _some(samples, (steps + _WARM_UP) * config.training.batch_size)
    with TemporaryDirectory() as folder, processes_of_this_run() as processes:
        pace = _Pace(config, samples, shown, steps, Path(folder), stream, processes)
        # Decoded once, before anybody measures.
        processes.first_alone(pace.images)
        threads = threads_side_by_side(config.members, processes)
        if threads is None:
            return pace.measured()
        together = in_processes(
            partial(_with_threads, threads), [pace] * config.members, config.members
        )
        return replace(max(together, key=lambda timing: timing.run_s), side_by_side=True)


@dataclass(frozen=True, slots=True)
class _Pace:
    """That of one network, to be measured on the images `shown`."""

    config: ClassifierConfig
    samples: Samples
    shown: Samples
    steps: int
    folder: Path
    stream: bool
    processes: Processes

    def images(self) -> CanonicalImages:
        return open_images(self.config, self.shown, self.folder, stream=self.stream)

    def measured(self) -> Timing:
        n_train = len(self.samples.rows(Split.TRAIN))
        with denormals_flushed():
            trainer = new_trainer(
                self.config, self.shown, self.images(), self.folder / "run", self.processes
            )
            warm_up_s, speed = _steps_timed(trainer, self.steps)
            rows = self.shown.rows(Split.VALIDATION)
            began = time.monotonic()
            trainer.validation_logits(rows)
            validation_s = time.monotonic() - began
        return Timing(
            speed=speed.facts(self.processes.size),
            validation_images_per_s=len(rows) / validation_s,
            warm_up_s=warm_up_s,
            n_train=n_train,
            n_validation=len(self.samples.rows(Split.VALIDATION)),
            steps_per_epoch=self.config.training.steps_per_epoch
            or max(1, n_train // self.config.training.batch_size),
            config=self.config,
        )


def _with_threads(threads: int, pace: _Pace) -> Timing:
    torch.set_num_threads(threads)
    return pace.measured()


def _steps_timed(trainer: Trainer, steps: int) -> tuple[float, Throughput]:
    """What the first steps took beyond the pace of the others, in seconds, and that pace."""
    trainer.network.train()
    began = time.monotonic()
    batches = _endless(trainer)
    for image, target in islice(batches, _WARM_UP):
        trainer.step(image, target)
    _finish(trainer.device)
    first_s = time.monotonic() - began
    speed = Throughput(trainer.device)
    for image, target in speed.timed(islice(batches, steps)):
        trainer.step(image, target)
        speed.images += len(image)
        speed.look_at_gpu()
    _finish(trainer.device)
    speed.stop()
    return max(0.0, first_s - _WARM_UP * speed.seconds / steps), speed


def _endless(trainer: Trainer) -> Iterator[Batch]:
    epoch = 0
    while True:
        trainer.batches.start(epoch, 0)
        yield from trainer.loader
        epoch += 1


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _some(samples: Samples, n_train: int) -> Samples:
    """As many images as will be looked at, from all over the data set: sizes differ along it."""
    rows = []
    for split, n_images in ((Split.TRAIN, n_train), (Split.VALIDATION, _VALIDATION_IMAGES)):
        inside = samples.rows(split)
        rows.append(inside[np.linspace(0, len(inside) - 1, min(n_images, len(inside))).astype(int)])
    return taken(samples, np.concatenate(rows))
