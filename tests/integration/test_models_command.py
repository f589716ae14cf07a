"""`cxr-gateway models` and `shadow report`, as an operator runs them, over real services."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from cxr_gateway.archive.schema import migrate
from support.compose_stack import eventually, free_port
from support.fake_gateway import FakeService, settings_for
from support.shadows import NEW_SHA

ROLE = "classifier"


@pytest.fixture
def addresses() -> Iterator[dict[str, str]]:
    """Two classifiers and a detector, by the setting that names each."""
    stands = {
        "CLASSIFIER_URL": FakeService(ROLE),
        "SHADOW_CLASSIFIER_URL": FakeService(ROLE, sha256=NEW_SHA),
        "DETECTOR_URL": FakeService("detector"),
    }
    running, found = [], {}
    for name, gateway in stands.items():
        port = free_port()
        found[name] = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(gateway.app(), port=port, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
    eventually(lambda: all(server.started for server, _ in running), "a service did not start")
    yield found
    for server, thread in running:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def test_a_model_is_promoted_and_rolled_back_by_one_command_each(
    tmp_path: Path, addresses: dict[str, str]
) -> None:
    settings = settings_for(tmp_path)
    migrate(settings.resolved_database_url, 5)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CXR_GATEWAY_ARCHIVE_DIR": str(tmp_path),
        # A machine that does nothing else answers in a hundredth of it.
        "CXR_GATEWAY_INFERENCE_PROBE_TIMEOUT_S": "30",
        "CXR_GATEWAY_INFERENCE_CONNECT_TIMEOUT_S": "30",
        **{f"CXR_GATEWAY_{name}": url for name, url in addresses.items()},
    }

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "cxr_gateway", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    refused = run("models", "promote", ROLE)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"models: classifier-stand 1 ({NEW_SHA[:12]}) has answered 0 images beside "
        "classifier-stand 1 (abababababab), and 100 are asked for.\n"
    )
    promoted = run("models", "promote", ROLE, "--anyway", "--by", "the board")
    assert promoted.returncode == 0, promoted.stderr
    assert promoted.stdout.startswith(f"classifier-stand 1 ({NEW_SHA[:12]}) answers from now on")
    back = run("models", "rollback", ROLE, "--by", "the board")
    assert back.stdout.startswith("classifier-stand 1 (abababababab) answers again"), back.stderr
    told = run("models").stdout.splitlines()
    assert told[:3] == [
        "classifier: classifier-stand 1 (abababababab) answers",
        f"classifier: classifier-stand 1 ({NEW_SHA[:12]}) is the shadow",
        "detector: detector-stand 1 (abababababab) answers",
    ]
    assert [line.partition(" by ")[2] for line in told[3:]] == ["the board", "the board"]
    assert run("shadow", "report", ROLE).stdout == "No answer of a shadow classifier is recorded.\n"
