"""Distances between sets of features, against their papers' formulas and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from cxr_gan.evaluation.distances import (
    FrechetComparison,
    FrechetReference,
    KernelComparison,
    inside_any,
    nearest,
    radii,
)
from cxr_gan.evaluation.features import Features
from cxr_gan.evaluation.measures import exponents_for, pair_similarities

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(6, 6))


def features(n: int = 400, *, shift: float = 0.0, spread: float = 1.0) -> Features:
    return (RNG.normal(size=(n, 6)) @ MIX * spread + shift).astype(np.float32)


def frechet_of(real: Features, other: Features) -> float:
    return FrechetComparison(FrechetReference(real), other).distance()


class AsTheyAre(nn.Module):
    """For torchmetrics: what it is given are features already."""

    num_features = 6

    def forward(self, rows: Tensor) -> Tensor:
        return rows


@pytest.fixture(scope="module")
def pair() -> tuple[Features, Features]:
    return features(), features(300, shift=0.4, spread=1.3)


def test_the_frechet_distance_is_the_formula_of_two_normal_distributions(
    pair: tuple[Features, Features],
) -> None:
    real, other = (rows.astype(np.float64) for rows in pair)
    first, second = np.cov(real, rowvar=False), np.cov(other, rowvar=False)
    apart = ((real.mean(0) - other.mean(0)) ** 2).sum()
    expected = apart + np.trace(first + second - 2 * sqrtm(first @ second).real)
    found = frechet_of(pair[0], pair[1])
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_known_moments() -> None:
    """Of N(0, 1) and N(3, 4), coordinate by coordinate: 9 + (2 - 1)^2."""
    rows = RNG.normal(size=(4000, 2))
    rows = (rows - rows.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False)).T)
    found = frechet_of(rows.astype(np.float32), (rows * 2 + 3).astype("f4"))
    assert found == pytest.approx(2 * (9 + 1), rel=1e-4)


def test_both_distances_are_those_of_torchmetrics(pair: tuple[Features, Features]) -> None:
    frechet = FrechetInceptionDistance(feature=AsTheyAre())
    with pytest.warns(UserWarning, match="buffer"):
        kernel = KernelInceptionDistance(feature=AsTheyAre(), subsets=1, subset_size=300)
    for metric in (frechet, kernel):
        metric.update(torch.from_numpy(pair[0][:300]).double(), real=True)
        metric.update(torch.from_numpy(pair[1]).double(), real=False)
    ours = frechet_of(pair[0][:300], pair[1])
    assert ours == pytest.approx(float(frechet.compute()), rel=1e-4)
    found = KernelComparison(pair[0][:300], pair[1]).distance()
    assert found == pytest.approx(float(kernel.compute()[0]), rel=1e-4)


def test_a_set_is_at_no_distance_from_itself_and_further_the_more_it_is_spoilt() -> None:
    real = features()
    assert frechet_of(real, real) == pytest.approx(0, abs=1e-4)
    spoilt = [features(shift=shift) for shift in (0.7, 1.5, 3.0)]
    frechet = [frechet_of(real, rows.astype("f4")) for rows in spoilt]
    kernel = [KernelComparison(real, rows.astype("f4")).distance() for rows in spoilt]
    assert 0.01 < frechet[0] < frechet[1] < frechet[2]
    assert 0 < kernel[0] < kernel[1] < kernel[2]


def test_the_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    found = [KernelComparison(features(80), features(80)).distance() for _ in range(60)]
    margin = 4 * np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < margin


def test_weights_are_repetitions(pair: tuple[Features, Features]) -> None:
    real, other = pair
    weights = RNG.integers(0, 3, len(other))
    repeated = np.repeat(other, weights, axis=0)
    weighted = FrechetComparison(FrechetReference(real), other).distance(weights)
    assert weighted == pytest.approx(frechet_of(real, repeated), rel=1e-6)


def test_the_kernel_distance_never_pairs_an_image_with_itself() -> None:
    """A resample of one distribution stays at zero, though it repeats images."""
    found = []
    for _ in range(60):
        comparison = KernelComparison(features(80), features(80))
        found.append(comparison.distance(RNG.multinomial(80, np.full(80, 1 / 80))))
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_nearest_neighbours_are_found_and_a_copy_is_at_zero() -> None:
    points, others = features(300), features(500)
    points[7] = others[123]
    brute = np.sort(np.linalg.norm(points[:, None] - others[None], axis=2), axis=1)
    found = nearest(points, others, 5)
    np.testing.assert_allclose(found, brute[:, [0, 4]], atol=1e-5)
    assert found[7, 0] < 1e-5


def test_what_lies_in_the_crowd_is_inside_and_what_does_not_is_outside() -> None:
    crowd = features(300)
    within = radii(crowd, 3)
    assert inside_any(features(300), crowd, within).mean() > 0.6
    assert not inside_any(features(50, shift=100.0), crowd, within).any()
    assert inside_any(crowd, crowd, within).all()


def test_alike_images_are_more_alike_than_others_and_noise_is_least() -> None:
    rng = np.random.default_rng(1)
    base = np.linspace(0, 200, 32)[None, None] + np.zeros((40, 32, 1))
    noise = rng.integers(0, 256, (40, 32, 32)).astype(np.uint8)
    names = np.array([str(row) for row in range(40)])

    def alike(images: np.ndarray) -> float:
        return float(pair_similarities(images.astype(np.uint8), 20, 0, names).mean())

    same = alike(base)
    near = alike(np.clip(base + rng.normal(0, 15, (40, 32, 32)), 0, 255))
    assert same == pytest.approx(1, abs=1e-4)
    assert same > near + 0.05 > alike(noise) + 0.1


def test_images_of_one_patient_are_never_a_pair() -> None:
    """Each patient has an image twice: alone they would be alike."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (30, 16, 16)).astype(np.uint8).repeat(2, axis=0)
    patients = np.array([str(row) for row in range(30)]).repeat(2)
    found = pair_similarities(images, 30, 0, patients)
    assert 20 < len(found) <= 30
    assert found.max() < 0.5


@pytest.mark.parametrize(("side", "scales"), [(16, 1), (32, 2), (64, 3), (128, 4), (256, 5)])
def test_as_many_scales_as_fit(side: int, scales: int) -> None:
    assert len(exponents_for(side)) == scales
    assert sum(exponents_for(side)) == pytest.approx(1, abs=1e-3)
