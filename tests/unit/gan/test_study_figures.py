"""The study's statistics, answer and page, where it is known what they must say."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from cxr_contracts import Finding
from cxr_gan.study.answer import answer
from cxr_gan.study.answers import read_answers, write_answers
from cxr_gan.study.effects import MEANS, write_effects
from cxr_gan.study.outcome import Outcome
from cxr_gan.study.page import page
from cxr_gan.study.plots import draw_dose, draw_effects
from cxr_gan.study.rows import ALL, RARE, RUNS_CSV, append_rows, read_rows, rows_of, write_rows
from cxr_gan.study.statistics import estimate, holm
from cxr_training.classifier.samples import LABELS, UNJUDGED
from cxr_training.metrics.classification import auroc
from gan_studies import COUNTS, answers, outcome

SYNTHETIC = (
    *("dcgan", "pggan", "pggan-conditional", "pggan-modern", "pretrained"),
    *("modern-25", "modern-50", "modern-100"),
)


@pytest.fixture(scope="module")
def alike() -> Outcome:
    return outcome({})


@pytest.fixture(scope="module")
def helped() -> Outcome:
    return outcome({"pggan-modern": 1.6, "oversampled": 1.6})


@pytest.fixture(scope="module")
def harmed() -> Outcome:
    return outcome({"dcgan": 0.4, "oversampled": 0.4})


@pytest.fixture(scope="module")
def mixed() -> Outcome:
    return outcome({"dcgan": 0.4, "pretrained": 1.6})


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


def test_an_unjudged_image_and_a_label_without_positives_count_for_nothing() -> None:
    one = answers(1.0)
    rows = {row.label: row for row in rows_of("real", 1, one, COUNTS)}
    assert list(rows) == [*LABELS, ALL, RARE]
    column = LABELS.index(Finding.PNEUMONIA)
    inside = one.targets[:, column] != UNJUDGED
    assert rows["Pneumonia"].n_images == inside.sum() == 300
    expected = auroc(one.targets[inside, column], one.logits[inside, column])
    assert rows["Pneumonia"].auroc == pytest.approx(expected)
    areas = {name: row.auroc for name, row in rows.items() if row.auroc is not None}
    # Hernia is rare, but too rare to be judged.
    assert areas[RARE] == pytest.approx((areas["Fibrosis"] + areas["Edema"]) / 2)
    assert areas[ALL] == pytest.approx(np.mean([areas[x] for x in COUNTS.judged]))
    assert {row.steps for row in rows.values()} == {800}


def test_rows_are_appended_and_written_anew_without_doubles(tmp_path: Path) -> None:
    first, second = (rows_of("real", seed, answers(1.0, seed=seed), COUNTS) for seed in (1, 2))
    write_rows(first, tmp_path)
    append_rows(second, tmp_path)
    assert [(row.seed, row.label) for row in read_rows(tmp_path)] == [
        (row.seed, row.label) for row in [*first, *second]
    ]
    write_rows(first, tmp_path)
    assert len((tmp_path / RUNS_CSV).read_text().splitlines()) == 1 + len(first)


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_answers(tmp_path) is None
    write_answers(tmp_path, answers(1.0))
    again = read_answers(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.logits, answers(1.0).logits)
    np.testing.assert_array_equal(again.patients, answers(1.0).patients)
    assert (again.key, again.seconds, again.steps) == ("k", 60.0, 800)


def test_arms_that_are_alike_differ_by_nothing(alike: Outcome) -> None:
    rare, over_all, labels = answer(alike)
    assert rare.startswith("**No, nothing shows that synthetic radiographs help the rare labels")
    assert "of 8 arms with them none differs" in rare
    assert "none of them makes a difference beyond chance" in over_all
    assert "makes no difference beyond chance on the rare ones" in over_all
    assert "the labels of the images make no difference beyond chance" in labels
    assert alike.winners == []


def test_an_arm_that_is_better_wins(helped: Outcome) -> None:
    rare, over_all, labels = answer(helped)
    assert rare.startswith("**Yes, synthetic radiographs help the rare labels here**: 1 of 8 arms")
    assert "by PGGAN, modern." in rare
    assert "1 of them gains and 0 lose" in over_all
    assert "makes a gain on the rare ones" in over_all
    assert "the labels of the images matter for the better" in labels
    assert helped.winners == ["oversampled", "pggan-modern"]
    gain = helped.effect("pggan-modern", RARE).gain
    assert gain is not None
    assert gain.interval.low > 0


def test_an_arm_that_is_worse_loses(harmed: Outcome) -> None:
    rare, over_all, _ = answer(harmed)
    assert rare.startswith("**No, synthetic radiographs harm the rare labels here**: 1 of 8 arms")
    assert "0 of them gain and 1 loses" in over_all
    assert "makes a loss on the rare ones" in over_all
    assert harmed.winners == []


def test_arms_may_differ_among_themselves(mixed: Outcome) -> None:
    rare, _, _ = answer(mixed)
    assert rare.startswith("**It depends on the images**: of 8 arms with synthetic radiographs 1")
    assert mixed.winners == ["pretrained"]


def test_all_comparisons_of_the_means_are_corrected_together(alike: Outcome) -> None:
    tested = [effect for effect in alike.effects if effect.p_holm is not None]
    assert {effect.figure for effect in tested} == set(MEANS)
    assert {effect.arm for effect in tested} == {*SYNTHETIC, "oversampled", "shuffled"}
    assert all(effect.against == "real" for effect in tested)
    assert all(x.gain is not None and x.p_holm >= x.gain.p for x in tested if x.p_holm)
    assert [effect.arm for effect in alike.label_effects(RARE)] == ["pggan-modern"]


def test_the_page_says_what_follows_whichever_way_it_falls(alike: Outcome, helped: Outcome) -> None:
    none, some = (page(x, {}, [], "gan-study") for x in (alike, helped))
    assert "**None: no arm wins with a corrected p below 0.05.** The published classifier" in none
    assert "```" not in none
    assert "retrain pggan-modern" in some
    assert "republished only if" in some
    for text in (none, some):
        assert " ".join(text.split("## Answer")[1].split("##")[0].split()).count("**") >= 2
        assert "not judged (Hernia)" in text
        for heading in ("Question", "Answer", "Method", "Limits"):
            assert f"## {heading}" in text
        assert text.count("| PGGAN, modern |") == 1
        assert "{" not in text


def test_csv_and_pictures_are_made(helped: Outcome, tmp_path: Path) -> None:
    write_effects(helped.effects, tmp_path)
    with (tmp_path / "effects.csv").open(newline="") as stream:
        header, *lines = csv.reader(stream)
    assert len(lines) == len(helped.effects)
    assert {len(line) for line in lines} == {len(header)}
    [line] = [x for x in lines if x[:3] == ["pggan-modern", "real", RARE]]
    effect = helped.effect("pggan-modern", RARE)
    assert effect.gain is not None
    assert float(line[7]) == pytest.approx(effect.gain.interval.value, abs=1e-5)
    assert float(line[11]) < 0.05
    draw_effects(helped, tmp_path / "effects.png")
    draw_dose(helped, tmp_path / "dose.png")
    assert all((tmp_path / x).stat().st_size > 5000 for x in ("effects.png", "dose.png"))
