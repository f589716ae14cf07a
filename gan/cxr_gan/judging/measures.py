"""The figures of one set of images against the reference, whatever the set is.

Samples, held-out radiographs (the floor), blurred ones and noise (the ceiling) go through the
same lines, so that a figure and what stands beside it differ in nothing but the images.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from cxr_contracts import Interval
from cxr_gan.judging.distances import FrechetReference, KernelComparison, Numbers
from cxr_gan.judging.diversity import pair_similarities
from cxr_gan.judging.extractor import Features, Images
from cxr_gan.judging.neighbours import inside_any, radii
from cxr_gan.judging.probe import linear_probe, pixel_probe
from cxr_training.metrics.bootstrap import Weights, interval_of, patient_weights, share_interval

FRECHET, KERNEL = "frechet_distance", "kernel_distance"
PRECISION, RECALL = "precision", "recall"
DIVERSITY = "ms_ssim"
LINEAR_PROBE, PIXEL_PROBE = "probe_features", "probe_pixels"
FIGURES = (FRECHET, KERNEL, PRECISION, RECALL, DIVERSITY, LINEAR_PROBE, PIXEL_PROBE)
# Kynkäänniemi et al., NeurIPS 2019.
NEIGHBOURS = 3
PAIRS = 400
# One costs half a second at 1,280 features; of so few, the spread is taken and not percentiles.
FRECHET_RESAMPLES = 20
_Z = 1.959964
BLUR_SIDE_PARTS = 32


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images [n, side, side], their features [n, d] and their patients [n]."""

    images: Images
    features: Features
    patients: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Reference:
    """The real images that every set is compared with."""

    real: ImageSet
    frechet: FrechetReference = field(init=False)
    radii: Numbers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frechet", FrechetReference(self.real.features))
        object.__setattr__(self, "radii", radii(self.real.features, NEIGHBOURS))


def measure(
    images: ImageSet, reference: Reference, resamples: int, seed: int
) -> dict[str, Interval]:
    """Every figure of `FIGURES`; the intervals are of `images`, with the reference held fixed."""
    draws = patient_weights(images.patients.tolist(), resamples, seed)
    real = reference.real
    kernel = KernelComparison(real.features, images.features)
    precise = inside_any(images.features, real.features, reference.radii)
    recalled = inside_any(real.features, images.features, radii(images.features, NEIGHBOURS))
    recall_draws = patient_weights(real.patients.tolist(), resamples, seed)
    pairs = pair_similarities(images.images, PAIRS, seed, images.patients)
    pair_draws = patient_weights([str(row) for row in range(len(pairs))], resamples, seed)
    return {
        FRECHET: _frechet(images, reference, draws[:FRECHET_RESAMPLES]),
        KERNEL: interval_of(kernel.distance(), np.array([kernel.distance(row) for row in draws])),
        PRECISION: share_of(precise, draws, images.patients),
        RECALL: share_of(recalled, recall_draws, real.patients),
        DIVERSITY: mean_interval(pairs, pair_draws),
        **_probes(images, real, resamples, seed),
    }


def mean_interval(values: npt.NDArray[np.bool_] | Numbers, draws: Weights) -> Interval:
    """The mean of `values` [n] with the interval of its resamples [B, n]."""
    numbers = values.astype(np.float64)
    return interval_of(float(numbers.mean()), draws @ numbers / draws.sum(axis=1))


def share_of(
    values: npt.NDArray[np.bool_], draws: Weights, groups: npt.NDArray[np.str_]
) -> Interval:
    """The share of `values` [n] that hold; none and all have an interval, too."""
    if not len(draws):
        return mean_interval(values, draws)
    shares = np.concatenate([[values.mean()], draws @ values / draws.sum(axis=1)])
    return share_interval(shares, len(np.unique(groups)))


def noise_like(images: Images, seed: int) -> Images:
    """Each pixel taken from another random image: the mean image is right, and nothing else."""
    rng = np.random.default_rng(seed)
    flat = images.reshape(len(images), -1)
    return rng.permuted(flat, axis=0).reshape(images.shape)


def blurred(images: Images) -> Images:
    """Without detail: a Gaussian blur of a 32nd of the side."""
    sigma = images.shape[1] / BLUR_SIDE_PARTS
    return np.stack([gaussian_filter(image, sigma) for image in images])


def _frechet(images: ImageSet, reference: Reference, draws: Weights) -> Interval:
    """The distance with 1.96 standard errors.

    A resample repeats images and so lies further away than the set itself; only the spread of the
    resamples is taken, not their place.
    """
    comparison = reference.frechet.compared_with(images.features)
    value = comparison.distance()
    found = [comparison.distance(row) for row in draws]
    margin = _Z * float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return Interval(value=value, low=value - margin, high=value + margin)


def _probes(images: ImageSet, real: ImageSet, resamples: int, seed: int) -> dict[str, Interval]:
    groups = np.concatenate([real.patients, images.patients])
    synthetic = np.arange(len(groups)) >= len(real.patients)
    draws = patient_weights(groups.tolist(), resamples, seed)
    features = np.concatenate([real.features, images.features])
    pixels = np.concatenate([real.images, images.images])
    return {
        LINEAR_PROBE: share_of(linear_probe(features, synthetic, groups), draws, groups),
        PIXEL_PROBE: share_of(pixel_probe(pixels, synthetic, groups, seed), draws, groups),
    }
