"""The synthetic images of one training: which are asked for, and what their manifest says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from cxr_classifier.network import build_member, load_weights
from cxr_classifier.preprocessing import normalise, to_canonical, to_input_size
from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.folders import data_of, holds_generator
from cxr_gan.generator import Findings, GeneratorIdentity, Synthesizer, open_generator
from cxr_gan.sampling import MANIFEST_CSV, drawn_like, shuffled, write_samples
from cxr_gan.study.plan import Arm, Plan, RareLabels
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.oversampling import added_rows
from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.data.splits import Split

Logits = npt.NDArray[np.float32]
# A seed of the study has this many images of a generator for itself, each label its part of them.
_OF_A_SEED, _OF_A_LABEL = 10**8, 10**6
_POOL, _DRAWN = len(LABELS), len(LABELS) + 1
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Generator:
    """One that an arm may use."""

    folder: Path
    identity: GeneratorIdentity
    has_labels: bool
    split_sha256: str
    """Of the radiographs that it was trained on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of one training: the arm, its seed and what it is counted by."""

    arm: Arm
    seed: int
    rare: RareLabels
    pretraining_images: int
    pool: int


def find_generators(plan: Plan, roots: Sequence[Path]) -> dict[str, Generator]:
    """The generators that the arms name, by that name.

    Args:
        plan: the arms.
        roots: folders of published models and of runs; the first that has a name is taken.

    Raises:
        GanError: one is missing, has other labels, or does not say what it was trained on.
        ModelFolderError: a published one whose files are not what its manifest says.
    """
    found: dict[str, Generator] = {}
    for arm_name, arm in plan.arms.items():
        name = arm.generator
        if name is None:
            continue
        folder = next((root / name for root in roots if holds_generator(root / name)), None)
        if folder is None:
            raise GanError(
                f"arm {arm_name} needs the generator {name}, and there is none under "
                f"{' or '.join(map(str, roots))}: run `make train-gan GAN={name}` first"
            )
        if name not in found:
            opened = open_generator(folder)
            split = data_of(folder).split_sha256
            found[name] = Generator(folder, opened.identity, bool(opened.spec.labels), split)
            differ = sorted(set(opened.spec.labels) ^ set(LABELS))
            if opened.spec.labels and differ:
                raise GanError(
                    f"arm {arm_name}: the generator {name} has other labels than the study's "
                    f"(they differ in {', '.join(differ)}): train it with `labels: all` or "
                    "`labels: []` in its recipe"
                )
        if not found[name].has_labels and (arm.shuffled or arm.kind == "pretrained"):
            raise GanError(
                f"arm {arm_name} needs a generator with labels, and {name} takes none: name another"
            )
    return found


def synthetic_set(
    wanted: Wanted,
    samples: Samples,
    generator: Path,
    config: ClassifierConfig,
    teacher: Path,
    out: Path,
) -> Path:
    """The manifest of the training's synthetic images, made at the first call; below `out`.

    Every added image has the findings of the real image that oversampling would have repeated in
    its place, so that both add the same labels and differ in pixels alone. Of one seed a smaller
    share is the first part of a larger one.

    Args:
        wanted: what for.
        samples: the real images.
        generator: its folder.
        config: of the study's classifiers.
        teacher: weights of one, which label the images of a generator that takes no labels: the
            study's own of the same seed, trained on the real training images alone, so that
            nothing of a validation patient reaches a label.
        out: comes to hold the images, whole or not at all.
    """
    if (out / MANIFEST_CSV).exists():
        return out / MANIFEST_CSV
    synthesizer, seed = open_generator(generator), wanted.seed
    repeats = added_rows(samples, wanted.rare.totals(wanted.arm.share), seed)
    stated: list[Findings] | None = None
    if wanted.arm.kind == "pretrained":
        # Findings as frequent as on the training radiographs with their rare ones balanced.
        rows = np.concatenate([samples.rows(Split.TRAIN), *repeats.values()])
        seeds = _seeds(seed, _DRAWN, wanted.pretraining_images)
        asked = drawn_like(findings_of(samples, rows), len(seeds), seed)
    elif synthesizer.spec.labels:
        seeds = [
            x
            for label, rows in repeats.items()
            for x in _seeds(seed, LABELS.index(label), len(rows))
        ]
        asked = findings_of(samples, np.concatenate(list(repeats.values())))
        stated = shuffled(asked, seed) if wanted.arm.shuffled else None
    else:
        counts = {label: len(rows) for label, rows in repeats.items()}
        pool = _seeds(seed, _POOL, wanted.pool)
        share = samples.targets[samples.rows(Split.TRAIN)].mean(axis=0)
        frequency = {label: float(n) for label, n in zip(LABELS, share, strict=True)}
        logits = _teacher_logits(synthesizer, pool, config, teacher)
        places, stated = choose(logits, frequency, counts)
        seeds, asked = [pool[place] for place in places], [frozenset()] * len(places)
    return write_samples(synthesizer, seeds, asked, out, stated=stated)


def choose(
    logits: Logits, frequency: Mapping[Finding, float], wanted: Mapping[Finding, int]
) -> tuple[list[int], list[Findings]]:
    """For each label the images of a pool that the teacher holds most likely to show it.

    The pool is labelled as if it were as diseased as the radiographs that the generator learnt
    from: each label goes to the highest scores, to as large a share as it has among those. An
    image that is taken for a label has that label in any case. Labels choose in turn, the first
    of `wanted` before the others, and an image is taken once.

    Args:
        logits: the teacher's, [pool, 14].
        frequency: of each label among the training radiographs, 0 to 1.
        wanted: how many images of each.

    Returns:
        Where each taken image stands in the pool, and the findings that it is given.

    Raises:
        GanError: the pool is too small.
    """
    if sum(wanted.values()) > len(logits):
        raise GanError(f"pool={len(logits)}: too few to choose {sum(wanted.values())} images from")
    order = np.argsort(-logits, axis=0, kind="stable")
    has = np.zeros(logits.shape, dtype=bool)
    for column, label in enumerate(LABELS):
        has[order[: round(frequency[label] * len(logits)), column], column] = True
    taken: dict[int, Finding] = {}
    for label, n in wanted.items():
        free = [int(x) for x in order[:, LABELS.index(label)] if int(x) not in taken]
        taken |= dict.fromkeys(free[:n], label)
    stated = [
        frozenset(label.value for label, one in zip(LABELS, has[place], strict=True) if one)
        | {sought.value}
        for place, sought in taken.items()
    ]
    return list(taken), stated


def findings_of(samples: Samples, rows: npt.NDArray[np.intp]) -> list[Findings]:
    """The findings on some images."""
    return [
        frozenset(x.value for x, one in zip(LABELS, samples.targets[row], strict=True) if one > 0)
        for row in rows
    ]


def _teacher_logits(
    synthesizer: Synthesizer, seeds: list[int], config: ClassifierConfig, weights: Path
) -> Logits:
    """What the teacher says of the images of `seeds`, [n, 14]."""
    network = load_weights(build_member(config.architecture, len(LABELS)), load_file(weights))
    spec, found = config.input, []
    with torch.inference_mode():
        for start in range(0, len(seeds), _AT_ONCE):
            shown = [
                normalise(to_input_size(to_canonical(image, spec.canonical_px), spec), spec)
                for image in synthesizer.images(seeds[start : start + _AT_ONCE])
            ]
            found.append(network(torch.from_numpy(np.stack(shown)))[0].numpy())
    return np.concatenate(found)


def _seeds(seed: int, part: int, n: int) -> list[int]:
    first = seed * _OF_A_SEED + part * _OF_A_LABEL
    return list(range(first, first + n))
