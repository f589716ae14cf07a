"""The whole evaluation of one generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_contracts import Interval
from cxr_gan.errors import GanError
from cxr_gan.evaluation.features import (
    ClassifierFeatures,
    Extractor,
    Features,
    cached_features,
    features_of,
)
from cxr_gan.evaluation.measures import KERNEL_PX, TITLES, ImageSet, blurred, measure, noise_like
from cxr_gan.evaluation.memorisation import (
    EXPECTED,
    TO_TRAINING,
    Nearness,
    against_held_out,
    nearest_is_training,
    small_pixels,
)
from cxr_gan.evaluation.results import LABEL_AUROC, Row
from cxr_gan.folders import Figure
from cxr_gan.generator import Findings, Synthesizer
from cxr_gan.radiographs import FEWEST_TO_COMPARE, Indices, RealImages, read_real_images
from cxr_gan.sampling import drawn_like
from cxr_training.metrics.bootstrap import Weights, interval_of, patient_weights
from cxr_training.metrics.classification import auroc, aurocs

FEATURES, PIXELS = "features", "pixels"
SAMPLES, SEED = 2000, 1
FEWEST_POSITIVES = 5


@dataclass(frozen=True, slots=True)
class Request:
    """How to evaluate."""

    data: Path
    cache: Path
    samples: int = SAMPLES
    label_images: int = 40
    resamples: int = 200
    seed: int = SEED
    truncation: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures, and the nearness of samples and of held-out radiographs, for a plot."""

    rows: list[Row]
    nearness: dict[str, tuple[Nearness, Nearness]]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Samples and real radiographs, ready to be compared; `n` of each where numbers matter."""

    samples: ImageSet
    reals: RealImages
    real_features: Features
    training: Indices
    held_out: Indices
    n: int

    def real_set(self, indices: Indices) -> ImageSet:
        """Some of the radiographs."""
        features = np.asarray(self.real_features[indices])
        return ImageSet(self.reals.images(indices), features, self.reals.patients[indices])


def evaluate(synthesizer: Synthesizer, extractor: Extractor, request: Request) -> Evaluation:
    """Measure the generator.

    Raises:
        DataError: what the data's readers refuse.
        GanError: too few samples asked for, too few radiographs.
    """
    if request.samples < FEWEST_TO_COMPARE:
        raise GanError(
            f"--n {request.samples}: an evaluation needs {FEWEST_TO_COMPARE} samples or more"
        )
    if synthesizer.spec.side_px <= KERNEL_PX:
        raise GanError(f"images of {synthesizer.spec.side_px} px are too small to evaluate")
    sides = _sides(synthesizer, extractor, request)
    figures = _distances(sides, extractor, request)
    remembered, near = _memorisation(sides, request)
    figures += remembered
    if isinstance(extractor, ClassifierFeatures) and synthesizer.spec.labels:
        figures += label_figures(
            synthesizer,
            extractor,
            sides.real_set(sides.held_out),
            [sides.reals.findings[index] for index in sides.held_out],
            request,
        )
    identity = synthesizer.identity
    rows = [
        Row(
            model=identity.name,
            version=identity.version,
            weights=identity.sha256[:12],
            side_px=synthesizer.spec.side_px,
            extractor=extractor.name,
            figure=figure,
        )
        for figure in figures
    ]
    return Evaluation(rows, near)


def in_patient_order(patients: npt.NDArray[np.str_], seed: int) -> Indices:
    """All indices, patient by patient, the patients shuffled.

    The first n of them hold as many images of one patient as the whole does, which n images drawn
    one by one would not: such sets resemble each other as much as they should.
    """
    names, index = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    return np.argsort(place[index], kind="stable")


def label_figures(
    synthesizer: Synthesizer,
    classifier: ClassifierFeatures,
    held_out: ImageSet,
    held_out_findings: Sequence[Findings],
    request: Request,
) -> list[Figure]:
    """Does the published classifier see the label that an image was asked for?

    AUROC of each label that both know, among samples asked for it alone, for others or for none;
    beside it the same of held-out radiographs, where enough have the label.
    """
    known = [label for label in synthesizer.spec.labels if label in classifier.labels]
    asked = [frozenset({label}) for label in known for _ in range(request.label_images)]
    asked += [frozenset()] * request.label_images
    first = request.seed + request.samples
    seeds = range(first, first + len(asked))
    images = synthesizer.images(seeds, synthesizer.label_input(asked))
    logits = classifier.logits(features_of(classifier, images, "labels"))
    real_logits, patients = classifier.logits(held_out.features), held_out.patients.tolist()
    found = []
    for label in known:
        column = classifier.labels.index(label)
        samples = _auroc(asked, logits[:, column], list(map(str, seeds)), label, request)
        real = _auroc(held_out_findings, real_logits[:, column], patients, label, request)
        if samples is not None:
            n = len(asked)
            figure = Figure(name=LABEL_AUROC, subset=label, result=samples, n=n, floor=real)
            found.append(figure.model_copy(update={"ceiling": 0.5}))
    return found


def _sides(synthesizer: Synthesizer, extractor: Extractor, request: Request) -> _Sides:
    side_px = synthesizer.spec.side_px
    reals = read_real_images(request.data, side_px, synthesizer.shown, request.cache)
    features = cached_features(extractor, reals, request.cache)
    seeds = range(request.seed, request.seed + request.samples)
    # Asked for as the training radiographs are labelled, so that the mix is no difference.
    labels = frozenset(synthesizer.spec.labels)
    known = [findings & labels for findings in reals.findings[: reals.n_training]]
    asked = synthesizer.label_input(drawn_like(known, request.samples, request.seed))
    images = synthesizer.images(seeds, asked, request.truncation)
    names = np.array([f"sample {seed}" for seed in seeds])
    training, held_out = (
        part[in_patient_order(reals.patients[part], request.seed)]
        for part in (reals.training, reals.held_out)
    )
    return _Sides(
        samples=ImageSet(images, features_of(extractor, images, "samples"), names),
        reals=reals,
        real_features=features,
        training=training,
        held_out=held_out,
        n=min(request.samples, len(training), len(held_out)),
    )


def _distances(sides: _Sides, extractor: Extractor, request: Request) -> list[Figure]:
    """Of the samples, of held-out radiographs, of those blurred, and of noise like them."""
    n, seed, samples = sides.n, request.seed, sides.samples
    real, held_out = sides.real_set(sides.training[:n]), sides.real_set(sides.held_out[:n])
    ours = ImageSet(samples.images[:n], samples.features[:n], samples.patients[:n])
    found = measure(ours, real, request.resamples, seed)
    floor = measure(held_out, real, request.resamples, seed)
    beside = {}
    spoilt = {"blurred": blurred(held_out.images), "noise": noise_like(held_out.images, seed)}
    for name, images in spoilt.items():
        features = features_of(extractor, images, name)
        beside[name] = measure(ImageSet(images, features, held_out.patients), real, 0, seed)
    return [
        Figure(
            name=name,
            subset="",
            result=found[name],
            n=n,
            floor=floor[name],
            ceiling=beside["noise"][name].value,
            blurred=beside["blurred"][name].value,
        )
        for name in TITLES
    ]


def _memorisation(
    sides: _Sides, request: Request
) -> tuple[list[Figure], dict[str, tuple[Nearness, Nearness]]]:
    samples, held_out = sides.samples, sides.real_set(sides.held_out)
    draws, held_out_draws = (_draws(x.patients.tolist(), request) for x in (samples, held_out))
    training = sides.real_set(sides.training)
    spaces = {
        FEATURES: [x.features for x in (samples, training, held_out)],
        PIXELS: [small_pixels(x.images) for x in (samples, training, held_out)],
    }
    figures, near = [], {}
    for space, (points, shown, unseen) in spaces.items():
        ours, theirs = Nearness.of(points, shown), Nearness.of(unseen, shown)
        near[space] = (ours, theirs)
        found = against_held_out(ours, theirs, draws, held_out_draws)
        found[TO_TRAINING] = nearest_is_training(points, shown, unseen, draws)
        for name, result in found.items():
            expected = Interval(value=EXPECTED[name], low=EXPECTED[name], high=EXPECTED[name])
            figure = Figure(name=name, subset=space, result=result, n=len(points), floor=expected)
            figures.append(figure)
    return figures, near


def _draws(patients: list[str], request: Request) -> Weights:
    return patient_weights(patients, request.resamples, request.seed)


def _auroc(
    findings: Sequence[Findings],
    scores: Features,
    groups: Sequence[str],
    label: str,
    request: Request,
) -> Interval | None:
    """None where too few have the label, or too few have not."""
    targets = np.array([label in names for names in findings])
    if min(targets.sum(), (~targets).sum()) < FEWEST_POSITIVES:
        return None
    draws = aurocs(targets, scores, patient_weights(groups, request.resamples, 0))
    return interval_of(auroc(targets, scores), draws)
