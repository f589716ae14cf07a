"""Studies that leave the house without their patients: over the API and by the command."""

import asyncio
import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread
from pydicom.dataset import Dataset

from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded
from support.dicom_images import dicom
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import encoded, png, radiograph_like

STUDIES = "/api/v1/studies"
NAME = re.compile(r'attachment; filename="2\.25\.[0-9]+\.(dcm|png)"')
REVIEWED = {"pixels_reviewed": "true"}


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return settings_for(tmp_path / "archive")


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


def radiograph(seed: int = 0, **tags: Any) -> bytes:
    values = radiograph_like(seed=seed).astype(np.uint16)
    return dicom(values, PatientName="Marker^Person", PatientID="MARKER-7", **tags)


async def sent(gateway: RunningGateway, content: bytes) -> str:
    answer = await gateway.post(content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_dicom_study_is_exported_by_the_profile_and_on_record(
    gateway: RunningGateway,
) -> None:
    study = await sent(gateway, radiograph(BurnedInAnnotation="NO"))
    answer = await gateway.client.get(f"{STUDIES}/{study}/deidentified")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.headers["cache-control"] == "no-store"
    assert NAME.fullmatch(answer.headers["content-disposition"])
    assert "marker" not in answer.text.lower()
    ds: Dataset = dcmread(BytesIO(answer.content))
    assert ds.PatientIdentityRemoved == "YES"
    assert np.array_equal(ds.pixel_array, radiograph_like())
    again = await gateway.client.get(f"{STUDIES}/{study}/deidentified")
    assert again.content == answer.content
    audit = await gateway.client.get("/api/v1/audit", params={"action": "getStudyDeidentified"})
    assert [line["study_id"] for line in audit.json()["items"]] == [study, study]


async def test_an_installation_keeps_its_pseudonyms_over_a_restart(
    settings: GatewaySettings,
) -> None:
    answers = []
    for _ in range(2):
        async with running_gateway(settings) as gateway:
            study = (await gateway.post(radiograph(BurnedInAnnotation="NO"))).json()["id"]
            answers.append(await gateway.client.get(f"{STUDIES}/{study}/deidentified"))
    assert answers[0].content == answers[1].content


async def test_an_image_with_text_in_it_is_refused_whoever_has_looked(
    gateway: RunningGateway,
) -> None:
    study = await sent(gateway, radiograph(BurnedInAnnotation="YES"))
    for query in ({}, REVIEWED):
        answer = await gateway.client.get(f"{STUDIES}/{study}/deidentified", params=query)
        assert "text is burnt into" in refused(answer, 409).detail


@pytest.mark.parametrize("content", [radiograph(), radiograph(BurnedInAnnotation=""), png()])
async def test_an_image_of_which_nothing_is_known_has_to_be_looked_at(
    gateway: RunningGateway, content: bytes
) -> None:
    study = await sent(gateway, content)
    problem = refused(await gateway.client.get(f"{STUDIES}/{study}/deidentified"), 409)
    assert problem.type == "urn:cxr:problem:text-in-image"
    answer = await gateway.client.get(f"{STUDIES}/{study}/deidentified", params=REVIEWED)
    assert answer.status_code == 200


async def test_of_a_png_the_pixels_alone_are_exported(gateway: RunningGateway) -> None:
    texts = PngInfo()
    texts.add_text("Patient", "Marker Person")
    original = encoded(radiograph_like(), pnginfo=texts)
    assert b"Marker" in original
    study = await sent(gateway, original)
    answer = await gateway.client.get(f"{STUDIES}/{study}/deidentified", params=REVIEWED)
    assert answer.headers["content-type"] == "image/png"
    assert NAME.fullmatch(answer.headers["content-disposition"])
    assert b"Marker" not in answer.content
    with Image.open(BytesIO(answer.content)) as image:
        assert image.info == {}
        assert np.array_equal(np.asarray(image), radiograph_like())


async def test_what_the_route_does_not_know_is_refused(gateway: RunningGateway) -> None:
    study = await sent(gateway, png())
    query = {"pixels_rewieved": "true"}
    refused(await gateway.client.get(f"{STUDIES}/{study}/deidentified", params=query), 422)


async def test_an_operator_exports_many_and_is_told_which_were_not(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_gateway(settings) as gateway:
        clean = [await sent(gateway, radiograph(seed, BurnedInAnnotation="NO")) for seed in (1, 2)]
        unknown = await sent(gateway, radiograph(3))
    out = tmp_path / "out"
    arguments = ("export", "--out", str(out), "--deidentified", *clean, unknown, "Smith")
    assert await in_thread(settings, *arguments) == 1
    said, wrong = capsys.readouterr()
    names = [line.split()[1] for line in said.splitlines()]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert [line.split()[0] for line in said.splitlines()] == clean
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in out.iterdir())
    assert [line.split(": ")[1] for line in wrong.splitlines()[:2]] == [unknown, "Smith"]
    assert f"2 studies were written to {out}, 2 were not." in wrong
    same_patient = {dcmread(path).PatientID for path in out.iterdir()}
    assert len(same_patient) == 1
    assert await in_thread(settings, "export", "--pixels-reviewed", *arguments[1:5], unknown) == 0
    capsys.readouterr()
    assert commanded(settings, "audit", "show", "--action", "export") == 0
    log = capsys.readouterr().out
    assert log.count('"outcome": 0') == 4
    assert log.count('"outcome": 1') == 2
    assert "Smith" not in log


async def in_thread(settings: GatewaySettings, *arguments: str) -> int:
    """A command that has an event loop of its own."""
    return await asyncio.to_thread(commanded, settings, *arguments)
