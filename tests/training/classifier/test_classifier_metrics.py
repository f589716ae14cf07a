from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr_contracts import LabelSpec, MetricRow
from cxr_training.classifier.calibration import Decisions, fitted_decisions, shipped_decisions
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.metrics import for_manifest, metric_rows
from cxr_training.classifier.predictions import Predictions, is_subgroup
from cxr_training.classifier.samples import LABELS
from cxr_training.data.splits import Split

PNEUMONIA = [label.value for label in LABELS].index("Pneumonia")
HERNIA = [label.value for label in LABELS].index("Hernia")
MASS = [label.value for label in LABELS].index("Mass")
CONFIG = Evaluation(resamples=100, calibration_folds=4, min_positives=10)
SEED = 3


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """400 images; Pneumonia on large ones alone, Hernia once, the other labels everywhere.

    A hundred each of the ages 17, 18, 39 and 80, but for one of unknown age and one impossible.
    """
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.5, 1.5, (400, 14))
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    targets[100:, PNEUMONIA] = 0
    targets[:, HERNIA] = 0
    targets[5, HERNIA] = 1
    ages = np.repeat([17, 18, 39, 80], 100)
    ages[:2] = -1, 414
    return Predictions(
        split=Split.VALIDATION,
        logits=logits,
        coarse_logits=logits + rng.normal(0, 3, logits.shape),
        coarse_px=64,
        targets=targets,
        patients=np.array([f"{number // 4:08d}" for number in range(400)]),
        sources=np.array(["large"] * 100 + ["medium"] * 200 + ["small"] * 100),
        ages=ages,
        sexes=np.array(["F", "M", "M", ""] * 100),
        views=np.array(["PA"] * 394 + ["AP"] * 6),
    )


@pytest.fixture(scope="module")
def decisions(predictions: Predictions) -> Decisions:
    return fitted_decisions(predictions, CONFIG, SEED)


@pytest.fixture(scope="module")
def rows(predictions: Predictions, decisions: Decisions) -> list[MetricRow]:
    return metric_rows(predictions, decisions, CONFIG, SEED)


def _row(rows: list[MetricRow], name: str, subset: str) -> MetricRow:
    [found] = [row for row in rows if (row.name, row.subset) == (name, subset)]
    return found


@pytest.mark.parametrize(
    ("source", "inside"), [("large", slice(0, 100)), ("small", slice(300, 400))]
)
def test_auroc_within_a_source_is_that_of_its_images(
    predictions: Predictions, rows: list[MetricRow], source: str, inside: slice
) -> None:
    row = _row(rows, "auroc", f"Mass/source={source}")
    expected = roc_auc_score(predictions.targets[inside, MASS], predictions.logits[inside, MASS])
    assert row.result.value == pytest.approx(expected, abs=1e-4)
    assert row.n == 100
    assert row.result.low < row.result.value < row.result.high


def test_a_label_without_positives_in_a_source_has_no_row_there(rows: list[MetricRow]) -> None:
    subsets = {row.subset for row in rows if row.name == "auroc"}
    assert "Pneumonia/source=large" in subsets
    assert "Pneumonia/source=small" not in subsets


def test_a_rare_label_is_on_record_but_not_in_the_mean(
    predictions: Predictions, rows: list[MetricRow]
) -> None:
    assert _row(rows, "auroc", "Hernia").n_positive == 1
    others = [column for column in range(14) if column != HERNIA]
    expected = np.mean(
        [roc_auc_score(predictions.targets[:, c], predictions.logits[:, c]) for c in others]
    )
    assert _row(rows, "auroc_mean", "all").result.value == pytest.approx(expected, abs=1e-4)
    errors = [_row(rows, "ece", LABELS[column].value).result.value for column in others]
    mean = _row(rows, "ece_mean", "all").result
    assert mean.value == pytest.approx(np.mean(errors), abs=1e-4)
    assert mean.low <= mean.value < mean.high


def test_the_coarsened_images_have_predictions_of_their_own(rows: list[MetricRow]) -> None:
    all_images = _row(rows, "auroc_mean", "all").result
    assert _row(rows, "auroc_mean", "coarsened=64px").result.value < all_images.low


def test_calibrated_predictions_of_a_calibrated_network_have_a_small_error(
    rows: list[MetricRow],
) -> None:
    assert _row(rows, "ece", "Effusion").result.value < 0.08
    prevalence = _row(rows, "prevalence", "Hernia")
    assert prevalence.result.value == pytest.approx(1 / 400, abs=1e-4)


