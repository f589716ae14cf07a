"""Fitting a rescoring on drawn predictions, where it is known whether the classifier helps."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Finding, Region
from cxr_gateway.analysis.rescoring import join
from cxr_serving.model_folder import choose_model
from cxr_training.data.annotations import BACKGROUND, REGIONS, AnnotatedImage
from cxr_training.data.splits import Split
from cxr_training.export.publishing import read_manifest
from cxr_training.metrics.detection import IOU_THRESHOLDS
from cxr_training.metrics.thresholds import Threshold
from cxr_training.rescoring.evaluation import (
    ALL,
    BASELINE,
    FROCS,
    LIFTED,
    LOG_LOSS,
    MAP50,
    Figures,
    compare,
    figures,
    is_worth_it,
    manifest_thresholds,
    operating_figures,
)
from cxr_training.rescoring.fit import FOLDS, detector_alone, fold_of, held_out, lifted
from cxr_training.rescoring.predictions import FINDINGS, Predictions, matched_by_size
from cxr_training.rescoring.publish import lowest_useful
from cxr_training.rescoring.report import write_results
from support.rescorings import a_joining as a_rescoring
from support.rescorings import region_joining as region_rescoring

DETECTOR = choose_model(Path(__file__).parents[3] / "models/detector")
DRAWN = (Region.MASS, Region.EFFUSION, Region.FRACTURE)
MASS, FRACTURE = REGIONS.index(Region.MASS), REGIONS.index(Region.FRACTURE)


def drawn_predictions(*, helps: bool, seed: int = 0, n_images: int = 400) -> Predictions:
    """Two films a patient; a third of them has each region, and six boxes are found of each.

    The score of a box says whether it is right; the probability says, if it `helps`, whether
    the film has the region, and else nothing.
    """
    rng = np.random.default_rng(seed)
    truth = np.zeros((n_images, len(REGIONS)), dtype=np.int64)
    probabilities = np.full((n_images, len(FINDINGS)), 0.1)
    rows = []
    for region in DRAWN:
        label = REGIONS.index(region)
        truth[:, label] = rng.random(n_images) < 1 / 3
        if region.value in set(Finding):
            evidence = 3.0 * truth[:, label] * helps + rng.normal(-1.5, 1.0, n_images)
            probabilities[:, FINDINGS.index(Finding(region.value))] = 1 / (1 + np.exp(-evidence))
        for image in range(n_images):
            for position in range(6):
                right = position == 0 and truth[image, label]
                score = 1 / (1 + np.exp(-rng.normal(-0.5 if right else -2.0, 1.0)))
                rows.append((image, label, score, right))
    rows.sort(key=lambda row: (row[0], -row[2]))
    images, labels, scores, rights = (np.array(column) for column in zip(*rows, strict=True))
    return Predictions(
        probabilities=probabilities,
        truth=truth,
        known=np.ones_like(truth, dtype=bool),
        annotated=np.arange(n_images) < 300,
        patients=np.array([f"{number // 2:08d}" for number in range(n_images)]),
        image=images,
        label=labels,
        score=scores,
        hit=np.repeat(rights[:, None].astype(bool), len(IOU_THRESHOLDS), axis=1),
    )


@pytest.fixture(scope="module")
def helping() -> Predictions:
    return drawn_predictions(helps=True)


@pytest.fixture(scope="module")
def useless() -> Predictions:
    return drawn_predictions(helps=False)


def compared(predictions: Predictions, resamples: int = 60) -> dict[str, Figures]:
    scored = {
        BASELINE: held_out(detector_alone, predictions),
        LIFTED: held_out(lifted, predictions),
    }
    own = manifest_thresholds(read_manifest(DETECTOR))
    thresholds = {BASELINE: own, LIFTED: own}
    return dict(compare(predictions, scored, thresholds, resamples=resamples).figures[ALL])


def test_a_classifier_that_knows_more_is_worth_it(helping: Predictions) -> None:
    judged = compared(helping)
    assert is_worth_it(judged)
    assert judged[LIFTED].named[MAP50][0] > judged[BASELINE].named[MAP50][0]


def test_a_classifier_that_knows_nothing_is_not(useless: Predictions) -> None:
    assert not is_worth_it(compared(useless))


def test_fewer_boxes_found_are_never_worth_it(helping: Predictions) -> None:
    judged = compared(helping)
    fewer = {name: judged[BASELINE].named[name] - 0.1 for name in FROCS}
    better = {**judged[LIFTED].named, **fewer}
    assert not is_worth_it({**judged, LIFTED: replace(judged[LIFTED], named=better)})


def test_of_equal_ranks_the_surer_score_is_worth_it(helping: Predictions) -> None:
    own = compared(helping)[BASELINE]
    surer = {**own.named, LOG_LOSS: own.named[LOG_LOSS] - 0.02}
    assert is_worth_it({BASELINE: own, LIFTED: replace(own, named=surer)})
    blind = {**surer, MAP50: own.named[MAP50] / 2}
    assert not is_worth_it({BASELINE: own, LIFTED: replace(own, named=blind)})


def test_a_box_is_lifted_by_what_the_classifier_says_beyond_the_usual(
    helping: Predictions, useless: Predictions
) -> None:
    constants = lifted(helping)
    assert (constants.score_weight == 1).all()
    assert constants.probability_weight[MASS] > 0.15
    assert constants.probability_weight[FRACTURE] == constants.intercept[FRACTURE] == 0
    # Where the classifier says what it usually says, a box keeps its score.
    usual = helping.probabilities[:, FINDINGS.index(Finding.MASS)]
    centre = np.log(usual / (1 - usual)).mean()
    assert constants.probability_weight[MASS] * centre == pytest.approx(-constants.intercept[MASS])
    assert lifted(useless).probability_weight[MASS] < 0.05


def test_what_training_fits_the_gateway_computes(helping: Predictions) -> None:
    constants = lifted(helping)
    scores = constants.scores(helping)
    for label in {int(one) for one in helping.label}:
        region = region_rescoring(
            REGIONS[label],
            score_weight=constants.score_weight[label],
            probability_weight=constants.probability_weight[label],
            intercept=constants.intercept[label],
        )
        mine = helping.label == label
        probabilities = 1 / (1 + np.exp(-helping.class_logits()[mine]))
        np.testing.assert_allclose(join(region, helping.score[mine], probabilities), scores[mine])


def test_boxes_of_unknown_classes_change_nothing(helping: Predictions) -> None:
    effusion = REGIONS.index(Region.EFFUSION)
    known = helping.known.copy()
    known[:, effusion] = False
    masked, kept = replace(helping, known=known), helping.label != effusion
    without = replace(
        helping,
        image=helping.image[kept],
        label=helping.label[kept],
        score=helping.score[kept],
        hit=helping.hit[kept],
    )
    fitted, expected = lifted(masked), lifted(without)
    np.testing.assert_allclose(fitted.probability_weight, expected.probability_weight, atol=1e-3)
    matches = masked.matches(masked.score)
    assert effusion not in matches.label
    assert matches.truth[:, effusion].sum() == 0


def test_no_patient_is_in_two_folds_and_none_is_empty(helping: Predictions) -> None:
    fold = fold_of(helping.patients)
    assert set(fold) == set(range(FOLDS))
    for patient in np.unique(helping.patients):
        assert len(set(fold[helping.patients == patient])) == 1


def test_held_out_scores_do_not_depend_on_the_truth_of_their_own_fold(
    helping: Predictions,
) -> None:
    fold = fold_of(helping.patients)
    own = fold[helping.image] == 0
    turned = helping.hit.copy()
    turned[own] ^= True
    before, after = held_out(lifted, helping), held_out(lifted, replace(helping, hit=turned))
    np.testing.assert_allclose(after.scores[own], before.scores[own])
    assert np.abs(after.scores[~own] - before.scores[~own]).max() > 0.01


def test_what_is_shown_at_thresholds_is_counted(helping: Predictions) -> None:
    everything = [Threshold(0.0, "all")] * len(REGIONS)
    weights, n = np.ones((1, len(helping.patients))), len(helping.patients)
    found = operating_figures(helping, helping.score, everything, weights)
    assert found["sensitivity"][0] == found["clear_images_marked"][0] == 1.0
    assert found["false_boxes"][0] == pytest.approx((18 * n - helping.truth.sum()) / n)
    assert lowest_useful(helping, helping.score, everything) == helping.score.min()
    nothing = [Threshold(1.0, "none")] * len(REGIONS)
    assert operating_figures(helping, helping.score, nothing, weights)["sensitivity"][0] == 0.0
    assert lowest_useful(helping, helping.score, nothing) == 1.0


def test_the_log_loss_says_which_score_is_how_likely_a_box_is_right(helping: Predictions) -> None:
    weights = np.ones((1, len(helping.patients)))
    loss = [
        figures(helping, held_out(fit, helping), weights).named[LOG_LOSS][0]
        for fit in (lifted, detector_alone)
    ]
    assert loss[0] < loss[1]


def test_the_page_says_what_was_gained(helping: Predictions, tmp_path: Path) -> None:
    scored = {BASELINE: held_out(detector_alone, helping), LIFTED: held_out(lifted, helping)}
    own = manifest_thresholds(read_manifest(DETECTOR))
    metrics = compare(helping, scored, {BASELINE: own, LIFTED: own}, resamples=20).metrics
    write_results(a_rescoring(metrics=metrics), helping, tmp_path)
    assert len((tmp_path / "rescoring.csv").read_text().splitlines()) == 1 + len(metrics)
    assert "300 images are annotated; 100 without a finding" in (tmp_path / "README.md").read_text()


def test_ordinary_images_are_added_in_equal_shares_of_every_size() -> None:
    annotated = [an_image(f"a{number}", side) for number, side in enumerate([64] * 10 + [384] * 4)]
    clear = [an_image(f"c{number}", side) for number, side in enumerate([64] * 50 + [384] * 2)]
    chosen = matched_by_size(annotated, clear, seed=1)
    assert Counter(one.side_px for one in chosen) == {64: 5, 384: 2}
    assert chosen == matched_by_size(annotated, clear[::-1], seed=1)
    assert matched_by_size(annotated, clear[:50], seed=1) == []


def an_image(name: str, side_px: int) -> AnnotatedImage:
    return AnnotatedImage(
        name=name,
        path=Path(name),
        patient=name,
        split=Split.VALIDATION,
        source=BACKGROUND,
        side_px=side_px,
        boxes=(),
        unknown=frozenset(),
    )
