"""Sign-in through a real browser, against a real OpenID provider and a closed system."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.stack import Stack, free_ports, wait_for
from support.page_scripts import FRONTEND, npm

pytestmark = [pytest.mark.browser, pytest.mark.slow]

END_SESSIONS = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    "c.execute('DELETE FROM sessions'); c.commit()"
)


@pytest.fixture
def closed_stack(tmp_path: Path, page_dir: Path, one_detector: dict[str, str]) -> Iterator[Stack]:
    """The three services with a provider, and sign-in at it."""
    stack = Stack(tmp_path, {"CXR_GATEWAY_PAGE_DIR": str(page_dir), **one_detector})
    gateway = stack.services["gateway"]
    page = f"http://localhost:{gateway.port}"
    [port] = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    access = {
        "CXR_GATEWAY_PUBLIC_URL": page,
        "CXR_GATEWAY_OIDC_ISSUER": issuer,
        "CXR_GATEWAY_OIDC_CLIENT_ID": "cxr",
        # Of a client at a provider that lives for one test.
        # pragma: allowlist nextline secret
        "CXR_GATEWAY_OIDC_CLIENT_SECRET": "only-in-tests",
        "CXR_GATEWAY_OIDC_DEPARTMENT_CLAIM": "department",
        "NO_PROXY": "127.0.0.1",
    }
    gateway.environment.update(access)
    with (tmp_path / "provider.log").open("w") as log:
        provider = subprocess.Popen(
            ["node", "scripts/provider.mjs", str(port), page],
            cwd=FRONTEND,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        with provider:
            try:
                wait_for(f"{issuer}/.well-known/openid-configuration", provider)
                with stack:
                    yield stack
            finally:
                provider.terminate()


def test_a_browser_signs_in_at_a_real_provider(
    closed_stack: Stack, sample: Path, tmp_path: Path
) -> None:
    database = tmp_path / "archive/archive.sqlite3"
    npm(
        "e2e:access",
        environment={
            "CXR_BASE_URL": closed_stack.url.replace("127.0.0.1", "localhost"),
            "CXR_SAMPLE": str(sample),
            "CXR_SAMPLES_DIR": str(sample.parent),
            "CXR_END_SESSIONS": f'{sys.executable} -c "{END_SESSIONS}" {database}',
            "CXR_CHROMIUM": os.environ.get("CXR_CHROMIUM", "/usr/bin/chromium"),
            "CXR_E2E_OUTPUT": str(tmp_path / "browser"),
        },
    )
    log = closed_stack.log("gateway")
    assert "only-in-tests" not in log
    assert "code=" not in log
