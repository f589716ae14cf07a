"""What a perfect opinion and any order could make of the same boxes, counted by hand."""

import numpy as np
import pytest
from cxr_training.rescoring.answers import FINDINGS, Answers
from cxr_training.rescoring.forms import detector_alone
from cxr_training.rescoring.headroom import perfect_opinion, reached
from cxr_training.rescoring.judging import MAP50, figures, held_out

from cxr_contracts import Region
from cxr_training.detector.annotations import REGIONS
from cxr_training.detector.scoring import IOU_THRESHOLDS

MASS, NODULE = REGIONS.index(Region.MASS), REGIONS.index(Region.NODULE)


@pytest.fixture
def answers() -> Answers:
    """Four patients' films; two show a mass, one of them two, and nobody looked on the last."""
    truth = np.zeros((4, len(REGIONS)), dtype=np.int64)
    truth[0, MASS], truth[1, MASS], truth[3, NODULE] = 1, 2, 1
    known = np.ones_like(truth, dtype=bool)
    known[3, MASS] = False
    image = np.array([0, 0, 1, 2, 3])
    hit = np.array([True, False, True, False, False])
    return Answers(
        probabilities=np.full((4, len(FINDINGS)), 0.5),
        truth=truth,
        known=known,
        patients=np.array([f"{number:08d}" for number in range(4)]),
        image=image,
        label=np.full(5, MASS),
        score=np.array([0.5, 0.4, 0.3, 0.9, 0.8]),
        hit=np.repeat(hit[:, None], len(IOU_THRESHOLDS), axis=1),
    )


def test_a_perfect_opinion_puts_films_without_the_class_behind_and_keeps_the_rest(
    answers: Answers,
) -> None:
    order = np.argsort(-perfect_opinion(answers).ranking, kind="stable")
    np.testing.assert_array_equal(order, [0, 1, 2, 3, 4])


def test_it_gains_what_wrong_films_had_cost(answers: Answers) -> None:
    everything = np.ones((1, 4))
    own = figures(answers, held_out(detector_alone, answers), everything)
    best = figures(answers, perfect_opinion(answers), everything)
    # A third of the recall at precision 1, the next at 2 of 3, nothing after; a point is 1 of 101.
    assert best.per_class[MASS, 0] == pytest.approx((1 + 2 / 3) / 3, abs=0.01)
    # The wrong film's box comes first: 1 of 2, then 2 of 4.
    assert own.per_class[MASS, 0] == pytest.approx(0.5 * 2 / 3, abs=0.01)
    assert best.named[MAP50][0] > own.named[MAP50][0]


def test_reached_counts_drawn_boxes_that_any_box_hits(answers: Answers) -> None:
    shares = reached(answers, np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0]], dtype=float))
    np.testing.assert_allclose(shares[MASS], [2 / 3, 1.0, np.nan])
    np.testing.assert_allclose(shares[NODULE], [0.0, np.nan, np.nan])
    np.testing.assert_allclose(shares[-1], [2 / 4, 1.0, np.nan])
