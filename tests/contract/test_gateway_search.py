"""The list of studies by patient, number, date, finding, state, source and words."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.dicom_images import dicom
from support.fake_gateway import Stand, settings_for, standing_gateway
from support.images import png, radiograph_like

STUDIES = "/api/v1/studies"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


async def sent(stand: Stand, seed: int, **tags: Any) -> str:
    grey = radiograph_like(120, 100, seed=seed).astype(np.uint16) * 16
    response = await stand.post(dicom(grey, bits=12, **tags), name=f"chest-{seed}.dcm")
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def found(stand: Stand, **query: Any) -> list[str]:
    response = await stand.client.get(STUDIES, params=query)
    assert response.status_code == 200, response.text
    page = response.json()
    assert page["total"] == len(page["items"])
    return [item["id"] for item in page["items"]]


async def test_a_patient_is_found_by_number_name_and_date(stand: Stand) -> None:
    first = await sent(
        stand, 1, PatientID="P 1%", PatientName="MÜLLER^Anna", StudyDate="20260103",
        AccessionNumber="A-1", SpecificCharacterSet="ISO_IR 192",
    )  # fmt: skip
    second = await sent(stand, 2, PatientID="P 12", PatientName="ROSSI^Anna", StudyDate="20260301")
    third = str((await stand.post(png())).json()["id"])
    assert await found(stand, patient_id="P 1%") == [first]
    assert await found(stand, accession_number="A-1") == [first]
    assert await found(stand, study_date_from="2026-01-03", study_date_to="2026-01-31") == [first]
    assert await found(stand, study_date_from="2026-01-04") == [second]
    for words in ("müller", "MÜLLER, ANNA", "anna 2026-01-03", "chest-1", "p 1%"):
        assert await found(stand, q=words) == [first], words
    assert set(await found(stand, q="anna")) == {first, second}
    # A pattern of the database's is a word like any other.
    assert await found(stand, q="%") == [first]
    assert await found(stand, q="anna_") == []
    assert await found(stand, source="png") == [third]
    assert set(await found(stand, source=["png", "dicom"])) == {first, second, third}


async def test_studies_are_found_by_finding_level_state_and_arrival(stand: Stand) -> None:
    study = await sent(stand, 1)
    assert await found(stand, finding="Mass") == [study]
    assert await found(stand, finding="Mass", level="likely") == [study]
    assert await found(stand, finding="Mass", level="possible") == []
    assert await found(stand, finding="Hernia") == []
    assert await found(stand, q="mass soon") == [study]
    assert await found(stand, worklist="new") == [study]
    done = await stand.client.put(f"{STUDIES}/{study}/worklist", json={"state": "done"})
    assert done.status_code == 200, done.text
    assert await found(stand, worklist="new") == []
    assert await found(stand, worklist=["new", "done"]) == [study]
    now = datetime.now(UTC)
    assert await found(stand, received_since=(now - timedelta(minutes=5)).isoformat()) == [study]
    assert await found(stand, received_since=(now + timedelta(minutes=5)).isoformat()) == []


@pytest.mark.parametrize(
    "query",
    [
        {"level": "likely"},
        {"finding": "Mass", "level": "unlikely"},
        {"finding": "a mass"},
        {"study_date_from": "2026-13-01"},
        {"received_since": "yesterday"},
        {"source": "gif"},
        {"patient": "P1"},
        {"q": "x" * 201},
        {"sort": "file_name"},
        {"sort": "-reading"},
        {"sort": "probability"},
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused(
    stand: Stand, query: dict[str, str]
) -> None:
    response = await stand.client.get(STUDIES, params=query)
    assert response.status_code == 422
    kinds = ("unprocessable", "invalid-request")
    assert response.json()["type"] in [f"urn:cxr:problem:{kind}" for kind in kinds]
