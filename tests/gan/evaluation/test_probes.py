"""The probes tell noise from radiographs, and not radiographs from radiographs."""

import numpy as np

from cxr_gan.evaluation.features import PixelFeatures
from cxr_gan.evaluation.measures import noise_like
from cxr_gan.evaluation.probes import linear_probe, pixel_probe
from support.synthetic_nih import draw

N = 150


def films(n: int, seed: int) -> np.ndarray:
    """Each its own brightness, and smooth, as noise is not."""
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 30, (n, 2, 1, 1))
    grid = np.mgrid[-1:1:16j, -1:1:16j]
    drawn = np.stack([draw(None, 16, rng) for _ in range(n)])
    smooth = 40 + 0.5 * drawn + (slopes * grid).sum(axis=1) + rng.normal(0, 25, (n, 1, 1))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def accuracies(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    images = np.concatenate([first, second])
    synthetic = np.arange(len(images)) >= len(first)
    patients = np.array([str(row // 2) for row in range(len(images))])
    features = PixelFeatures(8)(images)
    return (
        float(linear_probe(features, synthetic, patients).mean()),
        float(pixel_probe(images, synthetic, patients, seed=0).mean()),
    )


def test_radiographs_are_not_told_from_radiographs() -> None:
    on_features, on_pixels = accuracies(films(N, 0), films(N, 1))
    assert 0.38 < on_features < 0.62
    assert 0.38 < on_pixels < 0.62


def test_noise_is_told_from_radiographs() -> None:
    real = films(N, 0)
    _, on_pixels = accuracies(real, noise_like(films(N, 1), 0))
    assert on_pixels > 0.9


def test_a_faint_lattice_is_told_from_radiographs() -> None:
    lattice = 8 * (np.indices((16, 16)).sum(axis=0) % 2) - 4
    marked = np.clip(films(N, 1) + lattice.astype(float), 0, 255).astype(np.uint8)
    _, on_pixels = accuracies(films(N, 0), marked)
    assert on_pixels > 0.9


def test_another_brightness_is_told_by_features() -> None:
    real = films(N, 0)
    on_features, _ = accuracies(real, np.clip(films(N, 1) * 1.8, 0, 255).astype(np.uint8))
    assert on_features > 0.8


def test_a_probe_answers_the_same_when_it_is_asked_again() -> None:
    images = np.concatenate([films(30, 0), films(30, 1)])
    synthetic = np.arange(60) >= 30
    patients = np.array([str(row) for row in range(60)])
    first, second = (pixel_probe(images, synthetic, patients, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
