"""One training of the study, an arm and a seed: its images and what it says in the end."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from cxr_classifier.preprocessing import GreyImage
from cxr_gan.errors import GanError
from cxr_gan.generator import Findings, open_generator
from cxr_gan.sampling import MANIFEST_CSV, shuffled, write_samples
from cxr_gan.study.plan import Arm, RareLabels
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loop import BEST, LAST, METRICS
from cxr_training.classifier.samples import (
    LABELS,
    Samples,
    added_rows,
    as_samples,
    concatenated,
    masked_targets,
)
from cxr_training.classifier.train import new_trainer
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.errors import UserError
from cxr_training.core.runs import drop_metrics_after
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.splits import Split

PREDICTIONS, KEY = "validation.npz", "key.txt"
# A seed of the study has this many images of a generator for itself, each label its part of them.
_OF_A_SEED, _OF_A_LABEL = 10**8, 10**6


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a finished training says of the validation images: all that the statistics need.

    `logits` and `targets` are float32 [N, 14]; a target is 0, 1, or `MASKED` where the label is
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
    """Of the optimiser."""

    def write(self, folder: Path) -> None:
        """Into the training's folder, whole or not at all: from then on it is over."""
        partial = folder / f"{PREDICTIONS}.partial"
        with partial.open("wb") as stream:
            columns: dict[str, Any] = {x: np.asarray(getattr(self, x)) for x in self.__slots__}
            np.savez_compressed(stream, **columns)
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
    """All that there is to know of a training."""

    name: str
    """Of the arm."""
    arm: Arm
    seed: int
    rare: RareLabels
    config: ClassifierConfig
    samples: Samples
    """The real images."""
    cache: Path
    folder: Path
    synthetic: Path
    """Comes to hold the synthetic images."""
    generator: Path | None
    key: str

    def images(self, samples: Samples, processes: int | None = None) -> CanonicalImages:
        """The canonical images, decoded at the first call and kept in the study's cache."""
        spec = self.config.input
        size_px = spec.canonical_px or max(spec.width_px, spec.height_px)
        return canonical_images(samples.paths, size_px, self.cache, processes=processes)


class _ConcatenatedImages:
    """Real and synthetic canonical images, the rows of the real ones first."""

    def __init__(self, real: CanonicalImages, synthetic: CanonicalImages) -> None:
        self.real, self.synthetic = real, synthetic

    def __getitem__(self, row: int, /) -> GreyImage:
        n = len(self.real)
        return self.real[row] if row < n else self.synthetic[row - n]

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)


def train_one(task: Task) -> Task:
    """Train, or go on where a killed one stopped, and write what the network says; `task`.

    Raises:
        GanError: whatever the user can mend, with the arm and the seed.
    """
    try:
        with denormals_flushed():
            _train(task)
    except UserError as error:
        raise GanError(f"{task.name}, seed {task.seed}: {error}") from error
    return task


def synthetic_set(task: Task, generator: Path) -> Path:
    """The manifest of the training's synthetic images, made at the first call.

    Every added image has the findings of the real image that oversampling would have repeated in
    its place, so that both add the same labels and differ in pixels alone. Of one seed a smaller
    share is the first part of a larger one.
    """
    if (task.synthetic / MANIFEST_CSV).exists():
        return task.synthetic / MANIFEST_CSV
    repeats = added_rows(task.samples, task.rare.totals(task.arm.share), task.seed)
    seeds: list[int] = []
    asked: list[Findings] = []
    for label, rows in repeats.items():
        first = task.seed * _OF_A_SEED + LABELS.index(label) * _OF_A_LABEL
        seeds += range(first, first + len(rows))
        for targets in task.samples.targets[rows]:
            asked.append(frozenset(x.value for x, n in zip(LABELS, targets, strict=True) if n > 0))
    stated = shuffled(asked, task.seed) if task.arm.shuffled else None
    return write_samples(open_generator(generator), seeds, asked, task.synthetic, stated=stated)


def refuse_synthetic_validation(samples: Samples) -> None:
    """Raise GanError where a synthetic image stands among those that are validated on.

    The readers refuse one already; the study's whole answer hangs on it, so it is looked at again.
    """
    elsewhere = samples.synthetic & (samples.splits != Split.TRAIN.value)
    if elsewhere.any():
        path = samples.paths[int(np.flatnonzero(elsewhere)[0])]
        raise GanError(f"{path} is synthetic and not in training: synthetic images only train")


def _train(task: Task) -> None:
    config, folder = task.config, task.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).write_text(f"{task.key}\n")
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(resolved)
    samples, images = task.samples, task.images(task.samples)
    if task.generator is not None:
        made = as_samples(read_collection(None, [synthetic_set(task, task.generator)]))
        images = _ConcatenatedImages(images, task.images(made, processes=1))
        samples = concatenated(samples, made)
    refuse_synthetic_validation(samples)
    trainer = new_trainer(config, samples, images, folder, prefix=None)
    if (folder / LAST).exists():
        trainer.resume(folder / LAST)
    drop_metrics_after(folder / METRICS, trainer.progress.epoch)
    trainer.run()
    rows = samples.rows(Split.VALIDATION)
    Predictions(
        logits=trainer.validation_logits(rows),
        targets=masked_targets(samples, config.sources_by_label)[rows],
        patients=samples.patients[rows],
        key=task.key,
        seconds=trainer.progress.elapsed_s,
        steps=trainer.progress.step,
    ).write(folder)
    # Of no use any more, and larger than all else together.
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
