"""The study's statistics, answer and page, where it is known what they must say."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from cxr_contracts import Finding
from cxr_gan.study.page import answer, page, rows_of, signed, write_effects, write_runs
from cxr_gan.study.statistics import ALL, RARE, Effect, estimate, holm
from cxr_gan.study.training import Predictions
from cxr_training.classifier.samples import LABELS, MASKED
from cxr_training.metrics.classification import auroc
from support.gan.studies import COUNTS, effects_for, predictions, study_plan

SYNTHETIC = (
    *("dcgan", "pggan-conditional", "pggan-modern", "modern-25", "modern-50", "modern-100"),
)


@pytest.fixture(scope="module")
def alike() -> list[Effect]:
    return effects_for({})


@pytest.fixture(scope="module")
def helped() -> list[Effect]:
    return effects_for({"pggan-modern": 1.6, "oversampled": 1.6})


@pytest.fixture(scope="module")
def mixed() -> list[Effect]:
    return effects_for({"dcgan": 0.4, "pggan-conditional": 1.6})


def effect(effects: list[Effect], arm: str, figure: str) -> Effect:
    return next(x for x in effects if (x.arm, x.against, x.figure) == (arm, "real", figure))


def test_an_estimate_adds_what_seeds_and_what_patients_leave_open() -> None:
    rng = np.random.default_rng(0)
    patients, luck = rng.normal(0, 0.02, 400), np.array([-0.01, 0.0, 0.01])
    draws = 0.05 + luck[:, None] + np.r_[0.0, patients][None]
    found = estimate(draws)
    of_seeds, of_patients = luck.var(ddof=1) / 3, patients.var(ddof=1)
    assert found.interval.value == pytest.approx(0.05)
    assert found.error_of_seeds == pytest.approx(np.sqrt(of_seeds))
    assert found.error_of_patients == pytest.approx(np.sqrt(of_patients))
    variance = of_seeds + of_patients
    freedom = variance**2 * 2 / of_seeds**2
    assert found.p == pytest.approx(2 * t.sf(0.05 / np.sqrt(variance), freedom))
    half = t.ppf(0.975, freedom) * np.sqrt(variance)
    assert found.interval.high - 0.05 == pytest.approx(half)
    assert 0.05 - found.interval.low == pytest.approx(half)


def test_seeds_that_agree_by_themselves_are_worth_more_than_seeds_that_do_not() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, (3, 200))
    agreeing = np.c_[[0.03, 0.031, 0.029], 0.03 + noise]
    differing = np.c_[[0.09, 0.03, -0.03], 0.03 + noise]
    assert estimate(agreeing).p < 0.01
    assert estimate(differing).p > 0.3


def test_a_difference_of_nothing_is_none_and_undefined_resamples_are_left_out() -> None:
    nothing = estimate(np.zeros((3, 11)))
    assert (nothing.p, nothing.interval.low, nothing.interval.high) == (1.0, 0.0, 0.0)
    draws = np.random.default_rng(0).normal(0, 1, (2, 101))
    broken = draws.copy()
    broken[0, 5] = np.nan
    assert estimate(broken) == estimate(np.delete(draws, 5, axis=1))


def test_false_alarms_are_as_rare_as_they_say() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        patients = rng.normal(0, 0.01)
        values = patients + rng.normal(0, 0.01, 3)
        resampled = values[:, None] + rng.normal(0, 0.01, 150)[None]
        alarms += estimate(np.c_[values, resampled]).p < 0.05
    assert alarms <= 27


def test_holms_correction() -> None:
    corrected = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.5})
    assert corrected == pytest.approx({"a": 0.09, "b": 0.04, "c": 0.09, "d": 0.5})
    assert holm({"a": 0.9, "b": 0.8})["a"] == 1.0


def test_an_image_that_is_not_evaluated_and_a_label_without_positives_count_for_nothing() -> None:
    one = predictions(1.0)
    rows = {row.label: row for row in rows_of("real", 1, one, COUNTS)}
    assert list(rows) == [*LABELS, ALL, RARE]
    column = LABELS.index(Finding.PNEUMONIA)
    inside = one.targets[:, column] != MASKED
    assert rows["Pneumonia"].n_images == inside.sum() == 300
    expected = auroc(one.targets[inside, column], one.logits[inside, column])
    assert rows["Pneumonia"].auroc == pytest.approx(expected)
    areas = {name: row.auroc for name, row in rows.items() if row.auroc is not None}
    # Hernia is rare, but too rare to be evaluated.
    assert areas[RARE] == pytest.approx((areas["Fibrosis"] + areas["Edema"]) / 2)
    assert areas[ALL] == pytest.approx(np.mean([areas[x] for x in COUNTS.evaluated]))
    assert {row.steps for row in rows.values()} == {800}


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert Predictions.read(tmp_path) is None
    predictions(1.0).write(tmp_path)
    again = Predictions.read(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.logits, predictions(1.0).logits)
    np.testing.assert_array_equal(again.patients, predictions(1.0).patients)
    assert (again.key, again.seconds, again.steps) == ("k", 60.0, 800)


def test_arms_that_are_alike_differ_by_nothing(alike: list[Effect]) -> None:
    assert not any(x.wins or x.loses for x in alike)
    rare, over_all, labels = answer(study_plan(), alike)
    assert "On the rare labels, 0 of 6 arms" in rare
    assert "0 lose" in rare
    assert "On all labels, 0 of 6 arms" in over_all
    [control] = [x for x in alike if (x.against, x.figure) == ("shuffled", RARE)]
    assert control.arm == "pggan-modern"
    assert signed(control.gain) in labels


def test_an_arm_that_is_better_wins(helped: list[Effect]) -> None:
    assert "1 of 6 arms" in answer(study_plan(), helped)[0]
    assert {x.arm for x in helped if x.wins} == {"oversampled", "pggan-modern"}
    gain = effect(helped, "pggan-modern", RARE).gain
    assert gain is not None
    assert gain.interval.low > 0


def test_arms_may_differ_among_themselves(mixed: list[Effect]) -> None:
    assert {x.arm for x in mixed if x.wins} == {"pggan-conditional"}
    assert {x.arm for x in mixed if x.loses} == {"dcgan"}
    rare = answer(study_plan(), mixed)[0]
    assert "1 of 6 arms" in rare
    assert "1 lose" in rare


def test_all_comparisons_of_the_means_are_corrected_together(alike: list[Effect]) -> None:
    tested = [x for x in alike if x.p_holm is not None]
    assert {x.figure for x in tested} == {ALL, RARE}
    assert {x.arm for x in tested} == {*SYNTHETIC, "oversampled", "shuffled"}
    assert all(x.against == "real" for x in tested)
    assert all(x.gain is not None and x.p_holm >= x.gain.p for x in tested if x.p_holm)


def test_the_page_shows_each_arm_and_the_answer(alike: list[Effect], helped: list[Effect]) -> None:
    plan = study_plan()
    for effects in (alike, helped):
        text = page(plan, COUNTS, effects, "Drawn squares.", smoke=False)
        assert " ".join(answer(plan, effects)) in text
        assert "Drawn squares." in text
        assert "smoke" not in text
        for arm in plan.arms.values():
            assert text.count(f"| {arm.title} |") == 1


def test_csv_files_hold_every_figure(helped: list[Effect], tmp_path: Path) -> None:
    write_effects(helped, tmp_path)
    with (tmp_path / "effects.csv").open(newline="") as stream:
        header, *lines = csv.reader(stream)
    assert len(lines) == len(helped)
    assert {len(line) for line in lines} == {len(header)}
    [line] = [x for x in lines if x[:3] == ["pggan-modern", "real", RARE]]
    gain = effect(helped, "pggan-modern", RARE).gain
    assert gain is not None
    assert float(line[7]) == pytest.approx(gain.interval.value, abs=1e-5)
    assert float(line[11]) < 0.05
    rows = rows_of("real", 1, predictions(1.0), COUNTS)
    write_runs(rows, tmp_path)
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + len(rows)
