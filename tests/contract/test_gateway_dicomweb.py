"""STOW-RS and FHIR over HTTP: what hospital systems send and read, with permissions and audit."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest

from support.dicom_images import dicom
from support.fake_gateway import FakeService, RunningGateway, refused, running_gateway, settings_for
from support.images import png, radiograph_like

STOW = "/dicomweb/studies"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


def radiograph(number: int = 1, **tags: Any) -> bytes:
    values = radiograph_like(seed=number).astype(np.uint16)
    return dicom(
        values,
        SOPInstanceUID=f"1.2.3.{number}",
        SeriesInstanceUID="1.2.3",
        PatientID="4711",
        **tags,
    )


def related(*parts: bytes, kind: str = "application/dicom") -> tuple[bytes, str]:
    """A multipart/related body, and its type."""
    body = b"".join(
        b"--edge\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + part + b"\r\n" for part in parts
    )
    return body + b"--edge--\r\n", f'multipart/related; type="{kind}"; boundary=edge'


async def stored(gateway: RunningGateway, *parts: bytes) -> httpx.Response:
    body, kind = related(*parts)
    return await gateway.client.post(STOW, content=body, headers={"Content-Type": kind})


def uids(answer: httpx.Response, tag: str) -> list[str]:
    items = answer.json().get(tag, {}).get("Value", [])
    return [item["00081155"]["Value"][0] for item in items]


async def test_instances_are_read_and_referenced(gateway: RunningGateway) -> None:
    answer = await stored(gateway, radiograph(1), radiograph(2))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    assert uids(answer, "00081199") == ["1.2.3.1", "1.2.3.2"]
    assert "00081198" not in answer.json()
    [first, _] = answer.json()["00081199"]["Value"]
    study = await gateway.client.get(first["00081190"]["Value"][0])
    assert study.json()["patient"]["sop_instance_uid"] == "1.2.3.1"
    listed = await gateway.client.get("/api/v1/studies")
    assert listed.json()["total"] == 2
    # Sent again, they are the same studies.
    assert (await stored(gateway, radiograph(1))).json() == {
        "00081199": {"vr": "SQ", "Value": [first]}
    }
    audit = await gateway.client.get("/api/v1/audit", params={"action": "storeInstances"})
    assert len(audit.json()["items"]) == 2


async def test_a_body_may_be_one_instance_itself(gateway: RunningGateway) -> None:
    kind = {"Content-Type": "application/dicom"}
    answer = await gateway.client.post(STOW, content=radiograph(1), headers=kind)
    assert answer.status_code == 200, answer.text
    assert uids(answer, "00081199") == ["1.2.3.1"]
    refused(await gateway.client.post(STOW, content=b"", headers=kind), 422)
    assert gateway.files() == [name for name in gateway.files() if name.startswith("studies/")]


async def test_what_cannot_be_read_is_named_as_failed(gateway: RunningGateway) -> None:
    broken = radiograph(3)[:-2000]
    some = await stored(gateway, radiograph(1), broken)
    assert some.status_code == 202
    assert uids(some, "00081199") == ["1.2.3.1"]
    assert uids(some, "00081198") == ["1.2.3.3"]
    [failure] = some.json()["00081198"]["Value"]
    assert failure["00081197"]["Value"] == [0xC000]
    none = await stored(gateway, broken, b"no dicom at all")
    assert none.status_code == 409
    assert len(none.json()["00081198"]["Value"]) == 2
    assert [name for name in gateway.files() if name.startswith("incoming/")] == []


async def test_an_image_that_this_system_made_is_rejected_and_a_report_refused(
    gateway: RunningGateway,
) -> None:
    study = (await gateway.post(radiograph(1), name="a.dcm")).json()["id"]
    page, report = [
        (await gateway.client.get(f"/api/v1/studies/{study}/{name}")).content
        for name in ("secondary-capture.dcm", "structured-report/findings.dcm")
    ]
    answer = await stored(gateway, page, report)
    assert answer.status_code == 202
    assert len(uids(answer, "00081198")) == 1
    listed = (await gateway.client.get("/api/v1/studies", params={"status": "rejected"})).json()
    assert listed["total"] == 1
    rejected = await gateway.client.get(f"/api/v1/studies/{listed['items'][0]['id']}")
    assert "Manufacturer (0008,0070)" in rejected.json()["ood"]["reason"]


async def test_a_study_that_no_service_analysed_is_kept(tmp_path: Path) -> None:
    from support.fake_gateway import CLASSIFIER_URL, DETECTOR_URL, Unreachable

    away = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with running_gateway(settings_for(tmp_path / "archive"), transports=away) as gateway:
        answer = await stored(gateway, radiograph(1))
        assert answer.status_code == 200
        listed = await gateway.client.get("/api/v1/studies", params={"status": "failed"})
        assert listed.json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (*related(b"x", kind="image/png"), 415),
        (b"x", "image/png", 415),
        (b"x", 'multipart/related; type="application/dicom"', 400),
        (b"--edge\r\n\r\nhalf", 'multipart/related; type="application/dicom"; boundary=edge', 400),
        (b"--edge--\r\n", 'multipart/related; type="application/dicom"; boundary=edge', 400),
    ],
)
async def test_other_bodies_are_refused_and_leave_nothing(
    gateway: RunningGateway, body: bytes, kind: str, status: int
) -> None:
    answer = await gateway.client.post(STOW, content=body, headers={"Content-Type": kind})
    refused(answer, status)
    assert gateway.files() == []


async def test_instances_that_are_together_larger_than_an_upload_are_refused(
    tmp_path: Path,
) -> None:
    one = radiograph(1)
    limit = len(one) + 1000
    settings = settings_for(tmp_path / "archive", max_upload_bytes=limit)
    async with running_gateway(settings) as gateway:
        problem = refused(await stored(gateway, one, radiograph(2)), 413)
        assert f"{limit:,}" in problem.detail
        assert gateway.files() == []
        assert (await stored(gateway, one)).status_code == 200


async def test_results_are_given_as_dicom_of_the_same_study(gateway: RunningGateway) -> None:
    study = (await gateway.post(radiograph(1), name="a.dcm")).json()["id"]
    for name in (
        "structured-report/findings.dcm?kind=2d",
        "structured-report/boxes.dcm",
        "presentation-state.dcm",
        "secondary-capture.dcm",
    ):
        answer = await gateway.client.get(f"/api/v1/studies/{study}/{name}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom"
        ds = pydicom.dcmread(BytesIO(answer.content))
        source = pydicom.dcmread(BytesIO(radiograph(1)))
        assert (ds.StudyInstanceUID, ds.PatientID) == (source.StudyInstanceUID, "4711")
    refused(await gateway.client.get(f"/api/v1/studies/{study}/presentation-state.dcm?x=1"), 422)
    plain = (await gateway.post(png())).json()["id"]
    refused(await gateway.client.get(f"/api/v1/studies/{plain}/secondary-capture.dcm"), 422)


async def test_a_study_without_a_box_has_no_report_of_boxes(tmp_path: Path) -> None:
    silent = FakeService("detector", boxes=[])
    async with running_gateway(settings_for(tmp_path / "archive"), detector=silent) as gateway:
        study = (await gateway.post(radiograph(1), name="a.dcm")).json()["id"]
        answer = await gateway.client.get(f"/api/v1/studies/{study}/structured-report/boxes.dcm")
        assert "no boxes" in refused(answer, 404).detail


async def test_a_result_is_given_as_fhir(gateway: RunningGateway) -> None:
    study = (await gateway.post(radiograph(1), name="a.dcm")).json()["id"]
    answer = await gateway.client.get(f"/fhir/R4/DiagnosticReport/{study}")
    assert answer.headers["content-type"] == "application/fhir+json; fhirVersion=4.0"
    assert answer.json()["resourceType"] == "DiagnosticReport"
    bundle = await gateway.client.get(f"/fhir/R4/DiagnosticReport/{study}/$everything")
    urls = [entry["fullUrl"] for entry in bundle.json()["entry"]]
    assert urls[0] == f"http://localhost/fhir/R4/DiagnosticReport/{study}"
    refused(await gateway.client.get("/fhir/R4/DiagnosticReport/none"), 404)
    refused(await gateway.client.get("/fhir/R4/metadata"), 404)
