"""The whole evaluation of one generator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_gan.errors import GanError
from cxr_gan.evaluation.features import Extractor, cached_features, features_of
from cxr_gan.evaluation.measures import KERNEL_PX, TITLES, ImageSet, blurred, measure, noise_like
from cxr_gan.evaluation.memorisation import memorisation, small_pixels
from cxr_gan.evaluation.results import Evaluation
from cxr_gan.folders import Figure
from cxr_gan.generator import Synthesizer
from cxr_gan.radiographs import Indices, Radiographs, read_radiographs
from cxr_gan.sampling import drawn_like
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import patient_weights

FEATURES, PIXELS = "features", "pixels"
SAMPLES, SEED = 2000, 1
# Fewer tell nothing of a distribution.
FEWEST_IMAGES = 50


@dataclass(frozen=True, slots=True)
class Request:
    """How to evaluate."""

    data: Path
    cache: Path
    samples: int = SAMPLES
    resamples: int = 200
    seed: int = SEED
    truncation: float | None = None


def evaluate(synthesizer: Synthesizer, extractor: Extractor, request: Request) -> Evaluation:
    """Measure the generator.

    Raises:
        DataError: what the data's readers refuse.
        GanError: too few samples asked for, too few radiographs.
    """
    side_px, seed = synthesizer.spec.side_px, request.seed
    if request.samples < FEWEST_IMAGES:
        raise GanError(f"--n {request.samples}: an evaluation needs {FEWEST_IMAGES} or more")
    if side_px <= KERNEL_PX:
        raise GanError(f"images of {side_px} px are too small to evaluate")
    reals = read_radiographs(
        request.data,
        side_px,
        request.cache,
        splits=(Split.TRAIN, Split.VALIDATION),
        least=FEWEST_IMAGES,
    )
    real_features = cached_features(extractor, reals, request.cache)

    def real_set(indices: Indices) -> ImageSet:
        features = np.asarray(real_features[indices])
        return ImageSet(reals.images(indices), features, reals.patients[indices])

    order = [in_patient_order(x, seed) for x in np.split(reals.patients, [reals.n_first])]
    training, unseen = order[0], reals.n_first + order[1]
    n = min(request.samples, len(training), len(unseen))
    samples = _samples(synthesizer, extractor, reals, request)
    first = ImageSet(samples.images[:n], samples.features[:n], samples.patients[:n])
    figures = _distances(first, real_set(training[:n]), real_set(unseen[:n]), extractor, request)
    shown, held_out = real_set(training), real_set(unseen)
    draws, held_out_draws = (
        patient_weights(x.patients.tolist(), request.resamples, seed) for x in (samples, held_out)
    )
    for space, of in ((FEATURES, lambda x: x.features), (PIXELS, lambda x: small_pixels(x.images))):
        points, known, unseen_points = (of(images) for images in (samples, shown, held_out))
        found = memorisation(points, known, unseen_points, draws, held_out_draws)
        for name, result in found.items():
            figures.append(Figure(name=name, subset=space, result=result, n=request.samples))
    identity = synthesizer.identity
    return Evaluation(
        model=identity.name,
        version=identity.version,
        sha256=identity.sha256,
        side_px=side_px,
        extractor=extractor.name,
        figures=[_rounded(figure) for figure in figures],
    )


def in_patient_order(patients: npt.NDArray[np.str_], seed: int) -> Indices:
    """All indices, patient by patient, the patients shuffled.

    The first n of them hold as many images of one patient as the whole does, which n images drawn
    one by one would not: such sets resemble each other as much as they should.
    """
    names, index = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    return np.argsort(place[index], kind="stable")


def _samples(
    synthesizer: Synthesizer, extractor: Extractor, reals: Radiographs, request: Request
) -> ImageSet:
    seeds = range(request.seed, request.seed + request.samples)
    # Asked for as the training radiographs are labelled, so that the mix is no difference.
    labels = frozenset(synthesizer.spec.labels)
    known = [findings & labels for findings in reals.findings[: reals.n_first]]
    asked = synthesizer.label_input(drawn_like(known, request.samples, request.seed))
    images = synthesizer.images(seeds, asked, request.truncation)
    names = np.array([f"sample {seed}" for seed in seeds])
    return ImageSet(images, features_of(extractor, images, "samples"), names)


def _distances(
    samples: ImageSet, real: ImageSet, held_out: ImageSet, extractor: Extractor, request: Request
) -> list[Figure]:
    """Of the samples, of held-out radiographs, of those blurred, and of noise like them."""
    seed, resamples = request.seed, request.resamples
    found, floor = (measure(images, real, resamples, seed) for images in (samples, held_out))
    beside = {}
    degraded = {"blurred": blurred(held_out.images), "ceiling": noise_like(held_out.images, seed)}
    for name, images in degraded.items():
        features = features_of(extractor, images, name)
        beside[name] = measure(ImageSet(images, features, held_out.patients), real, 0, seed)
    return [
        Figure(
            name=name,
            subset="",
            result=found[name],
            n=len(samples.images),
            floor=floor[name],
            **{kind: measured[name].value for kind, measured in beside.items()},
        )
        for name in TITLES
    ]


def _rounded(figure: Figure) -> Figure:
    """To six digits: more are noise, and differ between machines."""

    def six(value: object) -> object:
        if isinstance(value, dict):
            return {key: six(inner) for key, inner in value.items()}
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return Figure.model_validate(six(figure.model_dump()))
