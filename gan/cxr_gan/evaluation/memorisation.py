"""Does the generator give its training images back?

A generator that had learnt the distribution alone would lie no nearer to the radiographs it was
trained on than to those of other patients, and no nearer to single ones than another patient's
radiograph lies. Both are measured, in features and in pixels, beside radiographs of validation
patients, whom it never saw.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from cxr_classifier.preprocessing import to_canonical
from cxr_contracts import Interval
from cxr_gan.evaluation.distances import Numbers, distance_rows, nearest
from cxr_gan.evaluation.features import Features
from cxr_gan.folders import Figure
from cxr_gan.generator import Images
from cxr_training.metrics.bootstrap import Weights, interval_of, share_interval

RATIO, NEARER, STANDING_OUT = "nearest_ratio", "share_nearer", "share_standing_out"
TO_TRAINING = "nearest_is_training"
# What a generator that remembers nothing gets.
EXPECTED = {RATIO: 1.0, NEARER: 0.01, STANDING_OUT: 0.01, TO_TRAINING: 0.5}
PIXELS_PX = 32
PERCENTILE = 1.0
SCALE_NEIGHBOUR = 50
FEWEST_PARTS = 4


def small_pixels(images: Images) -> Features:
    """[n, 1024]: each image at 32 px, its mean 0 and its standard deviation 1.

    So that a copy that is merely lighter, or of more contrast, is a copy.
    """
    small = np.stack([to_canonical(np.asarray(image), PIXELS_PX).ravel() for image in images])
    grey = small.astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    scaled: Features = grey / np.maximum(grey.std(axis=1, keepdims=True), 1e-6)
    return scaled


def memorisation(
    samples: Features,
    training: Features,
    held_out: Features,
    draws: Weights,
    held_out_draws: Weights,
) -> dict[str, Interval]:
    """How much nearer to training images the samples lie than held-out radiographs do.

    Of the distances to the nearest training image, `nearest_ratio` is that of the medians, and
    `share_nearer` the share of samples nearer than the nearest hundredth of held-out radiographs.
    `share_standing_out` is the same of the distances divided by that to the fiftieth nearest: a
    blurred image is near to everything, a copy is near to one.

    Args:
        samples: features of the samples [n, d].
        training: of all training images.
        held_out: of radiographs of patients whom the generator never saw.
        draws: how often each sample stands in each resample, [B, n].
        held_out_draws: the same of held-out radiographs, by patient.
    """
    found: dict[str, list[float]] = {RATIO: [], NEARER: [], STANDING_OUT: []}
    ours, theirs = (nearest(points, training, SCALE_NEIGHBOUR) for points in (samples, held_out))
    own, their = (x[:, 0] / np.maximum(x[:, 1], 1e-12) for x in (ours, theirs))
    whole = [np.ones(len(points), np.int64) for points in (samples, held_out)]
    for times, held_out_times in [whole, *zip(draws, held_out_draws, strict=True)]:
        first, real = np.repeat(ours[:, 0], times), np.repeat(theirs[:, 0], held_out_times)
        relative, edge = np.repeat(own, times), np.repeat(their, held_out_times)
        found[RATIO].append(float(np.median(first) / np.median(real)))
        found[NEARER].append(float((first < np.percentile(real, PERCENTILE)).mean()))
        found[STANDING_OUT].append(float((relative < np.percentile(edge, PERCENTILE)).mean()))
    ratio, *resampled = found[RATIO]
    return {
        RATIO: interval_of(ratio, np.array(resampled)),
        NEARER: share_interval(np.array(found[NEARER]), len(samples)),
        STANDING_OUT: share_interval(np.array(found[STANDING_OUT]), len(samples)),
        TO_TRAINING: nearest_is_training(samples, training, held_out, draws),
    }


def nearest_is_training(
    points: Features, training: Features, held_out: Features, draws: Weights
) -> Interval:
    """The share of points nearer to a training image than to any held-out one, of equal numbers.

    A half where neither is favoured, however blurred the points are (after the three-sample test
    of Meehan, Chaudhuri and Dasgupta, AISTATS 2020). Training images are taken in as many parts
    of the held-out ones' number as there are, and the share is the mean over the parts.

    The interval is of the samples and of the held-out images: blurred samples lie close together,
    and which set happens to have an image there decides about many of them. How much such luck
    makes is seen from each part of the training images in the held-out ones' place.
    """
    size = min(len(held_out), len(training) // FEWEST_PARTS)
    parts = parts_of(len(training), size)
    to_parts = np.full((len(points), len(parts)), np.inf)
    for rows, distances in distance_rows(points, training):
        for column, part in enumerate(parts):
            to_parts[rows, column] = distances[:, part].min(axis=1)
    share = _won(to_parts, nearest(points, held_out[:size], 1)[:, 0])
    columns = range(len(parts))
    luck = [_won(np.delete(to_parts, x, axis=1), to_parts[:, x]).mean() for x in columns]
    of_samples = draws @ share / draws.sum(axis=1)
    error = float(np.hypot(np.std(luck, ddof=1), np.std(of_samples)))
    margin = float(t.ppf(0.975, len(parts) - 1)) * error
    value = float(share.mean())
    return Interval(value=value, low=max(0.0, value - margin), high=min(1.0, value + margin))


def parts_of(n: int, size: int) -> Sequence[slice]:
    """As many runs of `size` as fit in `n`; at least one, of what there is."""
    return [slice(start, start + size) for start in range(0, max(n - size, 0) + 1, size)]


def verdict(name: str, figures: Sequence[Figure]) -> str:
    """A sentence on what the model `name` remembers, with the figures that it rests on."""
    found = {(figure.name, figure.subset): figure.result for figure in figures}
    spaces = [space for figure, space in found if figure == STANDING_OUT]
    copies = [x for x in spaces if found[STANDING_OUT, x].low > EXPECTED[STANDING_OUT]]
    leaning = [x for x in spaces if found[TO_TRAINING, x].low > EXPECTED[TO_TRAINING]]
    said = "; ".join(
        f"in {x}, {_percent(found[STANDING_OUT, x])} stand out (1% expected) and "
        f"{_percent(found[TO_TRAINING, x])} are nearest to a training image (50% expected)"
        for x in spaces
    )
    if copies:
        return f"**{name} gives training images back**, or nearly ({' and '.join(copies)}): {said}."
    if leaning:
        return (
            f"**{name} leans towards its training images** ({' and '.join(leaning)}), though no "
            f"more single ones stand out than chance lets: {said}."
        )
    return f"**{name}: no sign that training images are given back**: {said}."


def _won(to_parts: Numbers, to_other: Numbers) -> Numbers:
    """For each point [n], in how many parts [n, K] it has a nearer image than in the other set."""
    other = to_other[:, None]
    won: Numbers = ((to_parts < other) + 0.5 * (to_parts == other)).mean(axis=1)
    return won


def _percent(result: Interval) -> str:
    return f"{result.value:.1%} ({result.low:.1%} to {result.high:.1%})"
