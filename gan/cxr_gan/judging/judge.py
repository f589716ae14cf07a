"""The whole judging of one generator."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxr_contracts import Interval
from cxr_gan.errors import GanError
from cxr_gan.judging.diversity import KERNEL_PX
from cxr_gan.judging.extractor import ClassifierFeatures, Extractor, Features
from cxr_gan.judging.features import features_of, kept_features
from cxr_gan.judging.floors import Beside, beside
from cxr_gan.judging.labels import FIGURE as LABEL_AUROC
from cxr_gan.judging.labels import labels_seen
from cxr_gan.judging.measures import FIGURES, ImageSet, Reference, measure
from cxr_gan.judging.memorisation import (
    NEARER,
    STANDING_OUT,
    TO_TRAINING,
    Nearness,
    against_held_out,
    nearest_is_training,
    nearness,
    small_pixels,
)
from cxr_gan.judging.reals import FEWEST, Reals, Rows, in_patient_order, read_reals
from cxr_gan.judging.rows import Row
from cxr_gan.published import Synthesizer
from cxr_gan.sampling.asking import drawn_like
from cxr_training.metrics.bootstrap import Weights, patient_weights

FEATURES, PIXELS = "features", "pixels"
SAMPLES, SEED = 2000, 1
# What a generator that remembers nothing gets.
_EXPECTED = {NEARER: 0.01, STANDING_OUT: 0.01, TO_TRAINING: 0.5}


@dataclass(frozen=True, slots=True)
class Request:
    """How to judge."""

    data: Path
    cache: Path
    samples: int = SAMPLES
    label_images: int = 40
    resamples: int = 200
    seed: int = SEED
    truncation: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The figures, and the nearness of samples and of held-out radiographs, for a plot."""

    rows: list[Row]
    nearness: dict[str, tuple[Nearness, Nearness]]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Samples and real radiographs, ready to be compared; `n` of each where numbers matter."""

    samples: ImageSet
    reals: Reals
    real_features: Features
    training: Rows
    held_out: Rows
    n: int

    def real_set(self, rows: Rows) -> ImageSet:
        """Some of the radiographs."""
        images = self.reals.pictures(rows)
        return ImageSet(images, np.asarray(self.real_features[rows]), self.reals.patients[rows])

    def first_samples(self) -> ImageSet:
        """The first `n` samples."""
        some = self.samples
        return ImageSet(some.images[: self.n], some.features[: self.n], some.patients[: self.n])


def judge(synthesizer: Synthesizer, extractor: Extractor, request: Request) -> Judged:
    """Measure the generator.

    Raises:
        DataError: what the data's readers refuse.
        GanError: too few samples asked for, too few radiographs.
    """
    if request.samples < FEWEST:
        raise GanError(f"--n {request.samples}: judging needs {FEWEST} samples or more")
    if synthesizer.spec.side_px <= KERNEL_PX:
        raise GanError(f"images of {synthesizer.spec.side_px} px are too small to judge")
    sides = _sides(synthesizer, extractor, request)
    reference = Reference(sides.real_set(sides.training[: sides.n]))
    held_out = sides.real_set(sides.held_out[: sides.n])
    found = measure(sides.first_samples(), reference, request.resamples, request.seed)
    stands_beside = beside(
        held_out,
        reference,
        extractor,
        resamples=request.resamples,
        seed=request.seed,
        key=sides.reals.key,
        cache=request.cache,
    )
    about = _about(synthesizer, extractor)
    rows = [_row(about, name, found[name], sides.n, stands_beside) for name in FIGURES]
    remembered, near = _memorisation(sides, about, request)
    rows += remembered
    if isinstance(extractor, ClassifierFeatures) and synthesizer.spec.labels:
        rows += _labels(synthesizer, extractor, sides, about, request)
    return Judged(rows, near)


def _sides(synthesizer: Synthesizer, extractor: Extractor, request: Request) -> _Sides:
    side = synthesizer.spec.side_px
    reals = read_reals(request.data, side, synthesizer.shown, request.cache)
    features = kept_features(extractor, reals, request.cache)
    seeds = range(request.seed, request.seed + request.samples)
    # Asked for as the training radiographs are labelled, so that the mix is no difference.
    known = [
        findings & frozenset(synthesizer.spec.labels)
        for findings in reals.findings[: reals.n_training]
    ]
    asked = synthesizer.asked(drawn_like(known, request.samples, request.seed))
    images = synthesizer.images(seeds, asked, request.truncation)
    names = np.array([f"sample {seed}" for seed in seeds])
    training = reals.training[in_patient_order(reals.patients[reals.training], request.seed)]
    held_out = reals.held_out[in_patient_order(reals.patients[reals.held_out], request.seed)]
    return _Sides(
        samples=ImageSet(images, features_of(extractor, images, "samples"), names),
        reals=reals,
        real_features=features,
        training=training,
        held_out=held_out,
        n=min(request.samples, len(training), len(held_out)),
    )


def _memorisation(
    sides: _Sides, about: Row, request: Request
) -> tuple[list[Row], dict[str, tuple[Nearness, Nearness]]]:
    held_out_patients = sides.reals.patients[sides.held_out].tolist()
    draws = _draws(sides.samples.patients.tolist(), request)
    held_out_draws = _draws(held_out_patients, request)
    rows, near = [], {}
    for space, (samples, training, held_out) in _spaces(sides).items():
        ours, theirs = nearness(samples, training), nearness(held_out, training)
        near[space] = (ours, theirs)
        figures = against_held_out(ours, theirs, draws, held_out_draws)
        figures[TO_TRAINING] = nearest_is_training(samples, training, held_out, draws)
        for name, result in figures.items():
            expected = _EXPECTED.get(name, 1.0)
            row = _bare_row(about, name, space, result, len(samples))
            rows.append(replace(row, floor=expected))
    return rows, near


def _spaces(sides: _Sides) -> dict[str, tuple[Features, Features, Features]]:
    """By space: samples, training and held-out radiographs, the latter in patients' order."""

    def features(rows: Rows) -> Features:
        return np.asarray(sides.real_features[rows])

    def pixels(rows: Rows) -> Features:
        return small_pixels(sides.reals.pictures(rows))

    return {
        FEATURES: (sides.samples.features, features(sides.training), features(sides.held_out)),
        PIXELS: (
            small_pixels(sides.samples.images),
            pixels(sides.training),
            pixels(sides.held_out),
        ),
    }


