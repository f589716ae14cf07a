"""Does the generator give its training images back?

A generator that had learnt the distribution alone would lie no nearer to the radiographs it was
trained on than to those of other patients, and no nearer to single ones than another patient's
radiograph lies. Both are measured, in features and in pixels, beside radiographs of validation
patients, whom it never saw.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from cxr_classifier.preprocessing import to_canonical
from cxr_contracts import Interval
from cxr_gan.judging.distances import Numbers
from cxr_gan.judging.extractor import Features, Images
from cxr_gan.judging.neighbours import distance_rows, nearest
from cxr_gan.judging.reals import parts_of
from cxr_training.metrics.bootstrap import Weights, interval_of, share_interval

RATIO, NEARER, STANDING_OUT = "nearest_ratio", "share_nearer", "share_standing_out"
SHARES = (NEARER, STANDING_OUT)
TO_TRAINING = "nearest_is_training"
PIXELS_PX = 32
PERCENTILE = 1.0
SCALE_NEIGHBOUR = 50
FEWEST_PARTS = 4


@dataclass(frozen=True, slots=True)
class Nearness:
    """Of each image [n], its distance to the nearest training image.

    `relative` is the same divided by the distance to the fiftieth: a blurred picture is near to
    everything, a copy is near to one.
    """

    first: Numbers
    relative: Numbers


def small_pixels(images: Images) -> Features:
    """[n, 1024]: each image at 32 px, its mean 0 and its standard deviation 1.

    So that a copy that is merely lighter, or of more contrast, is a copy.
    """
    small = np.stack([to_canonical(np.asarray(image), PIXELS_PX).ravel() for image in images])
    grey = small.astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    scaled: Features = grey / np.maximum(grey.std(axis=1, keepdims=True), 1e-6)
    return scaled


def nearness(points: Features, training: Features) -> Nearness:
    """How near each point is to the training images."""
    found = nearest(points, training, SCALE_NEIGHBOUR)
    return Nearness(found[:, 0], found[:, 0] / np.maximum(found[:, 1], 1e-12))


def against_held_out(
    samples: Nearness, held_out: Nearness, draws: Weights, held_out_draws: Weights
) -> dict[str, Interval]:
    """How much nearer to training images the samples lie than held-out radiographs do.

    `nearest_ratio` is of the medians. `share_nearer` is the share of samples nearer than the
    nearest hundredth of held-out radiographs, and `share_standing_out` the same of relative
    distances; both are a hundredth where nothing is remembered.

    Args:
        samples: of the generator.
        held_out: of validation patients.
        draws: how often each sample stands in each resample, [B, n].
        held_out_draws: the same of held-out radiographs, by patient.
    """
    rows: dict[str, list[float]] = {RATIO: [], NEARER: [], STANDING_OUT: []}
    lines = [(_ones(samples), _ones(held_out)), *zip(draws, held_out_draws, strict=True)]
    for ours, theirs in lines:
        first, relative = np.repeat(samples.first, ours), np.repeat(samples.relative, ours)
        real, real_relative = (
            np.repeat(values, theirs) for values in (held_out.first, held_out.relative)
        )
        rows[RATIO].append(float(np.median(first) / np.median(real)))
        rows[NEARER].append(float((first < np.percentile(real, PERCENTILE)).mean()))
        edge = np.percentile(real_relative, PERCENTILE)
        rows[STANDING_OUT].append(float((relative < edge).mean()))
    shares = {name: share_interval(np.array(rows[name]), len(draws[0])) for name in SHARES}
    return {RATIO: interval_of(rows[RATIO][0], np.array(rows[RATIO][1:])), **shares}


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
    to_held_out = nearest(points, held_out[:size], 1)[:, 0]
    share = _won(to_parts, to_held_out)
    luck = [
        _won(np.delete(to_parts, column, axis=1), to_parts[:, column]).mean()
        for column in range(len(parts))
    ]
    of_samples = draws @ share / draws.sum(axis=1)
    error = float(np.hypot(np.std(luck, ddof=1), np.std(of_samples)))
    margin = float(t.ppf(0.975, len(parts) - 1)) * error
    value = float(share.mean())
    return Interval(value=value, low=max(0.0, value - margin), high=min(1.0, value + margin))


def _won(to_parts: Numbers, to_other: Numbers) -> Numbers:
    """For each point [n], in how many parts [n, K] it has a nearer image than in the other set."""
    other = to_other[:, None]
    won: Numbers = ((to_parts < other) + 0.5 * (to_parts == other)).mean(axis=1)
    return won


def _ones(near: Nearness) -> Weights:
    return np.ones(len(near.first), np.int64)
