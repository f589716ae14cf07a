"""The page in a browser, against the running system: a test for each file of `frontend/e2e`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stack import Stack
from support.page_scripts import FRONTEND, npm

SPECS = sorted(path.name for path in (FRONTEND / "e2e").glob("*.spec.ts"))

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def failures(
    request: pytest.FixtureRequest,
    stack: Stack,
    sample: Path,
    remote_control: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[str]]:
    """What failed in each file. All that are asked for run at one start of Playwright."""
    asked = [
        vars(item)["callspec"].params.get("spec") for item in request.session.items if _is_one(item)
    ]
    folder = tmp_path_factory.mktemp("browser")
    post = f"{sys.executable} -c \"import urllib.request as r; r.urlopen('{{}}', data=b'')\""
    said = npm(
        *("e2e", "--", "--reporter=json", *filter(None, asked)),
        may_fail=True,
        environment={
            "CXR_BASE_URL": stack.url,
            "CXR_SAMPLE": str(sample),
            "CXR_SAMPLES_DIR": str(sample.parent),
            "CXR_STOP_DETECTOR": post.format(f"{remote_control}/stop/detector"),
            "CXR_START_DETECTOR": post.format(f"{remote_control}/start/detector"),
            "CXR_CHROMIUM": os.environ.get("CXR_CHROMIUM", "/usr/bin/chromium"),
            "CXR_E2E_OUTPUT": str(folder),
            "PLAYWRIGHT_JSON_OUTPUT_NAME": str(folder / "report.json"),
        },
    )
    report = folder / "report.json"
    assert report.exists(), said
    suites = json.loads(report.read_text())["suites"]
    return {suite["file"]: list(_failures(suite)) for suite in suites}


@pytest.mark.parametrize("spec", SPECS)
def test_a_browser_can_use_the_page(spec: str, failures: dict[str, list[str]]) -> None:
    assert spec in failures, "it has no test"
    assert not failures[spec], "\n\n".join(failures[spec])


def _is_one(item: pytest.Item) -> bool:
    return item.path == Path(__file__) and hasattr(item, "callspec")


def _failures(suite: dict[str, Any]) -> "list[str]":
    """Title and errors of each test under `suite` that did not pass."""
    own = [
        "\n".join([spec["title"], *(error["message"] for error in result["errors"])])
        for spec in suite.get("specs", ())
        if not spec["ok"]
        for test in spec["tests"]
        for result in test["results"]
    ]
    return own + [failed for inner in suite.get("suites", ()) for failed in _failures(inner)]
