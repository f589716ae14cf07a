"""QIDO-RS and WADO-RS of results, and results as HL7 v2 and FHIR R5, over HTTP."""

from collections.abc import AsyncIterator
from email.parser import BytesParser
from email.policy import HTTP
from io import BytesIO
from pathlib import Path
from typing import Any

import hl7
import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from cxr_gateway.core.principal import Role
from support.access import client_as, closed_gateway, closed_settings
from support.dicom_images import dicom
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import png, radiograph_like

ROOT = "/dicomweb/studies"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


def radiograph(number: int, **tags: Any) -> bytes:
    values = radiograph_like(seed=number).astype(np.uint16)
    given = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientID": "4711",
        "PatientName": "Müller^Zoë",
        "StudyDate": "20260102",
        "AccessionNumber": f"A{number}",
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.3.{number}.1",
        "SOPInstanceUID": f"1.2.3.{number}.1.1",
    }
    return dicom(values, **(given | tags))


async def sent(gateway: RunningGateway, number: int, **tags: Any) -> str:
    answer = await gateway.post(radiograph(number, **tags), name="a.dcm")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def searched(client: httpx.AsyncClient, path: str = "", **query: Any) -> list[Dataset]:
    answer = await client.get(f"{ROOT}{path}", params=query)
    if answer.status_code == 204:
        return []
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    return [Dataset.from_json(item) for item in answer.json()]


