"""The number of images at once is that which a model is fastest with."""

import time
from collections.abc import Callable

import pytest

from cxr_serving.batch_size import best_batch_size


@pytest.mark.parametrize(
    ("seconds", "most", "best"),
    [
        (lambda size: 0.004 * size, 8, 1),  # a CPU: no image is faster for its neighbours
        (lambda size: 0.008 + 0.0001 * size, 8, 8),  # a GPU: the first image pays for all
        (lambda size: 0.008 + 0.0001 * size, 6, 6),
        (lambda size: 0.004 if size <= 2 else 0.004 * size, 8, 2),
        (lambda size: 0.001 * size, 1, 1),
    ],
)
def test_it_grows_as_long_as_an_image_gets_faster(
    seconds: Callable[[int], float],
    most: int,
    best: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, now = list[int](), 0.0

    def run(size: int) -> None:
        nonlocal now
        tried.append(size)
        now += seconds(size)

    with monkeypatch.context() as clock:
        clock.setattr(time, "perf_counter", lambda: now)
        assert best_batch_size(run, most) == best
    # Memory that a batch needs is kept: what brings nothing is left at the first try.
    assert max(tried, default=1) <= min(2 * best, most)
