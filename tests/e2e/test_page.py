"""The page: its own unit tests, and its browser tests against the running system."""

import os
import sys
from pathlib import Path

from benchmarks.stack import Stack
from support.page_scripts import npm


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