def test_sensitivity_and_specificity_stand_for_every_label(rows: list[MetricRow]) -> None:
    for label in LABELS:
        assert 0 <= _row(rows, "specificity", label.value).result.value <= 1
        assert 0 <= _row(rows, "sensitivity", label.value).result.value <= 1
    informed = [
        _row(rows, "sensitivity", name).result.value + _row(rows, "specificity", name).result.value
        for name in ("Effusion", "Mass", "Edema")
    ]
    assert min(informed) > 1.2


def test_a_label_that_knows_the_source_of_healthy_images_is_found_out(
    predictions: Predictions,
) -> None:
    logits = predictions.logits.copy()
    logits[predictions.sources == "large", PNEUMONIA] += 4
    config = Evaluation(resamples=20, calibration_folds=2, min_positives=10)
    healthy = replace(predictions, logits=logits, targets=predictions.targets * 0)
    rows = metric_rows(healthy, fitted_decisions(healthy, config, 0), config, seed=0)
    assert _row(rows, "source_auroc", "Pneumonia").result.value > 0.9
    assert _row(rows, "source_auroc", "Mass").result.value == pytest.approx(0.5, abs=0.1)


def test_a_subgroups_auroc_and_its_gap_are_those_of_its_images(
    predictions: Predictions, rows: list[MetricRow]
) -> None:
    inside = predictions.sexes == "M"
    known = [c for c in range(14) if predictions.targets[inside, c].sum() >= 10]
    within, everywhere = [
        np.mean([roc_auc_score(predictions.targets[x, c], predictions.logits[x, c]) for c in known])
        for x in (inside, slice(None))
    ]
    mean, gap = _row(rows, "auroc_mean", "sex=M"), _row(rows, "auroc_gap", "sex=M")
    assert mean.result.value == pytest.approx(within, abs=1e-4)
    assert mean.n == 200
    assert gap.result.value == pytest.approx(within - everywhere, abs=2e-4)
    assert gap.result.low < gap.result.value < gap.result.high
    assert PNEUMONIA in known
    assert HERNIA not in known
    assert "Hernia/sex=M" not in {row.subset for row in rows}


def test_ages_at_the_ends_of_a_band_are_inside_and_impossible_ages_nowhere(
    rows: list[MetricRow],
) -> None:
    counted = {row.subset: row.n for row in rows if row.name == "any_finding"}
    assert counted["age=0-17"] == 98
    assert counted["age=18-39"] == 200
    assert counted["age=80+"] == 100
    assert "age=40-59" not in counted
    assert counted["sex=F"] + counted["sex=M"] == 300


def test_sensitivity_in_a_subgroup_is_the_share_of_its_positives_that_is_called(
    predictions: Predictions, decisions: Decisions, rows: list[MetricRow]
) -> None:
    inside = predictions.sexes == "F"
    ill = inside & (predictions.targets[:, MASS] == 1)
    well = inside & (predictions.targets[:, MASS] == 0)
    found, spared = (_row(rows, x, "Mass/sex=F") for x in ("sensitivity", "specificity"))
    assert found.result.value == pytest.approx(decisions.positive[ill, MASS].mean(), abs=1e-4)
    assert spared.result.value == pytest.approx(1 - decisions.positive[well, MASS].mean(), abs=1e-4)
    assert (found.n, found.n_positive) == (100, int(ill.sum()))
    called = decisions.positive[inside] & (predictions.targets[inside] == 1)
    pooled = _row(rows, "sensitivity_pooled", "sex=F")
    assert pooled.n_positive == int(predictions.targets[inside].sum())
    assert pooled.result.value == pytest.approx(called.sum() / pooled.n_positive, abs=1e-4)


def test_findings_missed_in_one_sex_alone_show_as_a_gap_that_misses_zero(
    predictions: Predictions, decisions: Decisions
) -> None:
    missed = decisions.positive & (predictions.sexes != "F")[:, None]
    rows = metric_rows(predictions, replace(decisions, positive=missed), CONFIG, SEED)
    assert _row(rows, "sensitivity_mean", "sex=F").result.value == 0
    assert _row(rows, "sensitivity_gap", "sex=F").result.high < 0
    assert _row(rows, "sensitivity_gap", "sex=M").result.low > 0


def test_a_subgroup_with_too_few_positives_is_counted_and_has_no_means(
    rows: list[MetricRow],
) -> None:
    names = {row.name for row in rows if row.subset == "view=AP"}
    assert "any_finding" in names
    assert not {name for name in names if name.endswith(("_mean", "_gap"))}


