"""Fitting a joining on drawn answers, where it is known whether the classifier helps."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Finding, ModelIdentity, Region
from cxr_gateway.joining import join, load_joinings
from cxr_serving.model_folder import choose_model
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import REGIONS, AnnotatedImage
from cxr_training.detector.scoring import IOU_THRESHOLDS
from cxr_training.detector.thresholds import Threshold, joined_thresholds
from cxr_training.export.publishing import read_manifest
from cxr_training.joining.answers import FINDINGS, Answers
from cxr_training.joining.films import matched_by_size
from cxr_training.joining.fitting import fit, manifest_of
from cxr_training.joining.forms import FORMS, calibrated, lifted, regional, shared
from cxr_training.joining.judging import (
    BASELINE,
    FOLDS,
    LOG_LOSS,
    MAP50,
    Figures,
    choose,
    figures,
    fold_of,
    held_out,
    resampled,
)
from cxr_training.joining.operating import lowest_useful, operation
from cxr_training.joining.report import page, write_results
from joinings import SHA, region_joining, write_joining

DETECTOR = choose_model(Path(__file__).parents[3] / "models/detector")

DRAWN = (Region.MASS, Region.EFFUSION, Region.FRACTURE)


def drawn_answers(*, helps: bool, seed: int = 0, n_images: int = 400) -> Answers:
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
    return Answers(
        probabilities=probabilities,
        truth=truth,
        known=np.ones_like(truth, dtype=bool),
        patients=np.array([f"{number // 2:08d}" for number in range(n_images)]),
        image=images,
        label=labels,
        score=scores,
        hit=np.repeat(rights[:, None].astype(bool), len(IOU_THRESHOLDS), axis=1),
    )


@pytest.fixture(scope="module")
def helping() -> Answers:
    return drawn_answers(helps=True)


@pytest.fixture(scope="module")
def useless() -> Answers:
    return drawn_answers(helps=False)


def chosen(answers: Answers) -> tuple[str, float]:
    """The winner, and how much more mAP50 it has than the detector."""
    weights = resampled(answers, np.ones(len(answers.patients), dtype=bool), 100)
    judged = {
        name: figures(answers, held_out(form, answers), weights) for name, form in FORMS.items()
    }
    winner = choose(judged)
    return winner, judged[winner].named[MAP50][0] - judged[BASELINE].named[MAP50][0]


def test_a_classifier_that_knows_more_is_joined(helping: Answers) -> None:
    winner, gain = chosen(helping)
    assert winner in ("pool", "lifted", "shared", "regional")
    assert gain > 0.05


def test_a_classifier_that_knows_nothing_leaves_the_detector_alone(useless: Answers) -> None:
    assert chosen(useless) == (BASELINE, 0.0)


def test_the_weights_are_those_the_answers_were_drawn_with(helping: Answers) -> None:
    # Two normals of variance 1 whose means lie 1.5 apart: the log-odds rise 1.5 times as fast.
    constants = shared(helping)
    mass, effusion = REGIONS.index(Region.MASS), REGIONS.index(Region.EFFUSION)
    assert constants.score_weight[mass] == pytest.approx(1.5, abs=0.3)
    assert constants.probability_weight[mass] > 0.5
    assert constants.probability_weight[mass] == constants.probability_weight[effusion]


def test_a_useless_opinion_weighs_nothing(useless: Answers) -> None:
    assert shared(useless).probability_weight.max() < 0.15


def test_a_joined_score_is_how_often_a_box_is_right(helping: Answers) -> None:
    held = held_out(shared, helping)
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.8)):
        inside = (held.scores >= low) & (held.scores < high)
        assert inside.sum() > 100
        assert helping.hit[inside, 0].mean() == pytest.approx(held.scores[inside].mean(), abs=0.06)


def test_a_region_without_a_finding_or_without_a_box_stays_near_the_others(
    helping: Answers,
) -> None:
    constants = regional(helping)
    fracture, scarce = REGIONS.index(Region.FRACTURE), REGIONS.index(Region.PNEUMONIA)
    assert constants.probability_weight[fracture] == 0.0
    assert (constants.score_weight > 0).all()
    assert (constants.probability_weight >= 0).all()
    mass = REGIONS.index(Region.MASS)
    assert constants.score_weight[scarce] == pytest.approx(constants.score_weight[mass], abs=0.3)


def test_calibration_alone_changes_no_average_precision(helping: Answers) -> None:
    weights = np.ones((1, len(helping.patients)))
    own = figures(helping, held_out(FORMS[BASELINE], helping), weights)
    same = figures(helping, held_out(calibrated, helping), weights)
    np.testing.assert_allclose(same.per_class, own.per_class)


def test_what_training_fits_the_gateway_computes(helping: Answers) -> None:
    constants = regional(helping)
    scores = constants.scores(helping)
    for label in {int(one) for one in helping.label}:
        region = region_joining(
            REGIONS[label],
            score_weight=constants.score_weight[label],
            probability_weight=constants.probability_weight[label],
            intercept=constants.intercept[label],
        )
        mine = helping.label == label
        opinions = np.nan_to_num(helping.opinions()[mine])
        np.testing.assert_allclose(join(region, helping.score[mine], opinions), scores[mine])


def test_boxes_nobody_could_judge_change_nothing(helping: Answers) -> None:
    known = helping.known.copy()
    known[:, REGIONS.index(Region.EFFUSION)] = False
    masked = replace(helping, known=known)
    kept = helping.label != REGIONS.index(Region.EFFUSION)
    without = replace(
        helping,
        image=helping.image[kept],
        label=helping.label[kept],
        score=helping.score[kept],
        hit=helping.hit[kept],
    )
    np.testing.assert_allclose(shared(masked).score_weight, shared(without).score_weight, atol=1e-3)
    matches = masked.matches(masked.score, known_only=True)
    assert REGIONS.index(Region.EFFUSION) not in matches.label
    assert matches.truth[:, REGIONS.index(Region.EFFUSION)].sum() == 0


def test_no_patient_is_in_two_folds_and_none_is_empty(helping: Answers) -> None:
    fold = fold_of(helping.patients)
    assert set(fold) == set(range(FOLDS))
    for patient in np.unique(helping.patients):
        assert len(set(fold[helping.patients == patient])) == 1


def test_held_out_scores_do_not_depend_on_the_truth_of_their_own_fold(helping: Answers) -> None:
    fold = fold_of(helping.patients)
    turned = helping.hit.copy()
    turned[fold[helping.image] == 0] ^= True
    before, after = held_out(shared, helping), held_out(shared, replace(helping, hit=turned))
    own = fold[helping.image] == 0
    np.testing.assert_allclose(after.scores[own], before.scores[own])
    assert np.abs(after.scores[~own] - before.scores[~own]).max() > 0.05


def test_a_region_of_which_nothing_is_found_gets_the_pooled_threshold(helping: Answers) -> None:
    mass = REGIONS.index(Region.MASS)
    hit = helping.hit.copy()
    hit[helping.label == mass] = False
    answers = replace(helping, hit=hit)
    thresholds = joined_thresholds(answers.matches(answers.score, known_only=True), len(REGIONS))
    assert thresholds[mass].rule.endswith("too few of it are right")
    assert thresholds[REGIONS.index(Region.PNEUMONIA)].rule.endswith("it has 0 boxes")
    assert thresholds[mass].score == thresholds[REGIONS.index(Region.PNEUMONIA)].score
    assert thresholds[REGIONS.index(Region.EFFUSION)].rule.endswith("validation patients")


def test_what_is_shown_at_thresholds_is_counted(helping: Answers) -> None:
    everything = [Threshold(0.0, "all")] * len(REGIONS)
    weights = np.ones((1, len(helping.patients)))
    found = operation(helping, helping.score, everything, weights).named
    assert found["sensitivity"][0] == 1.0
    assert found["clear_films_marked"][0] == 1.0
    n = len(helping.patients)
    assert found["false_boxes"][0] == pytest.approx((18 * n - helping.truth.sum()) / n)
    assert lowest_useful(helping, helping.score, everything) == helping.score.min()
    nothing = [Threshold(1.0, "none")] * len(REGIONS)
    assert operation(helping, helping.score, nothing, weights).named["sensitivity"][0] == 0.0
    assert lowest_useful(helping, helping.score, nothing) == 1.0


def test_of_equal_forms_the_simplest_is_chosen_and_one_with_worse_froc_never(
    helping: Answers,
) -> None:
    weights = resampled(helping, np.ones(len(helping.patients), dtype=bool), 50)
    own = figures(helping, held_out(FORMS[BASELINE], helping), weights)
    better = replace(own, named={**own.named, MAP50: own.named[MAP50] + 0.1})
    lower = {name: draws - 0.1 for name, draws in own.named.items()}
    worse = replace(own, named={**lower, MAP50: own.named[MAP50] + 0.2})
    same = {BASELINE: own, "shared": better, "regional": better}
    assert choose({**same, "pool": worse}) == "shared"


def test_of_forms_that_find_alike_the_one_that_says_better_what_is_right_is_chosen(
    helping: Answers,
) -> None:
    weights = resampled(helping, np.ones(len(helping.patients), dtype=bool), 50)
    own = figures(helping, held_out(FORMS[BASELINE], helping), weights)

    def with_loss(change: float) -> Figures:
        return replace(own, named={**own.named, LOG_LOSS: own.named[LOG_LOSS] + change})

    judged = {BASELINE: own, "calibrated": own, "lifted": with_loss(-0.02), "shared": own}
    assert choose(judged) == "lifted"
    # What calibration does as well is no merit of the classifier's.
    assert choose({**judged, "calibrated": with_loss(-0.02)}) == BASELINE
    blind = replace(judged["lifted"], named={**judged["lifted"].named, MAP50: own.named[MAP50] / 2})
    assert choose({**judged, "lifted": blind}) == BASELINE


def test_a_box_is_lifted_by_what_the_classifier_says_beyond_the_usual(
    helping: Answers, useless: Answers
) -> None:
    constants = lifted(helping)
    mass, fracture = REGIONS.index(Region.MASS), REGIONS.index(Region.FRACTURE)
    assert (constants.score_weight == 1).all()
    assert constants.probability_weight[mass] > 0.15
    assert constants.probability_weight[fracture] == constants.intercept[fracture] == 0
    # Where the classifier says what it usually says, a box keeps its score.
    usual = helping.probabilities[:, FINDINGS.index(Finding.MASS)]
    centre = np.log(usual / (1 - usual)).mean()
    assert constants.probability_weight[mass] * centre == pytest.approx(-constants.intercept[mass])
    assert lifted(useless).probability_weight[mass] < 0.05


@pytest.mark.parametrize("helps", [True, False])
def test_the_winner_is_written_as_the_gateway_reads_it_with_every_forms_figures(
    helping: Answers, useless: Answers, helps: bool, tmp_path: Path
) -> None:
    answers = helping if helps else useless
    detector = read_manifest(DETECTOR)
    fitted = fit(answers, 300, detector, resamples=20)
    one, other = (ModelIdentity(name=name, version="1", sha256=SHA) for name in ("one", "other"))
    manifest = manifest_of(fitted, answers, (one, other), detector, "0" * 64)
    assert (fitted.form == BASELINE) is not helps
    assert manifest.fit.form == manifest.fit.rule_form == fitted.form
    assert manifest.min_score <= min(label.threshold for label in detector.labels)
    write_joining(tmp_path, manifest)
    joining = load_joinings(tmp_path).of(one, other)
    assert joining is not None
    assert joining.manifest == manifest
    mass = joining.regions[Region.MASS]
    assert (mass.probability_weight > 0) is helps
    assert mass.n_boxes == answers.truth[:, REGIONS.index(Region.MASS)].sum()
    write_results(manifest, 300, tmp_path / "results")
    text = (tmp_path / "results/README.md").read_text()
    for form in FORMS:
        assert f"`{form}`" in text
    assert "AP50, `perfect opinion`" in text
    assert ("**Nothing is shipped**" in text) is not helps
    rows = (tmp_path / "results/joining.csv").read_text().splitlines()
    assert len(rows) == 1 + len(manifest.metrics)
    assert ("joined thresholds" in text) is helps
    assert (tmp_path / "results/joining.png").stat().st_size > 1000


def test_a_form_can_be_asked_for_and_the_page_says_so(useless: Answers) -> None:
    detector = read_manifest(DETECTOR)
    fitted = fit(useless, 300, detector, form="shared", resamples=20)
    one, other = (ModelIdentity(name=name, version="1", sha256=SHA) for name in ("one", "other"))
    manifest = manifest_of(fitted, useless, (one, other), detector, "0" * 64)
    assert (manifest.fit.form, manifest.fit.rule_form) == ("shared", BASELINE)
    assert "**Shipped: `shared`**" in page(manifest, 300)
    assert "It was asked for; the rule takes `detector`." in page(manifest, 300)


def test_the_log_loss_says_which_score_is_how_likely_a_box_is_right(helping: Answers) -> None:
    weights = np.ones((1, len(helping.patients)))
    loss = {
        name: figures(helping, held_out(FORMS[name], helping), weights).named[LOG_LOSS][0]
        for name in (BASELINE, "calibrated", "shared")
    }
    assert loss["shared"] < loss["calibrated"] < loss[BASELINE]


def test_ordinary_films_are_added_in_equal_shares_of_every_size() -> None:
    annotated = [film(f"a{number}", side) for number, side in enumerate([64] * 10 + [384] * 4)]
    clear = [film(f"c{number}", side) for number, side in enumerate([64] * 50 + [384] * 2)]
    chosen = matched_by_size(annotated, clear, seed=1)
    assert Counter(one.side_px for one in chosen) == {64: 5, 384: 2}
    assert chosen == matched_by_size(annotated, clear[::-1], seed=1)
    assert matched_by_size(annotated, clear[:50], seed=1) == []


def film(name: str, side_px: int) -> AnnotatedImage:
    return AnnotatedImage(
        name=name,
        path=Path(name),
        patient=name,
        split=Split.VALIDATION,
        source="background",
        side_px=side_px,
        boxes=(),
        unknown=frozenset(),
    )
