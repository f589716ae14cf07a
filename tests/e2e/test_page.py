"""The page: its own unit tests, and its browser tests against the running system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stack import ROOT, Stack

FRONTEND = ROOT / "frontend"


def npm(*arguments: str, environment: dict[str, str] | None = None) -> None:
    finished = subprocess.run(
        ["npm", "run", "--silent", *arguments],
        cwd=FRONTEND,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout[-6000:]}\n{finished.stderr[-3000:]}"


def test_the_pages_own_unit_tests_pass() -> None:
    npm("test")


def test_the_pages_types_are_those_of_the_committed_openapi_document() -> None:
    npm("check:generated")


def test_a_browser_can_use_the_page(
    stack: Stack, sample: Path, remote_control: str, tmp_path: Path
) -> None:
    post = f"{sys.executable} -c \"import urllib.request as r; r.urlopen('{{}}', data=b'')\""
    npm(
        "e2e",
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


@pytest.fixture(autouse=True)
def _page_is_built() -> None:
    assert (FRONTEND / "dist" / "index.html").exists(), "run `make setup` first: no built page"
