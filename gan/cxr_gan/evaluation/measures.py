"""The figures of one set of images against the reference, whatever the set is.

Samples, held-out radiographs (the floor), blurred ones and noise (the ceiling) go through the
same lines, so that a figure and what stands beside it differ in nothing but the images.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

from cxr_contracts import Interval
from cxr_gan.evaluation.distances import (
    FrechetComparison,
    FrechetReference,
    KernelComparison,
    Numbers,
    inside_any,
    radii,
)
from cxr_gan.evaluation.features import Features
from cxr_gan.generator import Images
from cxr_training.metrics.bootstrap import Weights, interval_of, patient_weights, share_interval

FRECHET, KERNEL = "frechet_distance", "kernel_distance"
PRECISION, RECALL = "precision", "recall"
DIVERSITY = "ms_ssim"
TITLES = {
    FRECHET: "Fréchet distance",
    KERNEL: "kernel distance",
    PRECISION: "precision",
    RECALL: "recall",
    DIVERSITY: "MS-SSIM of pairs",
}
# Kynkäänniemi et al., NeurIPS 2019.
NEIGHBOURS = 3
PAIRS = 400
# One costs half a second at 1,280 features; of so few, the spread is taken and not percentiles.
FRECHET_RESAMPLES = 20
_Z = 1.959964
BLUR_SIDE_PARTS = 32
KERNEL_PX = 11
# Of MS-SSIM's five scales, finest first; a small image has room for fewer.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_PAIRS_AT_ONCE = 50


@dataclass(frozen=True)
class ImageSet:
    """Images [n, side, side], their features [n, d] and their patients [n]."""

    images: Images
    features: Features
    patients: npt.NDArray[np.str_]

    @cached_property
    def frechet(self) -> FrechetReference:
        """The set as the one that others are compared with."""
        return FrechetReference(self.features)

    @cached_property
    def radii(self) -> Numbers:
        """How far each image's neighbourhood reaches."""
        return radii(self.features, NEIGHBOURS)


def measure(images: ImageSet, real: ImageSet, resamples: int, seed: int) -> dict[str, Interval]:
    """Every figure of `TITLES`; the intervals are of `images`, with `real` held fixed."""
    draws = patient_weights(images.patients.tolist(), resamples, seed)
    kernel = KernelComparison(real.features, images.features)
    precise = inside_any(images.features, real.features, real.radii)
    recalled = inside_any(real.features, images.features, images.radii)
    recall_draws = patient_weights(real.patients.tolist(), resamples, seed)
    pairs = pair_similarities(images.images, PAIRS, seed, images.patients)
    pair_draws = patient_weights([str(pair) for pair in range(len(pairs))], resamples, seed)
    return {
        FRECHET: _frechet(images, real, draws[:FRECHET_RESAMPLES]),
        KERNEL: interval_of(kernel.distance(), np.array([kernel.distance(row) for row in draws])),
        PRECISION: _share(precise, draws, images.patients),
        RECALL: _share(recalled, recall_draws, real.patients),
        DIVERSITY: _mean(pairs, pair_draws),
    }


def pair_similarities(
    images: Images, pairs: int, seed: int, groups: npt.NDArray[np.str_]
) -> Numbers:
    """How alike random pairs of different `groups` (patients) are, each image in at most one pair.

    MS-SSIM (Wang, Simoncelli and Bovik 2003) as Odena, Olah and Shlens (ICML 2017) use it: near 1
    where a generator makes one image again and again.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    half = len(order) // 2
    first, second = order[:half], order[half : 2 * half]
    apart = groups[first] != groups[second]
    first, second = first[apart][:pairs], second[apart][:pairs]
    exponents, found = exponents_for(images.shape[1]), []
    with torch.inference_mode():
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            one, other = (
                torch.from_numpy(images[rows[some]].astype(np.float32) / 255.0)[:, None]
                for rows in (first, second)
            )
            alike = ms_ssim(
                one,
                other,
                kernel_size=KERNEL_PX,
                reduction="none",
                data_range=1.0,
                betas=exponents,
                # A negative contrast term to the power of a fraction is no number.
                normalize="relu",
            )
            found.append(alike.double().numpy())
    return np.concatenate(found)


def exponents_for(side_px: int) -> tuple[float, ...]:
    """The exponents of as many scales as fit, scaled to the same sum.

    The coarsest scale has to be larger than the kernel: two scales for 32 px, three for 64.
    """
    scales = 1
    while scales < len(_EXPONENTS) and side_px // 2**scales > KERNEL_PX:
        scales += 1
    used = _EXPONENTS[:scales]
    return tuple(value / sum(used) * sum(_EXPONENTS) for value in used)


def noise_like(images: Images, seed: int) -> Images:
    """Each pixel taken from another random image: the mean image is right, and nothing else."""
    flat = images.reshape(len(images), -1)
    return np.random.default_rng(seed).permuted(flat, axis=0).reshape(images.shape)


def blurred(images: Images) -> Images:
    """Without detail: a Gaussian blur of a 32nd of the side."""
    sigma = images.shape[1] / BLUR_SIDE_PARTS
    return np.stack([gaussian_filter(image, sigma) for image in images])


def _mean(values: npt.NDArray[np.bool_] | Numbers, draws: Weights) -> Interval:
    numbers = values.astype(np.float64)
    return interval_of(float(numbers.mean()), draws @ numbers / draws.sum(axis=1))


def _share(values: npt.NDArray[np.bool_], draws: Weights, groups: npt.NDArray[np.str_]) -> Interval:
    """The share of `values` [n] that hold; none and all have an interval, too."""
    if not len(draws):
        return _mean(values, draws)
    shares = np.concatenate([[values.mean()], draws @ values / draws.sum(axis=1)])
    return share_interval(shares, len(np.unique(groups)))


def _frechet(images: ImageSet, real: ImageSet, draws: Weights) -> Interval:
    """The distance with 1.96 standard errors.

    A resample repeats images and so lies further away than the set itself; only the spread of the
    resamples is taken, not their place.
    """
    comparison = FrechetComparison(real.frechet, images.features)
    value = comparison.distance()
    found = [comparison.distance(row) for row in draws]
    margin = _Z * float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return Interval(value=value, low=value - margin, high=value + margin)
