"""A night is played in a real browser: 200 studies, two readers, a lost connection and service."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.stack import Stack
from cxr_gateway.imaging import read_upload
from support.dicom_images import dicom
from support.page_scripts import npm

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STUDIES = 200
# Large enough for the check of what is a radiograph, small enough for 200 of them.
SIDE_PX = 320


@pytest.fixture
def night_dir(sample: Path, tmp_path: Path) -> Path:
    """200 small radiographs, each with noise and a patient of its own; one patient has two."""
    grey = read_upload(sample.read_bytes()).grey
    small = np.asarray(Image.fromarray(grey).resize((SIDE_PX, SIDE_PX)), dtype=np.int32)
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(STUDIES):
        noise = np.random.default_rng(number).integers(-2, 3, small.shape)
        values = np.clip(small + noise, 0, 255).astype(np.uint16) * 16
        # The patient of the seventh has an earlier one.
        patient = 7 if number == 3 else number
        content = dicom(
            values,
            bits=12,
            WindowCenter=2048,
            WindowWidth=4096,
            PatientID=f"N{patient:04d}",
            PatientName=f"Night^{number}x" if number != 7 else "Night^7",
            StudyDate="20260101" if number == 3 else "20260601",
            SOPInstanceUID=f"1.2.826.0.1.3680043.8.498.7.{number + 1}",
        )
        (folder / f"{number:03d}.dcm").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, page_dir: Path, one_detector: dict[str, str]
) -> Iterator[Stack]:
    """A system behind a log-in that names the readers."""
    environment = {
        "CXR_GATEWAY_PAGE_DIR": str(page_dir),
        "CXR_GATEWAY_ACCESS": "behind-log-in",
        "CXR_GATEWAY_FORWARDED_USER_HEADER": "X-Forwarded-User",
        "CXR_GATEWAY_DETECTOR_TIMEOUT_S": "10",
        **one_detector,
    }
    with Stack(tmp_path_factory.mktemp("system"), environment) as running:
        yield running


def test_a_night_of_200_studies(
    stack: Stack, remote_control: str, night_dir: Path, sample: Path, tmp_path: Path
) -> None:
    post = f"{sys.executable} -c \"import urllib.request as r; r.urlopen('{{}}', data=b'')\""
    npm(
        "e2e:night",
        environment={
            "CXR_BASE_URL": stack.url,
            "CXR_NIGHT_DIR": str(night_dir),
            "CXR_SAMPLE": str(sample),
            "CXR_SAMPLES_DIR": str(sample.parent),
            "CXR_STOP_DETECTOR": post.format(f"{remote_control}/stop/detector"),
            "CXR_START_DETECTOR": post.format(f"{remote_control}/start/detector"),
            "CXR_CHROMIUM": os.environ.get("CXR_CHROMIUM", "/usr/bin/chromium"),
            "CXR_E2E_OUTPUT": str(tmp_path / "browser"),
        },
    )
