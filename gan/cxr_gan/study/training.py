"""One training of the study: an arm and a seed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import yaml
from safetensors.torch import save_file

from cxr_classifier.preprocessing import GreyImage
from cxr_gan.errors import GanError
from cxr_gan.study.synthetic import Generator, Wanted, synthetic_set
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loop import BEST, LAST, METRICS, Trainer
from cxr_training.classifier.samples import (
    Samples,
    as_samples,
    joined,
    judged_targets,
    synthetic_alone,
)
from cxr_training.classifier.train import new_trainer
from cxr_training.classifier.views import Advance
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.distributed import Processes
from cxr_training.core.errors import UserError
from cxr_training.core.runs import drop_metrics_after
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.splits import Split

PREDICTIONS, TEACHER, KEY = "validation.npz", "teacher.safetensors", "key.txt"
_STAGE = "pretraining"


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a finished training says of the validation images: all that the statistics need.

    `logits` and `targets` are float32 [N, 14]; a target is 0, 1, or `UNJUDGED` where the label is
    not evaluated on files of that size.
    """

    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    patients: npt.NDArray[np.str_]
    key: str
    """Of what was trained; another one for another arm, plan, generator or data set."""
    seconds: float
    """That the training took, without pauses."""
    steps: int
    """Of the optimiser, all stages together."""

    def write(self, folder: Path) -> None:
        """Into the training's folder, whole or not at all: from then on it is over."""
        partial = folder / f"{PREDICTIONS}.partial"
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **{x: np.asarray(getattr(self, x)) for x in self.__slots__})
        partial.rename(folder / PREDICTIONS)

    @classmethod
    def read(cls, folder: Path) -> "Predictions | None":
        """Those of the training in `folder`; None where it is not over."""
        if not (folder / PREDICTIONS).exists():
            return None
        with np.load(folder / PREDICTIONS) as kept:
            scalars = {x: kept[x].item() for x in ("key", "seconds", "steps")}
            return cls(kept["logits"], kept["targets"], kept["patients"], **scalars)


@dataclass(frozen=True, slots=True)
class Task:
    """All that a process needs to know of a training."""

    name: str
    """Of the arm."""
    wanted: Wanted
    stages: tuple[ClassifierConfig, ...]
    """One, or two where synthetic images come first; their steps make the same sum in every arm."""
    samples: Samples
    """The real images."""
    cache: Path
    folder: Path
    synthetic: Path
    generator: Generator | None
    teacher: Path
    """Of the same seed's reference."""
    key: str
    threads: int | None

    @property
    def waits(self) -> bool:
        """Whether it needs a teacher that is not there yet."""
        unlabelled = self.generator is not None and not self.generator.has_labels
        return unlabelled and not self.teacher.exists()


class _JoinedImages:
    """Real and synthetic canonical images, the rows of the real ones first."""

    def __init__(self, real: CanonicalImages, synthetic: CanonicalImages) -> None:
        self.real, self.synthetic = real, synthetic

    def __getitem__(self, row: int, /) -> GreyImage:
        n = len(self.real)
        return self.real[row] if row < n else self.synthetic[row - n]

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)


class _Quiet:
    """A training without a bar of its own: several at once would overwrite each other's."""

    @contextmanager
    def epoch(self, name: str, *, done: int, total: int, shown: bool) -> Iterator[Advance]:  # noqa: ARG002 - as `View` has it
        """No bar."""
        yield lambda images, standing: None  # noqa: ARG005

    def line(self, text: str) -> None:
        """No line."""


def train_one(task: Task) -> Task:
    """Train, and write what the network says of the validation images; `task`.

    Raises:
        GanError: whatever the user can mend; of one class, since it may cross to another process.
    """
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    try:
        with denormals_flushed():
            _train(task)
    except UserError as error:
        raise GanError(f"{task.name}, seed {task.wanted.seed}: {error}") from error
    return task


def real_images(task: Task) -> CanonicalImages:
    """The canonical real images, decoded at the first call and kept in the study's cache."""
    return canonical_images(task.samples.paths, _canonical_px(task), task.cache)


def refuse_synthetic_validation(samples: Samples) -> None:
    """Raise GanError where a synthetic image stands among those that are validated on.

    The readers refuse one already; the study's whole answer hangs on it, so it is looked at again.
    """
    elsewhere = samples.synthetic & (samples.splits != Split.TRAIN.value)
    if elsewhere.any():
        path = samples.paths[int(np.flatnonzero(elsewhere)[0])]
        raise GanError(f"{path} is synthetic and not in training: synthetic images only train")


def _train(task: Task) -> None:
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / KEY).write_text(f"{task.key}\n")
    samples, images = _shown(task)
    refuse_synthetic_validation(samples)
    start: Path | None = None
    seconds, steps = 0.0, 0
    *first, last = task.stages
    for config in first:
        alone, stage = synthetic_alone(samples, task.synthetic), task.folder / _STAGE
        trainer = _trained(config, alone, images, stage, None)
        start = stage / LAST
        seconds, steps = trainer.progress.elapsed_s, trainer.progress.step
        # What it learnt is the start of the second stage, which then sees real images alone.
        samples, images = task.samples, real_images(task)
    trainer = _trained(last, samples, images, task.folder, start)
    rows = samples.rows(Split.VALIDATION)
    if task.wanted.arm.kind == "real":
        average = trainer.average.state_dict()
        partial = task.folder / f"{TEACHER}.partial"
        save_file({x: tensor.cpu().contiguous() for x, tensor in average.items()}, partial)
        partial.rename(task.folder / TEACHER)
    Predictions(
        logits=trainer.validation_logits(rows),
        targets=judged_targets(samples, last.judged_on)[rows],
        patients=samples.patients[rows],
        key=task.key,
        seconds=seconds + trainer.progress.elapsed_s,
        steps=steps + trainer.progress.step,
    ).write(task.folder)
    # Of no use any more, and larger than all else together.
    for name in (LAST, BEST):
        (task.folder / name).unlink(missing_ok=True)
    shutil.rmtree(task.folder / _STAGE, ignore_errors=True)


def _shown(task: Task) -> tuple[Samples, CanonicalImages]:
    """The images of the arm, real and synthetic."""
    real = real_images(task)
    if task.generator is None:
        return task.samples, real
    manifest = synthetic_set(
        task.wanted,
        task.samples,
        task.generator.folder,
        task.stages[-1],
        task.teacher,
        task.synthetic,
    )
    made = as_samples(read_collection(None, [manifest]))
    synthetic = canonical_images(made.paths, _canonical_px(task), task.cache, processes=1)
    return joined(task.samples, made), _JoinedImages(real, synthetic)


def _canonical_px(task: Task) -> int:
    spec = task.stages[-1].input
    return spec.canonical_px or max(spec.width_px, spec.height_px)


def _trained(
    config: ClassifierConfig,
    samples: Samples,
    images: CanonicalImages,
    folder: Path,
    start: Path | None,
) -> Trainer:
    """From the beginning, or from where a killed one stopped, to the end."""
    folder.mkdir(parents=True, exist_ok=True)
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(resolved)
    trainer = new_trainer(config, samples, images, folder, Processes(), view=_Quiet(), start=start)
    if (folder / LAST).exists():
        trainer.resume(folder / LAST)
    drop_metrics_after(folder / METRICS, trainer.progress.epoch)
    trainer.run()
    return trainer
