"""The list of studies by patient, number, date, finding, state, source and words."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.dicom_images import dicom
from support.fake_gateway import RunningGateway, running_gateway, settings_for
from support.images import png, radiograph_like

STUDIES = "/api/v1/studies"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


async def sent(gateway: RunningGateway, seed: int, **tags: Any) -> str:
    grey = radiograph_like(120, 100, seed=seed).astype(np.uint16) * 16
    response = await gateway.post(dicom(grey, bits=12, **tags), name=f"chest-{seed}.dcm")
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def found(gateway: RunningGateway, **query: Any) -> list[str]:
    response = await gateway.client.get(STUDIES, params=query)
    assert response.status_code == 200, response.text
    page = response.json()
    assert page["total"] == len(page["items"])
    return [item["id"] for item in page["items"]]


async def test_a_patient_is_found_by_number_name_and_date(gateway: RunningGateway) -> None:
    first = await sent(
        gateway, 1, PatientID="P 1%", PatientName="MÜLLER^Anna", StudyDate="20260103",
        AccessionNumber="A-1", SpecificCharacterSet="ISO_IR 192",
    )  # fmt: skip
    second = await sent(
        gateway, 2, PatientID="P 12", PatientName="ROSSI^Anna", StudyDate="20260301"
    )
    third = str((await gateway.post(png())).json()["id"])
    assert await found(gateway, patient_id="P 1%") == [first]
    assert await found(gateway, accession_number="A-1") == [first]
    assert await found(gateway, study_date_from="2026-01-03", study_date_to="2026-01-31") == [first]
    assert await found(gateway, study_date_from="2026-01-04") == [second]
    for words in ("müller", "MÜLLER, ANNA", "anna 2026-01-03", "chest-1", "p 1%"):
        assert await found(gateway, q=words) == [first], words
    assert set(await found(gateway, q="anna")) == {first, second}
    # A pattern of the database's is a word like any other.
    assert await found(gateway, q="%") == [first]
    assert await found(gateway, q="anna_") == []
    assert await found(gateway, source="png") == [third]
    assert set(await found(gateway, source=["png", "dicom"])) == {first, second, third}


async def test_studies_are_found_by_finding_level_state_and_arrival(
    gateway: RunningGateway,
) -> None:
    study = await sent(gateway, 1)
    assert await found(gateway, finding="Mass") == [study]
    assert await found(gateway, finding="Mass", level="likely") == [study]
    assert await found(gateway, finding="Mass", level="possible") == []
    assert await found(gateway, finding="Hernia") == []
    assert await found(gateway, q="mass soon") == [study]
    assert await found(gateway, worklist="new") == [study]
    done = await gateway.client.put(f"{STUDIES}/{study}/worklist", json={"state": "done"})
    assert done.status_code == 200, done.text
    assert await found(gateway, worklist="new") == []
    assert await found(gateway, worklist=["new", "done"]) == [study]
    now = datetime.now(UTC)
    assert await found(gateway, received_since=(now - timedelta(minutes=5)).isoformat()) == [study]
    assert await found(gateway, received_since=(now + timedelta(minutes=5)).isoformat()) == []


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
    gateway: RunningGateway, query: dict[str, str]
) -> None:
    response = await gateway.client.get(STUDIES, params=query)
    assert response.status_code == 422
    kinds = ("unprocessable", "invalid-request")
    assert response.json()["type"] in [f"urn:cxr:problem:{kind}" for kind in kinds]