def _labels(
    synthesizer: Synthesizer,
    extractor: ClassifierFeatures,
    sides: _Sides,
    about: Row,
    request: Request,
) -> list[Row]:
    seen = labels_seen(
        synthesizer,
        extractor,
        np.asarray(sides.real_features[sides.held_out]),
        [sides.reals.findings[row] for row in sides.held_out],
        sides.reals.patients[sides.held_out].tolist(),
        each=request.label_images,
        first_seed=request.seed + request.samples,
        resamples=request.resamples,
    )
    rows = []
    for one in seen:
        row = _bare_row(about, LABEL_AUROC, one.label, one.samples, one.n)
        row = replace(row, ceiling=0.5)
        rows.append(row if one.real is None else _with_floor(row, one.real))
    return rows


def _draws(patients: list[str], request: Request) -> Weights:
    return patient_weights(patients, request.resamples, request.seed)


def _about(synthesizer: Synthesizer, extractor: Extractor) -> Row:
    """A row without a figure."""
    identity = synthesizer.identity
    return Row(
        model=identity.name,
        version=identity.version,
        weights=identity.sha256[:12],
        side_px=synthesizer.spec.side_px,
        extractor=extractor.name,
        figure="",
        subset="",
        value=np.nan,
        low=np.nan,
        high=np.nan,
        n=0,
    )


def _row(about: Row, name: str, result: Interval, n: int, others: Beside) -> Row:
    row = _bare_row(about, name, "", result, n)
    row = replace(row, ceiling=others.noise[name].value, blurred=others.blurred[name].value)
    return _with_floor(row, others.held_out[name])


def _with_floor(row: Row, floor: Interval) -> Row:
    return replace(row, floor=floor.value, floor_low=floor.low, floor_high=floor.high)


def _bare_row(about: Row, figure: str, subset: str, result: Interval, n: int) -> Row:
    return replace(about, figure=figure, subset=subset, n=n, **result.model_dump())
