"""Drift through the REST API: what was read, week by week, against a reference."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxr_contracts import NUMBERS
from cxr_gateway.archive import open_archive
from cxr_gateway.archive.statistics import LATEST, groups_by_week
from cxr_gateway.core.image_numbers import week_of
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.report import report_of
from cxr_gateway.drift.weeks import Week, filled, weeks_until
from support.drifts import CLASSIFIER_SHA, OOD_SHA, a_reference, named, write_reference
from support.fake_gateway import (
    FakeService,
    RunningGateway,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import encoded, png, radiograph_like
from support.shadows import until

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_with_reference(tmp_path, database_url)


def settings_with_reference(
    tmp_path: Path, database_url: str | None = None, **more: Any
) -> GatewaySettings:
    folder = write_reference(tmp_path / "references", a_reference())
    values = {"drift_min_studies": 2, "reference_dir": folder} | more
    return settings_for(tmp_path / "archive", database_url, **values)


async def drift(gateway: RunningGateway, weeks: int = 1) -> dict[str, Any]:
    answer = await gateway.client.get("/api/v1/drift", params={"weeks": weeks})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_radiographs_are_held_against_the_reference_as_they_are_read(
    settings: GatewaySettings,
) -> None:
    classifier = FakeService("classifier", findings=probabilities(mass=0.7))
    async with running_gateway(settings, classifier=classifier) as gateway:
        for seed in range(3):
            await gateway.post(png(seed=seed))
        blank = encoded(radiograph_like() // 255 + 254)
        assert (await gateway.post(blank)).json()["status"] == "rejected"
        report = await drift(gateway)
    [week] = report["weeks"]
    assert week["week"] == week_of(datetime.now(UTC)) == report["compared_week"]
    assert (week["images"], week["compared"], week["refused"], week["other_models"]) == (4, 4, 1, 0)
    mass = named(report, "Mass")
    # All three from 0.5 on, half of the reference's: 0.5/4 and 3.5/4 against a half each.
    # (0.125 - 0.5) ln(0.25) + (0.875 - 0.5) ln(1.75) = 0.51986 + 0.20986
    assert (mass["psi"], mass["flag"]) == (pytest.approx(0.7297, abs=1e-4), "drifted")
    assert mass["weeks"][0]["shares"] == [0, 1]
    assert mass["bins"] == [
        {"label": "below 0.5", "low": None, "high": 0.5, "share": 0.5},
        {"label": "0.5 and above", "low": 0.5, "high": None, "share": 0.5},
    ]
    # The OOD detector's score is of all four, what else there is of the three that it let through.
    assert [named(report, name)["weeks"][0]["images"] for name in ("ood_score", "width")] == [4, 3]
    view = named(report, "view")
    assert [one["label"] for one in view["bins"]] == ["PA", "AP", "other values"]
    # A PNG says nothing of its view, so there is nothing to compare.
    assert (view["weeks"][0]["images"], view["flag"]) == (0, "too-few")
    assert report["summary"] == f"20 of 22 distributions have drifted in week {week['week']}."
    flags = [one["flag"] for one in report["statistics"]]
    assert flags == ["drifted"] * 20 + ["stable", "too-few"]
    assert report["statistics"][-2]["name"] == "source"


async def test_a_study_that_is_read_again_counts_once_and_as_it_is_then(
    settings: GatewaySettings,
) -> None:
    async def broken(_request: Request) -> Response:
        return JSONResponse({}, 500)

    classifier = FakeService("classifier", answer=broken)
    async with running_gateway(settings, classifier=classifier) as gateway:
        study = (await gateway.post(png())).json()
        assert study["status"] == "partial"
        before = await drift(gateway)
        classifier.answer = None
        await gateway.client.post(f"/api/v1/studies/{study['id']}/rerun")
        after = await drift(gateway)
    assert [before["weeks"][0]["images"], after["weeks"][0]["images"]] == [1, 1]
    assert named(before, "Mass")["weeks"][0]["images"] == 0
    assert named(after, "Mass")["weeks"][0]["images"] == 1


async def test_other_models_are_never_held_against_a_reference(tmp_path: Path) -> None:
    settings = settings_with_reference(tmp_path)
    other = FakeService("classifier", sha256="cd" * 32)
    async with running_gateway(settings, classifier=other) as gateway:
        await gateway.post(png())
        report = await drift(gateway)
    assert report["reference"] is None
    assert report["statistics"] == []
    assert report["summary"] == (
        "There is no reference for this OOD detector and classifier-stand 1. "
        "Those installed were made with classifier-stand 1."
    )
    # Its radiographs stay out when the reference's classifier answers again.
    async with running_gateway(settings) as gateway:
        await gateway.post(png(seed=1))
        [week] = (await drift(gateway))["weeks"]
    assert (week["images"], week["compared"], week["other_models"]) == (2, 1, 1)


async def test_too_few_radiographs_are_said_to_be_too_few(tmp_path: Path) -> None:
    settings = settings_with_reference(tmp_path, drift_min_studies=300)
    async with running_gateway(settings) as gateway:
        await gateway.post(png())
        report = await drift(gateway, weeks=3)
    assert report["summary"] == "No week has 300 images to compare yet, so nothing is compared."
    assert len(report["weeks"]) == 3
    for one in report["statistics"]:
        assert (one["flag"], one["psi"]) == ("too-few", None)
        assert [week["shares"] for week in one["weeks"][:2]] == [None, None]


async def test_without_a_classifier_or_a_reference_the_reason_is_said(tmp_path: Path) -> None:
    settings = settings_with_reference(tmp_path)
    down = FakeService("classifier", ready=False)
    async with running_gateway(settings, classifier=down) as gateway:
        assert "The classifier does not answer" in (await drift(gateway))["summary"]
    none = settings_for(tmp_path / "archive", reference_dir=tmp_path / "nowhere")
    async with running_gateway(none) as gateway:
        assert (await drift(gateway))["summary"] == (
            "There is no reference for this OOD detector and classifier-stand 1."
        )


async def test_what_is_asked_for_is_checked(tmp_path: Path) -> None:
    async with running_gateway(settings_for(tmp_path / "archive")) as gateway:
        refused(await gateway.client.get("/api/v1/drift?weeks=27"), 422)
        refused(await gateway.client.get("/api/v1/drift?week=2"), 422)


async def test_the_current_week_stands_in_the_metrics(tmp_path: Path) -> None:
    settings = settings_with_reference(tmp_path, drift_refresh_s=0.01)
    async with running_gateway(settings) as gateway:
        for seed in range(2):
            await gateway.post(png(seed=seed))

        async def there() -> bool:
            metrics = (await gateway.client.get("/metrics")).text
            return 'cxr_drift_psi{statistic="Mass"}' in metrics

        await until(there, "the gauge did not come")


async def test_the_radiographs_of_a_week_come_as_a_few_rows(settings: GatewaySettings) -> None:
    async with open_archive(settings) as archive:
        empty = list(weeks_until(NOW, 12))
        await archive.query(lambda session: put_radiographs(session, [week.name for week in empty]))
        weeks = filled(empty, await archive.query(groups_of(empty)))
    assert [len(week.groups) for week in weeks] == [2] * 12
    report = report_of(weeks, a_reference(), "", 300)
    assert [(week.images, week.compared) for week in report.weeks] == [(PER_WEEK, PER_WEEK)] * 12
    mass = next(one for one in report.statistics if one.name == "Mass")
    assert [(week.images, week.psi) for week in mass.weeks] == [(PER_WEEK, 0)] * 12
    view = next(one for one in report.statistics if one.name == "view")
    assert [week.shares for week in view.weeks] == [[0.75, 0.25, 0]] * 12


async def test_of_a_week_with_very_many_radiographs_the_latest_are_compared(tmp_path: Path) -> None:
    settings = settings_with_reference(tmp_path)
    async with open_archive(settings) as archive:
        [week] = weeks_until(NOW, 1)
        await archive.query(lambda session: put_radiographs(session, [week.name], LATEST + 12))
        filled([week], await archive.query(groups_of([week])))
    [counted] = report_of([week], a_reference(), "", 300).weeks
    assert (counted.images, counted.compared) == (LATEST + 12, LATEST)


def groups_of(weeks: list[Week]) -> Callable[[Session], Any]:
    return partial(groups_by_week, weeks=[week.name for week in weeks])


PER_WEEK = 800
_NUMBERED = """
INSERT INTO {table} ({columns})
WITH RECURSIVE numbered(i) AS (
  SELECT {first} UNION ALL SELECT i + 1 FROM numbered WHERE i + 1 < {first} + {count}
)
SELECT {values} FROM numbered
"""


def put_radiographs(session: Session, weeks: list[str], count: int = PER_WEEK) -> None:
    """In each week `count` rows: half of all numbers 0.25 and half 0.75, three of four are PA."""
    right = "right" if session.get_bind().dialect.name == "postgresql" else "zero_led"
    if right == "zero_led":
        connection = session.connection().connection.driver_connection
        assert connection is not None
        connection.create_function(right, 2, lambda text, length: text[-length:])
    radiograph_id = f"{right}('{'0' * 26}' || i, 26)"
    numbers = [json.dumps([value] * len(NUMBERS)) for value in (0.25, 0.75)]
    for number, week in enumerate(weeks):
        study = {
            "id": radiograph_id,
            "content_sha256": f"{right}('{'0' * 64}' || i, 64)",
            "status": "'complete'",
            "priority": "'routine'",
            "urgency": "3",
            "received_at": "'2026-11-25 12:00:00'",
            "source": "'png'",
            "revision": "1",
            "result_json": "'{}'",
            "cams_json": "'[]'",
        }
        radiograph = {
            "study_id": radiograph_id,
            "week": f"'{week}'",
            "accepted": "true",
            "source": "'png'",
            "view": "CASE WHEN i % 4 < 3 THEN 'PA' ELSE 'AP' END",
            "ood_sha256": f"'{OOD_SHA}'",
            "classifier_sha256": f"'{CLASSIFIER_SHA}'",
            "values_json": f"CASE WHEN i % 8 < 4 THEN '{numbers[0]}' ELSE '{numbers[1]}' END",
        }
        for table, row in (("studies", study), ("study_statistics", radiograph)):
            _put_numbered(session, table, row, first=number * count, count=count)


def _put_numbered(
    session: Session, table: str, row: dict[str, str], *, first: int, count: int
) -> None:
    columns, values = ", ".join(row), ", ".join(row.values())
    session.execute(
        text(
            _NUMBERED.format(table=table, columns=columns, values=values, first=first, count=count)
        )
    )
