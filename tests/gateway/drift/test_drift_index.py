"""The index, held against values reckoned by hand; bins, measures, weeks, references."""

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cxr_contracts import Finding, NumberReference
from cxr_gateway.core.image_numbers import view_of, week_of
from cxr_gateway.drift.psi import DriftFlag, counts_in, flag_of, psi, quantile_edges
from cxr_gateway.drift.references import load_references
from cxr_gateway.drift.weeks import weeks_until
from cxr_gateway.imaging.statistics import measure
from support.drifts import a_reference, words, write_reference
from support.images import radiograph_like

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


def test_the_index_is_what_a_hand_reckons() -> None:
    # Shares with half a radiograph more in each bin: 30.5/101 and 70.5/101 against 50.5/101 twice.
    # (0.30198 - 0.5) ln(0.60396) + (0.69802 - 0.5) ln(1.39604)
    #   = 0.19802 * 0.50425 + 0.19802 * 0.33364 = 0.09985 + 0.06607
    assert psi([30, 70], [50, 50]) == pytest.approx(0.16592, abs=2e-5)
    # The week has a radiograph in a bin that the reference never saw: 1.5/12 against 0.5/102.
    # (0.125 - 0.0049) ln(25.5) + (0.45833 - 0.4951) ln(0.92573) + (0.41667 - 0.5) ln(0.83333)
    #   = 0.38891 + 0.00284 + 0.01519
    assert psi([1, 5, 4.5], [0, 50, 50.5]) == pytest.approx(0.40694, abs=1e-4)  # type: ignore[list-item]


def test_no_radiographs_at_all_lie_as_far_from_the_reference_as_an_even_spread() -> None:
    assert psi([0, 0], [50, 50]) == 0
    assert psi([0, 0], [100, 0]) == pytest.approx(psi([5, 5], [100, 0]), abs=1e-12)


@given(COUNTS)
def test_a_distribution_does_not_drift_from_itself(counts: list[int]) -> None:
    assert psi(counts, counts) == 0


@given(COUNTS, st.randoms())
def test_the_index_is_never_negative_and_the_same_both_ways(
    counts: list[int], random: st.DrawFn
) -> None:
    others = list(counts)
    random.shuffle(others)  # type: ignore[attr-defined]
    assert psi(counts, others) >= 0
    assert psi(counts, others) == pytest.approx(psi(others, counts))


def test_bins_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bins cannot be held against 3"):
        psi([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (None, DriftFlag.TOO_FEW),
        (0.0999, DriftFlag.STABLE),
        (0.1, DriftFlag.WATCH),
        (0.2499, DriftFlag.WATCH),
        (0.25, DriftFlag.DRIFTED),
    ],
)
def test_flags_begin_at_their_thresholds(value: float | None, flag: DriftFlag) -> None:
    assert flag_of(value) is flag


def test_chance_alone_makes_as_much_of_it_as_is_said() -> None:
    generator = np.random.default_rng(0)
    reference = [180] * 10
    found = [psi(generator.multinomial(300, [0.1] * 10).tolist(), reference) for _ in range(400)]
    assert np.mean(found) == pytest.approx(9 / 300, rel=0.15)
    assert np.mean(np.array(found) >= 0.1) < 0.005


def test_a_value_on_an_edge_lies_above_it_and_unknown_values_nowhere() -> None:
    assert counts_in([0.1, 0.5, 0.7, math.nan, 9], [0.5, 0.7]) == [1, 1, 2]
    assert counts_in([], [0.5]) == [0, 0]


def test_quantiles_make_bins_of_as_many_values() -> None:
    values = np.arange(1000) / 1000
    assert counts_in(values, quantile_edges(values, 10)) == [100] * 10


