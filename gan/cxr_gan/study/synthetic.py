"""The synthetic images of one training: which are asked for, and what their manifest says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxr_classifier.preprocessing import normalise, to_canonical, to_input_size
from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.published import Synthesizer, open_generator
from cxr_gan.sampling.asking import Findings, drawn_like, shuffled
from cxr_gan.sampling.writing import MANIFEST_CSV, write_samples
from cxr_gan.study.plan import BALANCE, Arm
from cxr_gan.study.ranking import Logits, choose
from cxr_gan.study.rare import Counts, RareLabels
from cxr_gan.study.teacher import Teacher
from cxr_training.classifier.samples import LABELS, RowArray, Samples, added_rows
from cxr_training.data.splits import Split

# A seed of the study has this many images of a generator for itself, each label its part of them.
_OF_A_SEED, _OF_A_LABEL = 10**8, 10**6
_POOL, _DRAWN = len(LABELS), len(LABELS) + 1
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of one training: the arm, its seed and what it is counted by."""

    arm: Arm
    seed: int
    rare: RareLabels
    pretraining_images: int
    pool: int


@dataclass(frozen=True, slots=True)
class _Asked:
    seeds: list[int]
    findings: list[Findings]
    stated: list[Findings] | None = None


def synthetic_set(
    wanted: Wanted, samples: Samples, generator: Path, teacher: Teacher | None, out: Path
) -> Path:
    """The manifest of the training's synthetic images, made at the first call; below `out`.

    Every added image has the findings of the real image that oversampling would have repeated in
    its place, so that both add the same labels and differ in pixels alone. Of one seed a smaller
    share is the first part of a larger one.

    Args:
        wanted: what for.
        samples: the real images.
        generator: its folder.
        teacher: labels the images of a generator that takes none.
        out: comes to hold the images, whole or not at all.

    Raises:
        GanError: no teacher where one is needed; the folder cannot be written.
    """
    if (out / MANIFEST_CSV).exists():
        return out / MANIFEST_CSV
    synthesizer = open_generator(generator)
    if wanted.arm.kind == "pretrained":
        asked = _drawn(wanted, samples)
    elif synthesizer.spec.labels:
        asked = _in_place_of_repeats(wanted, samples)
    elif teacher is None:
        raise GanError(f"{synthesizer.identity.name} takes no labels, and there is no teacher")
    else:
        asked = _labelled(wanted, samples, synthesizer, teacher)
    return write_samples(synthesizer, asked.seeds, asked.findings, out, stated=asked.stated)


def findings_of(samples: Samples, rows: RowArray) -> list[Findings]:
    """The findings on some images."""
    return [
        frozenset(x.value for x, one in zip(LABELS, samples.targets[row], strict=True) if one > 0)
        for row in rows
    ]


def _in_place_of_repeats(wanted: Wanted, samples: Samples) -> _Asked:
    seeds: list[int] = []
    findings: list[Findings] = []
    for label, rows in _repeats(wanted, samples).items():
        seeds += _seeds(wanted.seed, LABELS.index(label), len(rows))
        findings += findings_of(samples, rows)
    stated = shuffled(findings, wanted.seed) if wanted.arm.shuffled else None
    return _Asked(seeds, findings, stated)


def _drawn(wanted: Wanted, samples: Samples) -> _Asked:
    """Findings as frequent as on the training radiographs with their rare ones balanced."""
    known = findings_of(samples, samples.rows(Split.TRAIN))
    for rows in _repeats(wanted, samples).values():
        known += findings_of(samples, rows)
    n = wanted.pretraining_images
    return _Asked(_seeds(wanted.seed, _DRAWN, n), drawn_like(known, n, wanted.seed))


def _labelled(
    wanted: Wanted, samples: Samples, synthesizer: Synthesizer, teacher: Teacher
) -> _Asked:
    """Images of a generator without labels, by what a teacher sees on them."""
    counts = {label: len(rows) for label, rows in _repeats(wanted, samples).items()}
    _require_pool(wanted.pool, counts)
    seeds = _seeds(wanted.seed, _POOL, wanted.pool)
    trained = samples.targets[samples.rows(Split.TRAIN)].mean(axis=0)
    frequency = {label: float(n) for label, n in zip(LABELS, trained, strict=True)}
    chosen = choose(_seen(synthesizer, seeds, teacher), frequency, counts)
    asked: list[Findings] = [frozenset()] * len(chosen.places)
    return _Asked([seeds[place] for place in chosen.places], asked, list(chosen.stated))


def _require_pool(pool: int, counts: Counts) -> None:
    if sum(counts.values()) > pool:
        raise GanError(
            f"pool={pool}: a teacher cannot choose {sum(counts.values())} images among so few"
        )


def _seen(synthesizer: Synthesizer, seeds: list[int], teacher: Teacher) -> Logits:
    """What the teacher says of the images of `seeds`, [n, 14]."""
    spec, network = teacher.spec, teacher.network()
    found = [np.zeros((0, len(LABELS)), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(seeds), _AT_ONCE):
            images = synthesizer.images(seeds[start : start + _AT_ONCE])
            shown = [
                normalise(to_input_size(to_canonical(image, spec.canonical_px), spec), spec)
                for image in images
            ]
            found.append(network(torch.from_numpy(np.stack(shown)))[0].numpy())
    return np.concatenate(found)


def _repeats(wanted: Wanted, samples: Samples) -> dict[Finding, RowArray]:
    totals = wanted.rare.totals(BALANCE if wanted.arm.share is None else wanted.arm.share)
    return added_rows(samples, totals, wanted.seed)


def _seeds(seed: int, part: int, n: int) -> list[int]:
    first = seed * _OF_A_SEED + part * _OF_A_LABEL
    return list(range(first, first + n))
