"""The list of studies by a field, up and down, page after page; on SQLite and on PostgreSQL."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import Response

from cxr_gateway.core.ids import new_study_id
from support.databases import migrated_database_url
from support.dicom_images import dicom
from support.fake_gateway import RunningGateway, probabilities, running_gateway, settings_for
from support.images import png, radiograph_like

__all__ = ["migrated_database_url"]

STUDIES = "/api/v1/studies"
SORTS = ("received_at", "study_date", "patient_id", "accession_number", "status", "source")


@pytest.fixture
async def on_either(tmp_path: Path, database_url: str | None) -> AsyncIterator[RunningGateway]:
    settings = settings_for(tmp_path / "archive", database_url)
    async with running_gateway(settings) as running:
        yield running


async def out_of_order(_request: Request) -> Response:
    return Response(status_code=500)


async def sent(gateway: RunningGateway, seed: int, **tags: Any) -> None:
    grey = radiograph_like(120, 100, seed=seed).astype(np.uint16) * 16
    response = await gateway.post(dicom(grey, bits=12, **tags))
    assert response.status_code == 201, response.text


async def pages(gateway: RunningGateway, limit: int, **query: Any) -> list[str]:
    """The ids of all pages, one after the other."""
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        asked = {**query, "limit": limit, **cursor}
        response = await gateway.client.get(STUDIES, params=asked)
        assert response.status_code == 200, response.text
        page = response.json()
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            assert page["total"] == len(ids)
            return ids
        cursor = {"cursor": page["next_cursor"]}


async def some_studies(gateway: RunningGateway) -> dict[str, dict[str, Any]]:
    """Seven that differ in what can be sorted by, by id; some equal, some without a value."""
    longest = "Ä" * 200 + "'\\\""
    for seed, (patient, number, day) in enumerate(
        [("B", "2", "20260301"), ("a", "1", "20260103"), ("B", "", ""), (longest, "2", "20250103")]
    ):
        tags = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": patient}
        gateway.classifier.findings = probabilities(mass=0.95 - seed / 10, fibrosis=0.4)
        await sent(gateway, seed, **tags, AccessionNumber=number, StudyDate=day)
    gateway.classifier.findings = probabilities(mass=0.75)
    for seed in (5, 6):
        assert (await gateway.post(png(seed=seed))).status_code == 201
    gateway.classifier.answer = gateway.detector.answer = out_of_order
    assert (await gateway.post(png(seed=7))).status_code == 503
    listed = (await gateway.client.get(STUDIES)).json()["items"]
    studies = [(await gateway.client.get(f"{STUDIES}/{one['id']}")).json() for one in listed]
    assert len(studies) == 7
    return {one["id"]: one for one in studies}


def value_of(study: dict[str, Any], key: str) -> Any:
    if key == "probability":
        return next(one["probability"] for one in study["findings"] if one["finding"] == "Mass")
    if key == "source":
        return study["image"]["source"]
    return study.get(key, study["patient"].get(key))


async def test_the_list_is_sorted_by_a_field_up_and_down_page_after_page(
    on_either: RunningGateway,
) -> None:
    studies = await some_studies(on_either)
    for key in (*SORTS, "probability"):
        query = {"finding": "Mass"} if key == "probability" else {}
        for sort in (key, f"-{key}"):
            whole = await pages(on_either, 50, sort=sort, **query)
            expected = 6 if query else 7
            assert len(set(whole)) == len(whole) == expected, sort
            values = [value_of(studies[one], key) for one in whole]
            with_value = [value for value in values if value is not None]
            assert values[len(with_value) :] == [None] * (expected - len(with_value)), sort
            if key != "patient_id":  # whose order is the database's, of letters too
                assert with_value == sorted(with_value, reverse=sort.startswith("-")), sort
            for limit in (1, 2, 3):
                assert await pages(on_either, limit, sort=sort, **query) == whole, (sort, limit)
    by_patient = await pages(on_either, 50, sort="patient_id")
    named = [value_of(studies[one], "patient_id") for one in by_patient][:4]
    backwards = await pages(on_either, 50, sort="-patient_id")
    assert named == [value_of(studies[one], "patient_id") for one in backwards][:4][::-1]
    assert named.index("B") == len(named) - 1 - named[::-1].index("B") - 1, "equals stand together"
    # Without a word, and by its own name, the list stands as it is read.
    assert await pages(on_either, 3, sort="reading") == await pages(on_either, 2) != by_patient


async def test_a_cursor_of_another_order_is_refused(on_either: RunningGateway) -> None:
    for seed in (1, 2):
        await sent(on_either, seed, PatientID="P1")
    cursors = {}
    for sort in ("reading", "patient_id", "-patient_id", "received_at"):
        page = (await on_either.client.get(STUDIES, params={"sort": sort, "limit": 1})).json()
        cursors[sort] = page["next_cursor"]
    for sort in cursors:
        for of, cursor in cursors.items():
            answer = await on_either.client.get(STUDIES, params={"sort": sort, "cursor": cursor})
            assert answer.status_code == (200 if of == sort else 400), (sort, of)
    of_mass: dict[str, str | int] = {"sort": "probability", "finding": "Mass", "limit": 1}
    cursor = (await on_either.client.get(STUDIES, params=of_mass)).json()["next_cursor"]
    other = {"sort": "probability", "finding": "Fibrosis", "cursor": cursor}
    assert (await on_either.client.get(STUDIES, params=other)).status_code == 400


@pytest.mark.parametrize(
    "forged",
    [
        "nonsense",
        "é",
        "W10=",
        '["received_at", "yesterday", "ID"]',
        '["received_at", "2026-01-01T00:00:00", "ID"]',
        '["received_at", null, "ID"]',
        '["received_at", 5, "ID"]',
        '["received_at", "2026-01-01T00:00:00Z", "../etc"]',
        '["received_at", "2026-01-01T00:00:00Z"]',
        '"received_at"',
        "[" * 2000,
        '["patient_id", "a\\u0000b", "ID"]',
        '["patient_id", "\\ud800", "ID"]',
        '["probability:Mass", 1e999, "ID"]',
        '["probability:Mass", null, "ID"]',
        '["status", null, "ID"]',
    ],
)
async def test_a_forged_cursor_is_refused(on_either: RunningGateway, forged: str) -> None:
    text = forged.replace("ID", new_study_id())
    packed = base64.urlsafe_b64encode(text.encode()).decode()
    for sort in ("received_at", "patient_id", "probability", "status"):
        for cursor in (forged, packed):
            asked = {"sort": sort, "finding": "Mass", "cursor": cursor}
            answer = await on_either.client.get(STUDIES, params=asked)
            assert answer.status_code == 400, answer.text
