from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr_contracts import MetricRow
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.report import Answers, metric_rows
from cxr_training.classifier.samples import LABELS

PNEUMONIA = [label.value for label in LABELS].index("Pneumonia")
HERNIA = [label.value for label in LABELS].index("Hernia")


@pytest.fixture(scope="module")
def answers() -> Answers:
    """400 images; Pneumonia on large ones alone, Hernia once, the other labels everywhere."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.5, 1.5, (400, 14))
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    sources = np.array(["large"] * 100 + ["medium"] * 200 + ["small"] * 100)
    targets[100:, PNEUMONIA] = 0
    targets[:, HERNIA] = 0
    targets[5, HERNIA] = 1
    patients = np.array([f"{number // 4:08d}" for number in range(400)])
    return Answers(logits, logits + rng.normal(0, 3, logits.shape), 64, targets, patients, sources)


@pytest.fixture(scope="module")
def rows(answers: Answers) -> list[MetricRow]:
    config = Evaluation(resamples=100, calibration_folds=4, min_positives=10)
    return metric_rows(answers, config, seed=3)


def _row(rows: list[MetricRow], name: str, subset: str) -> MetricRow:
    [found] = [row for row in rows if (row.name, row.subset) == (name, subset)]
    return found


@pytest.mark.parametrize(
    ("source", "inside"), [("large", slice(0, 100)), ("small", slice(300, 400))]
)
def test_auroc_within_a_source_is_that_of_its_images(
    answers: Answers, rows: list[MetricRow], source: str, inside: slice
) -> None:
    row = _row(rows, "auroc", f"Mass/source={source}")
    column = [label.value for label in LABELS].index("Mass")
    expected = roc_auc_score(answers.targets[inside, column], answers.logits[inside, column])
    assert row.result.value == pytest.approx(expected, abs=1e-4)
    assert row.n == 100
    assert row.result.low < row.result.value < row.result.high


def test_a_label_without_positives_in_a_source_has_no_row_there(rows: list[MetricRow]) -> None:
    subsets = {row.subset for row in rows if row.name == "auroc"}
    assert "Pneumonia/source=large" in subsets
    assert "Pneumonia/source=small" not in subsets


def test_a_rare_label_is_on_record_but_not_in_the_mean(
    answers: Answers, rows: list[MetricRow]
) -> None:
    assert _row(rows, "auroc", "Hernia").n_positive == 1
    others = [column for column in range(14) if column != HERNIA]
    expected = np.mean([roc_auc_score(answers.targets[:, c], answers.logits[:, c]) for c in others])
    assert _row(rows, "auroc_mean", "all").result.value == pytest.approx(expected, abs=1e-4)


def test_the_coarsened_images_are_judged_by_their_own_answers(rows: list[MetricRow]) -> None:
    all_images = _row(rows, "auroc_mean", "all").result
    assert _row(rows, "auroc_mean", "coarsened=64px").result.value < all_images.low


def test_calibrated_answers_of_a_calibrated_network_have_a_small_error(
    rows: list[MetricRow],
) -> None:
    assert _row(rows, "ece", "Effusion").result.value < 0.08
    prevalence = _row(rows, "prevalence", "Hernia")
    assert prevalence.result.value == pytest.approx(1 / 400, abs=1e-4)


def test_sensitivity_and_specificity_stand_for_every_label(rows: list[MetricRow]) -> None:
    for label in LABELS:
        assert 0 <= _row(rows, "specificity", label.value).result.value <= 1
        assert 0 <= _row(rows, "sensitivity", label.value).result.value <= 1
    balanced = [
        _row(rows, "sensitivity", name).result.value + _row(rows, "specificity", name).result.value
        for name in ("Effusion", "Mass", "Edema")
    ]
    assert min(balanced) > 1.2


def test_a_label_that_knows_the_source_of_healthy_images_is_found_out(answers: Answers) -> None:
    healthy = answers.targets * 0
    logits = answers.logits.copy()
    logits[answers.sources == "large", PNEUMONIA] += 4
    config = Evaluation(resamples=20, calibration_folds=2, min_positives=10)
    rows = metric_rows(replace(answers, logits=logits, targets=healthy), config, seed=0)
    assert _row(rows, "source_auroc", "Pneumonia").result.value > 0.9
    assert _row(rows, "source_auroc", "Mass").result.value == pytest.approx(0.5, abs=0.1)
