"""How often readers agreed: shares, intervals, and months that differ."""

from datetime import UTC, datetime

import pytest

from cxr_gateway.archive.reviews import ReviewRecord, standing
from cxr_gateway.feedback.agreement import agreement_of, difference, months_until, wilson

NOW = datetime(2026, 3, 10, tzinfo=UTC)


def said(
    verdict: str, label: str = "Mass", *, month: int = 3, by: str = "a", n: int = 1
) -> list[ReviewRecord]:
    return [
        ReviewRecord(
            id=f"{verdict}-{label}-{month}-{by}-{number}",
            study_id=f"{number}",
            revision=1,
            made_at=datetime(2026, month, 1, tzinfo=UTC),
            made_by=by,
            verdict=verdict,
            target_kind=None if verdict in ("added", "commented") else "finding",
            target_label=None if verdict in ("added", "commented") else label,
            target_box=None,
            shown_level="likely",
            shown_value=0.7,
            model_role="classifier",
            model_name="lite",
            model_version="3",
            model_sha256="ab" * 32,
            label=label,
            x_min=None,
            y_min=None,
            x_max=None,
            y_max=None,
            comment="",
            withdrawn_at=None,
        )
        for number in range(n)
    ]


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == pytest.approx(1.0)
    assert wilson(0, 0) == (0.0, 1.0)


def test_newcombes_interval_is_that_of_his_paper() -> None:
    # 56 of 70 and 48 of 80: 0.2 with 0.0524 to 0.3339.
    assert difference((56, 70), (48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_months_go_back_over_the_turn_of_a_year() -> None:
    assert months_until(NOW, 4) == ["2025-12", "2026-01", "2026-02", "2026-03"]


def test_agreement_is_counted_by_finding_reader_month_and_model() -> None:
    records = [
        *said("accepted", n=6),
        *said("rejected", "Edema", month=2, by="b", n=3),
        *said("added", "Fracture"),
        *said("commented"),
    ]
    report = agreement_of(records, 3, NOW)
    assert (report.overall.judged, report.overall.accepted, report.overall.added) == (10, 6, 1)
    assert report.overall.share == 0.6
    assert [(x.name, x.share) for x in report.by_finding] == [
        ("Mass", 1.0),
        ("Edema", 0.0),
        ("Fracture", 0.0),
    ]
    assert [(x.name, x.judged) for x in report.by_reader] == [("a", 7), ("b", 3)]
    assert [(x.name, x.judged) for x in report.by_month] == [
        ("2026-01", 0),
        ("2026-02", 3),
        ("2026-03", 7),
    ]
    assert [x.name for x in report.by_model] == ["classifier lite 3"]
    assert report.summary == "Readers agreed with 6 of 10 answers that they judged."
    assert agreement_of([], 3, NOW).overall.share is None


def test_a_month_that_fell_is_told_and_noise_is_not() -> None:
    before = [*said("accepted", month=2, n=36), *said("rejected", month=2, n=4)]
    fell = [*said("accepted", n=12), *said("rejected", n=18)]
    [overall, mass] = agreement_of([*before, *fell], 3, NOW).changes
    assert {overall.name, mass.name} == {"all", "Mass"}
    assert (mass.share_before, mass.share, mass.month) == (0.9, 0.4, "2026-03")
    assert mass.low < mass.change < mass.high < 0
    noise = [*said("accepted", n=26), *said("rejected", n=4)]
    assert agreement_of([*before, *noise], 3, NOW).changes == []
    few = said("rejected", n=19)
    assert agreement_of([*before, *few], 3, NOW).changes == []


def test_of_two_words_of_one_reader_the_later_stands() -> None:
    [first], [second] = said("accepted"), said("rejected")
    [other] = said("accepted", by="b")
    assert standing([first, second, other]) == [second, other]