def test_values_that_come_often_leave_fewer_bins_and_a_single_one_has_its_own() -> None:
    often = [64.0] * 80 + [128.0] * 15 + [384.0] * 5
    edges = quantile_edges(often, 10)
    assert edges == [64, 128]
    assert counts_in(often, edges) == [0, 80, 20]
    constant = quantile_edges([7.0] * 30, 10)
    assert counts_in([6.9, 7.0, 7.0, 7.1], constant) == [1, 2, 1]
    with pytest.raises(ValueError, match="no value"):
        quantile_edges([math.nan], 10)


def test_an_image_is_measured_by_its_greys_and_its_steps() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))
    found = measure(stripes)
    # Every step across is 200, none down is; half of that over a deviation of 100.
    assert (found.mean_grey, found.contrast, found.sharpness) == (100, 100, 1)
    assert measure(np.full((9, 9), 17, np.uint8)).sharpness == 0
    assert measure(np.array([[3]], np.uint8)).sharpness == 0


def test_a_blurred_image_is_less_sharp_at_whatever_size() -> None:
    for side in (120, 1500):
        sharp = radiograph_like(side, side)
        blurred = (sharp[:-1, :-1] / 2 + sharp[1:, 1:] / 2).astype(np.uint8)
        assert measure(blurred).sharpness < measure(sharp).sharpness
        assert measure(blurred).mean_grey == pytest.approx(measure(sharp).mean_grey, abs=1)


def test_a_week_is_iso_and_in_utc() -> None:
    assert week_of(datetime(2027, 1, 3, 23, 59, tzinfo=UTC)) == "2026-W53"
    assert week_of(datetime(2027, 1, 4, tzinfo=UTC)) == "2027-W01"
    # Monday in Auckland is still Sunday in UTC.
    auckland = timezone(timedelta(hours=13))
    assert week_of(datetime(2027, 1, 4, 9, tzinfo=auckland)) == "2026-W53"


def test_weeks_end_with_the_current_one_across_a_year() -> None:
    names = [week.name for week in weeks_until(datetime(2027, 1, 6, tzinfo=UTC), 3)]
    assert names == ["2026-W52", "2026-W53", "2027-W01"]


@pytest.mark.parametrize(
    ("view", "kept"), [("PA", "PA"), (None, "unknown"), ("", "unknown"), ("A" * 99, "other")]
)
def test_whatever_a_file_says_of_its_view_is_one_of_four_words(view: str | None, kept: str) -> None:
    assert view_of(view) == kept


def test_a_reference_is_for_its_two_networks_only(tmp_path: Path) -> None:
    reference = a_reference()
    references = load_references(write_reference(tmp_path, reference))
    assert references.of(*reference.models) == reference
    assert references.of("cd" * 32, reference.models[1]) is None
    assert references.of(reference.models[0], "cd" * 32) is None
    assert "Those installed were made with classifier-stand 1." in references.why_none(
        reference.classifier
    )


def test_a_broken_reference_is_told_and_stops_nothing(tmp_path: Path) -> None:
    folder = write_reference(tmp_path, a_reference())
    (folder / "other").mkdir()
    (folder / "other" / "reference.json").write_text('{"schema_version": 2}')
    references = load_references(folder)
    assert len(references.installed) == 1
    assert references.broken == ["other cannot be used: schema_version: Input should be 1."]
    assert load_references(tmp_path / "nowhere").installed == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": [0.5, 0.5], "counts": [1, 1, 1]},
        {"edges": [0.5], "counts": [1]},
        {"edges": [0.5], "counts": [0, 0]},
        {"edges": [0.5], "counts": [2, -1]},
        {"edges": [], "counts": [1]},
    ],
)
def test_what_is_no_histogram_is_no_reference(wrong: dict[str, list[float]]) -> None:
    with pytest.raises(ValidationError):
        NumberReference.model_validate({"kind": "number", "name": "width"} | wrong)


def test_a_reference_names_each_statistic_once() -> None:
    with pytest.raises(ValidationError, match="must name each of"):
        a_reference(width=words("width", a=1))
    with pytest.raises(ValidationError, match="must name each of"):
        a_reference(again=a_reference().statistics[0])
    assert len(a_reference().statistics) == 8 + len(Finding)
