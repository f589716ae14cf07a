"""The profiles `dicom` and `pacs`: what is sent to Orthanc is fetched, read, and comes back."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pydicom
import pytest

from support.compose_stack import ORTHANC, ROOT, ComposeStack, eventually, free_port, image_name
from support.dicom_node import program


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    for service in ("dicom", ORTHANC):
        if not engine.images.list(image_name(service)):
            pytest.fail(f"{image_name(service)} is not built; run `make images`.", pytrace=False)
    ports = ("CXR_DICOM_PORT", "CXR_DICOM_HL7_PORT", "CXR_ORTHANC_PORT", "CXR_ORTHANC_DICOM_PORT")
    settings = {name: str(free_port()) for name in ports}
    settings["CXR_DICOM_PEERS"] = str(ROOT / "deploy/dicom/peers.orthanc.toml")
    made = ComposeStack(engine, settings=settings)
    try:
        made.up()
        made.compose("--profile", "dicom", "--profile", "pacs", "up", "--detach", "--no-build")
        yield made
    finally:
        made.down()


def found(stack: ComposeStack, study_uid: str) -> dict[str, int]:
    """How many instances of each modality Orthanc has of a study."""
    url = f"http://127.0.0.1:{stack.settings['CXR_ORTHANC_PORT']}/dicom-web/studies/{study_uid}"
    answer = httpx.get(f"{url}/instances", params={"includefield": "00080060"}, timeout=30)
    counts: dict[str, int] = {}
    for item in answer.json() if answer.status_code == 200 else []:
        items: dict[str, Any] = item
        modality = items["00080060"]["Value"][0]
        counts[modality] = counts.get(modality, 0) + 1
    return counts


def sent(port: str, called: str, path: Path) -> None:
    command = [program("storescu"), "-aec", called, "127.0.0.1", port, str(path)]
    subprocess.run(command, check=True, timeout=60)


def test_results_come_back_to_the_archive_that_a_radiograph_was_fetched_from(
    stack: ComposeStack, sample: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(sample)
    ds = pydicom.dcmread(path)
    stack.wait_healthy("dicom")
    stack.wait_healthy(ORTHANC)
    sent(stack.settings["CXR_ORTHANC_DICOM_PORT"], "ORTHANC", path)
    sent(stack.settings["CXR_DICOM_PORT"], "CXR", path)
    uid = str(ds.StudyInstanceUID)
    eventually(lambda: {"SR", "PR", "DOC", "OT"} <= found(stack, uid).keys(), stack.told(), 180)
