"""The same file gives the same numbers through the API and through `cxr-screen`."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cxr_classifier.app import create_app as create_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding
from cxr_detector.app import create_app as create_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.app import create_app
from cxr_gateway.core.schemas import Study
from cxr_gateway.core.settings import GatewaySettings
from cxr_screening.rows import column_of
from support.dicom_images import dicom
from support.fake_gateway import CLASSIFIER_URL, DETECTOR_URL, client_of, services_over
from support.images import encoded, example_image, radiograph_like
from support.screenings import ROOT, InProcess, rows_of

pytestmark = pytest.mark.slow
N_IMAGES = int(os.environ.get("CXR_SCREENING_IMAGES", "8"))


def radiographs() -> dict[str, bytes]:
    """Different kinds, accepted and refused; as many variants of the first as are wanted."""
    effusion = example_image("effusion")
    found = {
        "a.png": encoded(effusion),
        "b.jpg": encoded(example_image("cardiomegaly"), "JPEG"),
        "c.dcm": dicom(
            effusion.astype(np.uint16) * 16, bits=12, PatientID="17", StudyDate="20190203"
        ),
        "d.png": encoded(radiograph_like(640, 520).astype(np.uint16) * 256),
        "not-a-chest.dcm": dicom(effusion, BodyPartExamined="HAND"),
        "broken.png": encoded(effusion)[:2000],
    }
    for number in range(N_IMAGES - len(found)):
        noise = np.random.default_rng(number).normal(0, 6, effusion.shape)
        varied = np.clip(effusion.astype(np.float64) + noise, 0, 255).astype(np.uint8)
        cut = varied[number % 13 :, number % 7 :]
        found[f"v{number:03}.png"] = encoded(cut)
    return found


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway in front of both services, all with the published models."""
    monkeypatch.chdir(ROOT)
    classifier = create_classifier(ClassifierSettings(threads=1, runtime="onnxruntime"))
    detector = create_detector(DetectorSettings(threads=1, runtime="onnxruntime"))
    settings = GatewaySettings(
        archive_dir=tmp_path / "archive",
        classifier_url=CLASSIFIER_URL,
        detector_url=DETECTOR_URL,
        classifier_timeout_s=300,
        detector_timeout_s=300,
        page_dir=tmp_path,
        rendering_idle_s=3600,
    )
    mounts = {
        CLASSIFIER_URL: httpx.ASGITransport(classifier),
        DETECTOR_URL: httpx.ASGITransport(detector),
    }
    async with AsyncExitStack() as stack:
        for app in (classifier, detector):
            await stack.enter_async_context(app.router.lifespan_context(app))
            assert await app.state.service.loaded()
        gateway = create_app(settings, clients=services_over(mounts))
        await stack.enter_async_context(gateway.router.lifespan_context(gateway))
        client = await stack.enter_async_context(client_of(gateway))
        client.timeout = httpx.Timeout(300)
        yield client


async def test_every_number_is_the_same(
    screen: InProcess, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    files = radiographs()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    said = screen("run", folder, "--out", out, "--identified", "--workers", 1)
    assert f"{len(files)} images read" in said
    rows = {Path(row["source"]).name: row for row in rows_of(out)}
    assert rows.keys() == files.keys()
    for name, content in files.items():
        response = await api.post("/api/v1/studies", files={"file": (name, content)})
        row = rows[name]
        if response.status_code >= 400:
            problem = response.json()
            assert row["status"] == "failed"
            assert f"urn:cxr:problem:{row['error_kind']}" == problem["type"]
            assert row["error"] == problem["detail"]
        else:
            assert as_row(Study.model_validate_json(response.content)) == as_compared(row), name
    statuses = [rows[name]["status"] for name in ("a.png", "not-a-chest.dcm", "broken.png")]
    assert statuses == ["complete", "rejected", "failed"]
    assert rows["c.dcm"]["year"] == 2019
    assert rows["c.dcm"]["patient_id"] == "17"
    audited = json.loads((tmp_path / "out.private/audit.jsonl").read_text())
    assert audited["action"] == "identified-run"


def as_row(study: Study) -> dict[str, Any]:
    """What of a study stands in a row, by the row's names."""
    triage = study.triage
    assert study.quality is not None
    return {
        "status": study.status.value,
        "reason": study.ood.reason,
        "ood_score": study.ood.score,
        "width": study.image.width,
        "height": study.image.height,
        "view": study.image.view,
        "quality": study.quality.model_dump(),
        "findings": {row.finding: (row.probability, row.level) for row in study.findings},
        "boxes": [box.model_dump(mode="json") for box in study.boxes],
        "priority": triage.priority.value if triage else None,
        "score": triage.score if triage else None,
        "same_day_score": triage.same_day_score if triage else None,
        "priority_reason": triage.reason if triage else None,
    }


def as_compared(row: dict[str, Any]) -> dict[str, Any]:
    """The same of a row."""
    names = as_row_names()
    findings = {
        finding: (row[column_of(finding)], row[f"{column_of(finding)}_level"])
        for finding in Finding
        if row[column_of(finding)] is not None
    }
    return {name: row[name] for name in names} | {"findings": findings}


def as_row_names() -> tuple[str, ...]:
    return (
        *("status", "reason", "ood_score", "width", "height", "view", "quality", "boxes"),
        *("priority", "score", "same_day_score", "priority_reason"),
    )
