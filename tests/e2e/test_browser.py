"""The page in a browser, against the running system: a test for each file of `frontend/e2e`."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.stack import Stack
from support.page_scripts import FRONTEND, npm

SPECS = sorted(path.name for path in (FRONTEND / "e2e").glob("*.spec.ts"))

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("spec", SPECS)
def test_a_browser_can_use_the_page(
    spec: str, stack: Stack, sample: Path, remote_control: str, tmp_path: Path
) -> None:
    post = f"{sys.executable} -c \"import urllib.request as r; r.urlopen('{{}}', data=b'')\""
    npm(
        "e2e",
        spec,
        environment={
            "CXR_BASE_URL": stack.url,
            "CXR_SAMPLE": str(sample),
            "CXR_SAMPLES_DIR": str(sample.parent),
            "CXR_STOP_DETECTOR": post.format(f"{remote_control}/stop/detector"),
            "CXR_START_DETECTOR": post.format(f"{remote_control}/start/detector"),
            "CXR_CHROMIUM": os.environ.get("CXR_CHROMIUM", "/usr/bin/chromium"),
            "CXR_E2E_OUTPUT": str(tmp_path / "browser"),
        },
    )