def test_the_threshold_of_a_label_is_the_point_from_which_it_is_possible(
    decisions: Decisions, rows: list[MetricRow]
) -> None:
    for label in decisions.labels:
        assert label.levels is not None
        assert label.threshold == label.levels.possible.threshold
        result = _row(rows, "threshold", label.name).result
        assert result.value == pytest.approx(label.threshold, abs=1e-4)


def test_the_findings_called_on_images_without_any_are_counted(
    predictions: Predictions, decisions: Decisions
) -> None:
    healthy = replace(predictions, targets=predictions.targets * 0)
    rows = metric_rows(healthy, decisions, CONFIG, SEED)
    points = [x.levels for x in decisions.labels if x.levels is not None]
    likely = decisions.probabilities >= [x.likely.threshold for x in points]
    possible = decisions.probabilities >= [x.possible.threshold for x in points]
    for name, of in (("likely", likely), ("possible", possible & ~likely)):
        median = _row(rows, f"{name}_per_normal_median", "all").result
        assert median.value == np.median(of.sum(axis=1))
        assert median.low <= median.value <= median.high
    called = _row(rows, "likely_per_normal", "all").result.value
    assert called == pytest.approx(likely.sum() / 400, abs=1e-4)
    assert 0 < called < 2
    called += _row(rows, "possible_per_normal", "all").result.value
    assert called == pytest.approx(possible.sum() / 400, abs=2e-4)


def test_shipped_levels_are_said_to_mean_what_is_measured_and_stay_where_they_are(
    predictions: Predictions, decisions: Decisions
) -> None:
    # Half of the images of those who have a mass are another's now: half of them cannot be found.
    targets = predictions.targets.copy()
    targets[:, MASS] = np.random.default_rng(1).permutation(targets[:, MASS])
    held_out = replace(predictions, split=Split.TEST, targets=targets)
    [mass] = [x for x in shipped_decisions(held_out, decisions.labels).labels if x.name == "Mass"]
    before = decisions.labels[MASS].levels
    assert mass.levels is not None
    assert before is not None
    for found, fitted in zip(
        (mass.levels.possible, mass.levels.likely), (before.possible, before.likely), strict=True
    ):
        assert (found.threshold, found.rule) == (fitted.threshold, fitted.rule)
        assert (found.split, fitted.split) == ("test", "validation")
        assert found.sensitivity is not None
        assert fitted.sensitivity is not None
        assert found.sensitivity.high < fitted.sensitivity.value
        assert (found.n, found.n_positive) == (400, int(targets[:, MASS].sum()))


def test_the_manifest_leaves_out_what_each_label_does_in_each_subgroup_but_its_sensitivity(
    rows: list[MetricRow],
) -> None:
    kept = for_manifest(rows)
    dropped = [row for row in rows if row not in kept]
    assert {row.name for row in dropped} == {"auroc", "specificity"}
    assert all(is_subgroup(row.subset) and "/" in row.subset for row in dropped)
    subsets = {(row.name, row.subset) for row in kept}
    assert {("auroc_mean", "sex=F"), ("sensitivity", "Mass/sex=F"), ("auroc", "Mass")} <= subsets
    assert ("auroc", "Mass/source=large") in subsets


def test_a_foreign_calibration_is_evaluated_as_it_is(predictions: Predictions) -> None:
    labels = [
        LabelSpec(name=label, threshold=0.5, threshold_rule="theirs", slope=2.0, intercept=0.5)
        for label in reversed(LABELS)
    ]
    shipped = shipped_decisions(predictions, labels)
    np.testing.assert_array_equal(shipped.positive, 2 * predictions.logits + 0.5 >= 0)
    rows = metric_rows(predictions, shipped, CONFIG, SEED)
    threshold = _row(rows, "threshold", "Mass").result
    assert (threshold.low, threshold.value, threshold.high) == (0.5, 0.5, 0.5)
    fitted = metric_rows(predictions, fitted_decisions(predictions, CONFIG, SEED), CONFIG, SEED)
    worse, better = (_row(x, "ece_mean", "all").result for x in (rows, fitted))
    assert worse.low > better.high


def test_nothing_is_fitted_on_test_patients(predictions: Predictions) -> None:
    held_out = replace(predictions, split=Split.TEST)
    with pytest.raises(ValueError, match="test patients"):
        fitted_decisions(held_out, CONFIG, SEED)
    labels = fitted_decisions(predictions, CONFIG, SEED).labels
    rows = metric_rows(held_out, shipped_decisions(held_out, labels), CONFIG, SEED)
    assert {row.split for row in rows} == {"test"}