def parts(answer: httpx.Response) -> list[Dataset]:
    """The instances of a multipart answer, taken apart by Python's own parser."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + answer.content)
    found: list[Dataset] = []
    for part in message.iter_parts():
        assert part.get_content_type() == "application/dicom"
        content: Any = part.get_payload(decode=True)
        found.append(pydicom.dcmread(BytesIO(content)))
    return found


async def test_a_patients_studies_are_found_the_latest_first(gateway: RunningGateway) -> None:
    await sent(gateway, 1, StudyDate="20240506")
    await sent(gateway, 2)
    await sent(gateway, 3, PatientID="0815")
    # A second radiograph of the same study.
    await sent(gateway, 4, StudyInstanceUID="1.2.3.2", AccessionNumber="A2")
    await gateway.post(png())
    found = await searched(gateway.client, PatientID="4711")
    assert [one.StudyInstanceUID for one in found] == ["1.2.3.2", "1.2.3.1"]
    assert [str(one.PatientName) for one in found] == ["Müller^Zoë"] * 2
    assert found[0].ModalitiesInStudy == ["DOC", "OT", "PR", "SR"]
    assert found[0].NumberOfStudyRelatedInstances == 2 * found[1].NumberOfStudyRelatedInstances
    earlier = await searched(gateway.client, PatientID="4711", StudyDate="20240101-20241231")
    assert [one.AccessionNumber for one in earlier] == ["A1"]
    assert len(await searched(gateway.client, **{"00080050": "A2"})) == 1
    assert len(await searched(gateway.client)) == 3
    assert len(await searched(gateway.client, limit=1, offset=1)) == 1
    assert await searched(gateway.client, PatientID="nobody") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"PatientName": "M*"}, 422),
        ({"PatientID": "47*"}, 400),
        ({"PatientID": "47\0"}, 400),
        ({"StudyDate": "yesterday"}, 400),
        ({"limit": "-1"}, 400),
    ],
)
async def test_what_is_not_looked_for_is_refused(
    gateway: RunningGateway, query: dict[str, str], status: int
) -> None:
    refused(await gateway.client.get(ROOT, params=query), status)


async def test_what_is_listed_is_what_can_be_had(gateway: RunningGateway) -> None:
    await sent(gateway, 1)
    listed = await searched(gateway.client, "/1.2.3.1/instances")
    had = parts(await gateway.client.get(f"{ROOT}/1.2.3.1"))
    uids = [one.SOPInstanceUID for one in had]
    assert [one.SOPInstanceUID for one in listed] == uids
    assert len(set(uids)) == 6
    assert {one.PatientID for one in had} == {"4711"}
    series = await searched(gateway.client, "/1.2.3.1/series")
    assert sum(one.NumberOfSeriesRelatedInstances for one in series) == 6
    reports = next(one for one in series if one.Modality == "SR")
    below = f"/1.2.3.1/series/{reports.SeriesInstanceUID}"
    of_series = await searched(gateway.client, f"{below}/instances")
    assert len(of_series) == 2
    assert len(parts(await gateway.client.get(f"{ROOT}{below}"))) == 2
    # As its own RetrieveURL says, alone.
    path = str(of_series[0].RetrieveURL).removeprefix("http://localhost")
    alone = await gateway.client.get(path, headers={"Accept": "application/dicom"})
    assert alone.headers["content-type"] == "application/dicom"
    assert pydicom.dcmread(BytesIO(alone.content)).SOPInstanceUID == of_series[0].SOPInstanceUID
    audit = await gateway.client.get("/api/v1/audit", params={"action": "retrieveDicomInstance"})
    assert len(audit.json()["items"]) == 1


async def test_metadata_says_everything_but_the_images(gateway: RunningGateway) -> None:
    await sent(gateway, 1)
    answer = await gateway.client.get(f"{ROOT}/1.2.3.1/metadata")
    described = [Dataset.from_json(item) for item in answer.json()]
    assert len(described) == 6
    assert not any("PixelData" in one or "EncapsulatedDocument" in one for one in described)
    assert any("ContentSequence" in one for one in described)


async def test_what_is_not_there_or_not_acceptable_is_refused(gateway: RunningGateway) -> None:
    await sent(gateway, 1)
    refused(await gateway.client.get(f"{ROOT}/9.9.9"), 404)
    refused(await gateway.client.get(f"{ROOT}/9.9.9/series"), 404)
    refused(await gateway.client.get(f"{ROOT}/1.2.3.1/series/9.9"), 404)
    refused(await gateway.client.get(f"{ROOT}/no-uid"), 422)
    wanted = {"Accept": 'multipart/related; type="image/jpeg"'}
    refused(await gateway.client.get(f"{ROOT}/1.2.3.1", headers=wanted), 406)
    # What a generated client says where the success is no JSON: the form of problems alone.
    generated = {"Accept": "application/problem+json"}
    assert (await gateway.client.get(f"{ROOT}/1.2.3.1", headers=generated)).status_code == 200


async def test_another_departments_results_are_not_there(tmp_path: Path) -> None:
    async with closed_gateway(closed_settings(tmp_path / "archive")) as gateway:
        async with client_as(gateway, Role.INTEGRATOR, department="radiology") as client:
            files = {"file": ("a.dcm", radiograph(1), "application/dicom")}
            assert (await client.post("/api/v1/studies", files=files)).status_code == 201
            assert len(await searched(client)) == 1
        async with client_as(gateway, Role.VIEWER, department="surgery") as client:
            assert await searched(client) == []
            refused(await client.get(f"{ROOT}/1.2.3.1"), 404)
        async with client_as(gateway, Role.AUDITOR) as client:
            refused(await client.get(ROOT), 403)


async def test_a_result_is_given_as_an_hl7_message(gateway: RunningGateway) -> None:
    study = await sent(gateway, 1, PatientName="Mül|ler^Zoë^^Dr", PatientSex="F")
    query = {"application": "RIS", "facility": "HOSP"}
    answer = await gateway.client.get(f"/api/v1/studies/{study}/oru.hl7", params=query)
    assert answer.headers["content-type"] == "application/hl7-v2"
    message = hl7.parse(answer.content.decode())
    assert str(message.segment("MSH")[9]) == "ORU^R01^ORU_R01"
    assert (str(message["MSH.5"]), str(message["MSH.6"])) == ("RIS", "HOSP")
    assert message["PID.3.1.1"] == "4711"
    # Family, given, middle, suffix, prefix.
    name = [message.extract_field("PID", 1, 5, 1, part) for part in range(1, 6)]
    assert name == ["Mül|ler", "Zoë", "", "", "Dr"]
    assert message["OBR.18"] == "A1"
    rows = message.segments("OBX")
    said = {str(row[3][0][1]): str(row[5]) for row in rows if str(row[2]) == "NM"}
    assert said["Mass"] == "0.7000"
    assert len(said) == 14
    assert {str(row[11]) for row in rows} == {"P"}
    assert any("Research use" in str(row[5]) for row in rows)
    again = await gateway.client.get(f"/api/v1/studies/{study}/oru.hl7", params=query)
    assert again.content == answer.content
    bad = await gateway.client.get(f"/api/v1/studies/{study}/oru.hl7", params={"facility": "a|b"})
    refused(bad, 422)


async def test_r5_is_given_to_whoever_asks_for_it(gateway: RunningGateway) -> None:
    study = await sent(gateway, 1)
    path = f"/fhir/R4/DiagnosticReport/{study}/$everything"
    accept = {"Accept": "application/fhir+json; fhirVersion=5.0"}
    answer = await gateway.client.get(path, params={"form": "transaction"}, headers=accept)
    assert answer.headers["content-type"] == "application/fhir+json; fhirVersion=5.0"
    entries = answer.json()["entry"]
    kinds = [entry["resource"]["resourceType"] for entry in entries]
    assert "ImagingSelection" in kinds
    assert all(entry["request"]["method"] == "PUT" for entry in entries)
    plain = await gateway.client.get(path)
    assert "ImagingSelection" not in plain.text
    refused(await gateway.client.get(path, params={"form": "batch"}), 422)
