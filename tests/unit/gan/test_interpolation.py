"""The arc between two latents."""

import numpy as np
import pytest

from cxr_gan.interpolation.strip import between


def test_the_way_keeps_to_the_sphere_in_equal_steps() -> None:
    first, last = np.array([3, 0], np.float32), np.array([0, 3], np.float32)
    way = [between(first, last, part) for part in np.linspace(0, 1, 5)]
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3, rtol=1e-6)
    angles = np.arctan2([point[1] for point in way], [point[0] for point in way])
    np.testing.assert_allclose(np.diff(angles), np.pi / 8, rtol=1e-5)


@pytest.mark.parametrize("last", [[2.0, 0.0], [-2.0, 0.0]])
def test_between_parallel_latents_the_way_is_straight(last: list[float]) -> None:
    first = np.array([1, 0], np.float32)
    found = between(first, np.array(last, np.float32), 0.5)
    np.testing.assert_allclose(found, [(1 + last[0]) / 2, 0])
