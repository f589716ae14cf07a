"""One training of the study: an arm and a seed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from cxr_classifier.preprocessing import GreyImage
from cxr_gan.errors import GanError
from cxr_gan.study.answers import Answers, write_answers
from cxr_gan.study.card import write_card
from cxr_gan.study.generators import Generator
from cxr_gan.study.synthetic import Wanted, synthetic_set
from cxr_gan.study.teacher import Teacher, keep_as_teacher
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loop import BEST, LAST, METRICS, Trainer
from cxr_training.classifier.samples import (
    Samples,
    as_samples,
    concatenated,
    judged_targets,
    synthetic_alone,
)
from cxr_training.classifier.train import new_trainer
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.distributed import Processes
from cxr_training.core.errors import PublishError, RunError
from cxr_training.core.runs import drop_metrics_after
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split

TEACHER = "teacher.safetensors"
KEY = "key.txt"
_STAGE = "pretraining"


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
    teacher: Path | None
    """Of the same seed's reference."""
    key: str
    threads: int | None

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.wanted.seed


class JoinedImages:
    """Real and synthetic canonical images, the rows of the real ones first."""

    def __init__(self, real: CanonicalImages, synthetic: CanonicalImages) -> None:
        self.real, self.synthetic = real, synthetic

    def __getitem__(self, row: int, /) -> GreyImage:
        n = len(self.real)
        return self.real[row] if row < n else self.synthetic[row - n]

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)


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
    except (GanError, DataError, RunError, PublishError) as error:
        raise GanError(f"{task.name}, seed {task.seed}: {error}") from error
    return task


def _train(task: Task) -> None:
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / KEY).write_text(f"{task.key}\n")
    samples, images = _shown(task)
    refuse_synthetic_validation(samples)
    start: Path | None = None
    seconds, steps = 0.0, 0
    *first, last = task.stages
    for config in first:
        alone = synthetic_alone(samples, task.synthetic)
        trainer = _trained(config, alone, images, task.folder / _STAGE, None)
        start = task.folder / _STAGE / LAST
        seconds, steps = trainer.progress.elapsed_s, trainer.progress.step
        # What it learnt is the start of the second stage, which then sees real images alone.
        samples, images = task.samples, real_images(task)
    trainer = _trained(last, samples, images, task.folder, start)
    rows = samples.rows(Split.VALIDATION)
    if task.wanted.arm.kind == "real":
        keep_as_teacher(trainer, task.folder / TEACHER)
    answers = Answers(
        logits=trainer.validation_logits(rows),
        targets=judged_targets(samples, last.judged_on)[rows],
        patients=samples.patients[rows],
        key=task.key,
        seconds=seconds + trainer.progress.elapsed_s,
        steps=steps + trainer.progress.step,
    )
    write_answers(task.folder, answers)
    # Of no use any more, and larger than all else together.
    for name in (LAST, BEST):
        (task.folder / name).unlink(missing_ok=True)
    shutil.rmtree(task.folder / _STAGE, ignore_errors=True)


def refuse_synthetic_validation(samples: Samples) -> None:
    """Raise GanError where a synthetic image stands among those that judge.

    The readers refuse one already; the study's whole answer hangs on it, so it is looked at again.
    """
    elsewhere = samples.synthetic & (samples.splits != Split.TRAIN.value)
    if elsewhere.any():
        path = samples.paths[int(np.flatnonzero(elsewhere)[0])]
        raise GanError(f"{path} is synthetic and not in training: synthetic images only train")


def _shown(task: Task) -> tuple[Samples, CanonicalImages]:
    """The images of the arm, real and synthetic."""
    real = real_images(task)
    if task.generator is None:
        write_card(task.folder, task.wanted, None, None)
        return task.samples, real
    teacher = None
    if task.teacher is not None:
        last = task.stages[-1]
        teacher = Teacher(task.teacher, last.architecture, last.input)
    manifest = synthetic_set(
        task.wanted, task.samples, task.generator.folder, teacher, task.synthetic
    )
    write_card(task.folder, task.wanted, task.generator, manifest)
    made = as_samples(read_collection(None, [manifest]))
    synthetic = canonical_images(made.paths, _canonical_px(task), task.cache, processes=1)
    return concatenated(task.samples, made), JoinedImages(real, synthetic)


def real_images(task: Task) -> CanonicalImages:
    """The canonical real images, decoded at the first call and kept in the study's cache."""
    return canonical_images(task.samples.paths, _canonical_px(task), task.cache)


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
    (folder / "config.yaml").write_text(
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    )
    trainer = new_trainer(config, samples, images, folder, Processes(), start=start, prefix=None)
    if (folder / LAST).exists():
        trainer.resume(folder / LAST)
    drop_metrics_after(folder / METRICS, trainer.progress.epoch)
    trainer.run()
    return trainer
