"""Reports over HTTP: drafted from levels and corrections, written, signed, printed."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.reporting.drafting import Templates, TemplatesError
from support.access import client_as, closed_gateway, closed_settings, send
from support.dicom_images import dicom
from support.fake_gateway import (
    RunningGateway,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png, radiograph_like

STUDIES = "/api/v1/studies"
TEXT = {
    "examination": "Chest radiograph, PA.",
    "comparison": "None.",
    "findings": "Mass in the left upper lobe <b>& more</b>.",
    "impression": "Mass.",
}


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        running.classifier.findings = probabilities(mass=0.7, edema=0.4)
        yield running


async def a_study(gateway: RunningGateway, content: bytes | None = None) -> str:
    response = await gateway.post(content or png())
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def report_of(gateway: RunningGateway, study_id: str, **query: str) -> dict[str, Any]:
    response = await gateway.client.get(f"{STUDIES}/{study_id}/report", params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def a_change(*, based_on: int = 0, sign: bool = False, **text: str) -> dict[str, Any]:
    return {"based_on": based_on, "revision": 1, "sign": sign, "text": TEXT | text}


async def test_a_draft_tells_what_was_judged_from_what_the_models_say(
    gateway: RunningGateway,
) -> None:
    study = await a_study(gateway)
    draft = (await report_of(gateway, study))["draft"]
    assert draft["findings"].splitlines() == [
        "Suspected mass (model: likely, 70%; not reviewed).",
        "Possible edema (model, 40%; not reviewed).",
    ]
    assert (draft["impression"], draft["comparison"]) == ("", "None.")
    for change in (
        {"verdict": "accepted", "target": {"kind": "finding", "finding": "Mass"}},
        {"verdict": "rejected", "target": {"kind": "finding", "finding": "Edema"}},
        {
            "verdict": "added",
            "label": "Fracture",
            "corners": {"x_min": 90, "y_min": 5, "x_max": 110, "y_max": 30},
        },
    ):
        path = f"{STUDIES}/{study}/review/{uuid.uuid4()}"
        said = await gateway.client.put(path, json={"revision": 1, **change})
        assert said.status_code == 200, said.text
    draft = (await report_of(gateway, study))["draft"]
    assert draft["findings"].splitlines() == [
        "Mass.",
        "Fracture.",
        "No edema.",
        "Fracture marked in the right half of the image.",
    ]
    assert draft["impression"] == "Mass, fracture."


async def test_it_is_compared_with_an_earlier_study_of_the_same_patient_alone(
    gateway: RunningGateway,
) -> None:
    def of(seed: int, patient: str, date: str, issuer: str = "") -> bytes:
        values = radiograph_like(seed=seed).astype(np.uint16)
        return dicom(values, PatientID=patient, StudyDate=date, IssuerOfPatientID=issuer)

    now = await a_study(gateway, of(1, "P1", "20260301"))
    gateway.classifier.findings = probabilities(mass=0.2)
    before, other = (
        await a_study(gateway, of(2, "P1", "20250207")),
        await a_study(gateway, of(3, "P2", "")),
    )
    draft = (await report_of(gateway, now, prior=before))["draft"]
    assert draft["comparison"] == (
        "Chest radiograph of 2025-02-07. Mass: 20% before, 70% now (model). "
        "Edema: 5% before, 40% now (model). "
        "Two radiographs can differ by as much without any change: position, breath and exposure."
    )
    elsewhere = await a_study(gateway, of(4, "P1", "20250207", "ELSEWHERE"))
    later = await a_study(gateway, of(5, "P1", "20260401"))
    for no_prior in (other, now, elsewhere, later):
        path = f"{STUDIES}/{now}/report"
        refused(await gateway.client.get(path, params={"prior": no_prior}), 422)


async def test_the_issuer_of_a_patient_id_is_told_wherever_the_study_is(
    gateway: RunningGateway,
) -> None:
    values = radiograph_like().astype(np.uint16)
    study = await a_study(gateway, dicom(values, PatientID="P1", IssuerOfPatientID="NORTH"))
    for told in (
        (await gateway.client.get(f"{STUDIES}/{study}")).json(),
        (await gateway.client.get(STUDIES, params={"patient_id": "P1"})).json()["items"][0],
    ):
        assert told["patient"]["issuer_of_patient_id"] == "NORTH"


async def test_versions_are_added_and_signed_and_none_is_overwritten(
    gateway: RunningGateway,
) -> None:
    study = await a_study(gateway)
    path = f"{STUDIES}/{study}/report"
    refused(await gateway.client.get(f"{path}.pdf"), 404)
    assert (await gateway.client.post(path, json=a_change())).status_code == 200
    refused(await gateway.client.post(path, json=a_change()), 409)
    refused(await gateway.client.post(path, json=a_change(based_on=1) | {"revision": 2}), 409)
    refused(
        await gateway.client.post(path, json=a_change(based_on=1, sign=True, impression=" ")), 422
    )
    refused(await gateway.client.post(path, json=a_change(based_on=1, findings="x" * 100_000)), 422)
    signed = await gateway.client.post(path, json=a_change(based_on=1, sign=True))
    assert signed.status_code == 200, signed.text
    later = await gateway.client.post(path, json=a_change(based_on=2, impression="Nodule."))
    versions = later.json()["versions"]
    assert [(x["version"], x["signed"]) for x in versions] == [(1, False), (2, True), (3, False)]
    assert (versions[1]["by"], versions[1]["text"]) == ("local", TEXT)
    audit = (await gateway.client.get("/api/v1/audit", params={"study_id": study})).json()["items"]
    written = [x["details"] for x in audit if x["action"] == "writeReport" and x["outcome"] == 200]
    assert {(x["version"], x["signed"]) for x in written} == {(1, False), (2, True), (3, False)}


async def test_it_is_printed_on_one_page_with_all_of_its_text(gateway: RunningGateway) -> None:
    values = radiograph_like().astype(np.uint16)
    study = await a_study(gateway, dicom(values, PatientID="MARKER-7", PatientName="Doe^Jane"))
    path = f"{STUDIES}/{study}/report"
    long = "\n".join(f"Line {n} of many that have to be set smaller." for n in range(80))
    await gateway.client.post(path, json=a_change(sign=True, findings=long))
    await gateway.client.post(path, json=a_change(based_on=1, findings="(\\ ) <i>no markup &"))
    signed = await gateway.client.get(f"{path}.pdf")
    assert signed.headers["content-type"] == "application/pdf"
    assert f"{study}-report-1.pdf" in signed.headers["content-disposition"]
    text = text_of(signed.content)
    assert pages_of(signed.content) == 1
    for part in ("Signed report, version 1", "A later version exists", "MARKER-7", "Line 79 of"):
        assert part in text, part
    assert "Research use only" in text
    draft = text_of((await gateway.client.get(f"{path}.pdf", params={"version": 2})).content)
    assert "DRAFT, not signed" in draft
    assert "(\\ ) <i>no markup &" in draft
    refused(await gateway.client.get(f"{path}.pdf", params={"version": 3}), 404)


async def test_a_name_and_a_report_in_korean_are_printed_as_they_are(
    gateway: RunningGateway,
) -> None:
    values = radiograph_like().astype(np.uint16)
    named = dicom(
        values, PatientName="Hong^Gildong=洪^吉洞=홍^길동", SpecificCharacterSet="ISO_IR 192"
    )
    path = f"{STUDIES}/{await a_study(gateway, named)}/report"
    await gateway.client.post(path, json=a_change(findings="좌상엽 결절 <b>5 mm</b>."))
    text = text_of((await gateway.client.get(f"{path}.pdf")).content)
    for part in ("홍 길동", "洪 吉洞", "좌상엽 결절", "<b>5 mm</b>."):
        assert part in text, part
    assert "?" not in text


async def test_who_may_write_and_who_may_sign(tmp_path: Path, database_url: str | None) -> None:
    settings = closed_settings(tmp_path / "archive", database_url)
    async with (
        closed_gateway(settings) as gateway,
        client_as(gateway, Role.CLINICIAN) as key,
        client_as(gateway, Role.VIEWER) as viewer,
        client_as(gateway, Role.CLINICIAN, department="surgery") as other,
    ):
        study = (await send(key, png())).json()["id"]
        path = f"{STUDIES}/{study}/report"
        refused(await viewer.post(path, json=a_change()), 403)
        refused(await other.post(path, json=a_change()), 404)
        # A key is a system's, whatever its role; a person answers for a report.
        refused(await key.post(path, json=a_change(sign=True)), 403)
        assert (await key.post(path, json=a_change())).status_code == 200
        assert (await viewer.get(path)).status_code == 200
        assert (await viewer.get(f"{path}.pdf")).status_code == 200


def test_a_sites_templates_are_tried_before_the_gateway_starts(tmp_path: Path) -> None:
    own = Templates.read(None)
    path = tmp_path / "templates.toml"
    path.write_text("\n".join(f'{k} = """{v}"""' for k, v in own.model_dump().items()))
    assert Templates.read(path) == own
    # A file from before the sentence about noise goes on, without it.
    older = [line for line in path.read_text().splitlines() if "change_doubt" not in line]
    path.write_text("\n".join(older))
    assert Templates.read(path) == own.model_copy(update={"change_doubt": ""})
    for broken in ('present = "{nobody}"', 'more = ""', "x"):
        path.write_text(broken)
        with pytest.raises(TemplatesError):
            Templates.read(path)
    with pytest.raises(TemplatesError):
        Templates.read(tmp_path / "none.toml")


def text_of(pdf: bytes) -> str:
    """The page's words as another program reads them."""
    pypdf = pytest.importorskip("pypdf")
    import io

    return " ".join(str(pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()).split())


def pages_of(pdf: bytes) -> int:
    import io

    import pypdf

    return len(pypdf.PdfReader(io.BytesIO(pdf)).pages)
