"""How many images a model reads best at once: measured at start, where it runs."""

import statistics
import time
from collections.abc import Callable

# A batch has to be so much faster an image than half as many: its first image waits for its last.
_GAIN = 0.05
_TIMED_RUNS = 3


def best_batch_size(run: Callable[[int], object], most: int) -> int:
    """A number of images from 1 to `most`: doubled as long as an image gets faster.

    So a CPU, which gains little, is not asked for a large batch, whose memory it would keep.

    Args:
        run: lets the model read so many images at once.
        most: the largest number to try.
    """
    if most == 1:
        return 1
    size, image_s = 1, _seconds(run, 1)
    while size < most:
        larger = min(2 * size, most)
        larger_s = _seconds(run, larger) / larger
        if larger_s > (1.0 - _GAIN) * image_s:
            break
        size, image_s = larger, larger_s
    return size


def _seconds(run: Callable[[int], object], size: int) -> float:
    """The median time of a run, after a first one."""
    times = []
    for _ in range(1 + _TIMED_RUNS):
        started = time.perf_counter()
        run(size)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
