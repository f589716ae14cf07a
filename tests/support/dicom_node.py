"""The DICOM node as a real process, and DCMTK's programs as its peers."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cxr_dicom.ledger import Ledger
from support.dicom_images import dicom
from support.images import radiograph_like
from support.waiting import eventually, free_port

AE_TITLE = "CXR"


def program(name: str) -> str:
    """The path of a program that the tests need.

    `make test` installs them; a test that needs one that is missing fails with this sentence.
    """
    found = next(
        (
            str(path)
            for path in (Path("/usr/bin") / name, Path("/usr/sbin") / name)
            if path.exists()
        ),
        None,
    )
    assert found, f"{name} is missing; `make test` installs what the tests of DICOM need"
    return found


def radiograph(number: int, **tags: Any) -> bytes:
    """A chest radiograph of 96 x 128 pixels with UIDs that follow from `number`."""
    values = radiograph_like(128, 96).astype(np.uint16) * 16
    values[0, :8] = number % 4096
    given = {
        "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.7.{number}.1",
        "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.7.{number}",
        "SeriesInstanceUID": f"1.2.826.0.1.3680043.8.498.7.{number}.2",
        "PatientID": f"P{number}",
        "PatientName": "Test^Case",
        "StudyDate": "20260102",
        "AccessionNumber": f"A{number}",
    }
    return dicom(values, bits=12, **(given | tags))


@dataclass
class Node:
    """A running node."""

    process: "subprocess.Popen[bytes]"
    dicom_port: int
    http: httpx.Client
    spool: Path
    log: Path
    environment: dict[str, str]

    def send(
        self,
        *files: Path,
        sender: str = "MODALITY",
        called: str = AE_TITLE,
        options: tuple[str, ...] = (),
    ) -> "subprocess.CompletedProcess[str]":
        """DCMTK's storescu with these files; its exit status is not checked."""
        return subprocess.run(
            [
                *(program("storescu"), "-v", *options, "-aet", sender, "-aec", called),
                *("127.0.0.1", str(self.dicom_port), *map(str, files)),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def echo(self, sender: str = "MODALITY", called: str = AE_TITLE) -> bool:
        """DCMTK's echoscu."""
        command = [program("echoscu"), "-aet", sender, "-aec", called]
        done = subprocess.run(
            [*command, "127.0.0.1", str(self.dicom_port)], check=False, capture_output=True
        )
        return done.returncode == 0

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Its ledger, beside it."""
        ledger = Ledger.open(self.spool / "ledger.sqlite3")
        try:
            yield ledger
        finally:
            ledger.close()

    def counts(self) -> dict[tuple[str, str], int]:
        """How many rows are in each state."""
        with self.ledger() as ledger:
            return ledger.counts()

    def count(self, table: str, state: str) -> int:
        """How many rows of a table are in a state."""
        return self.counts().get((table, state), 0)

    def metric(self, name: str) -> float:
        """The value of a metric, labels included in the name."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.http.get("/metrics").text, re.M)
        assert found is not None, name
        return float(found[1])

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`cxr-dicom` with these arguments, beside it."""
        return subprocess.run(
            [sys.executable, "-m", "cxr_dicom", *arguments],
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def logged(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Tell it to stop; its exit status."""
        self.process.terminate()
        return self.process.wait(30)


@dataclass
class NodeStarter:
    """Starts nodes over one spool."""

    folder: Path
    stack: contextlib.ExitStack

    def __call__(self, gateway_url: str, peers: str | None = None, **more: object) -> Node:
        """A node that listens.

        Args:
            gateway_url: Where it finds the gateway.
            peers: The file of peers; without one, one sender called MODALITY.
            more: Further settings, in small letters, without the prefix.
        """
        self.folder.mkdir(exist_ok=True)
        peers_file = self.folder / "peers.toml"
        peers_file.write_text('[[sender]]\nae_title = "MODALITY"\n' if peers is None else peers)
        values: dict[str, object] = {
            "port": free_port(),
            "dicom_port": free_port(),
            "peers_file": peers_file,
            "spool_dir": self.folder / "spool",
            "gateway_url": gateway_url,
            "min_free_mb": 10,
            "retry_min_s": 0.2,
            "retry_max_s": 2,
            **more,
        }
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{
                f"CXR_DICOM_{name.upper()}": str(value)
                for name, value in values.items()
                if value is not None
            },
        }
        log = self.folder / "log"
        with log.open("ab") as writing:
            process = subprocess.Popen(
                [sys.executable, "-m", "cxr_dicom"], env=environment, stderr=writing
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        http = self.stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{values['port']}", timeout=10)
        )
        spool = Path(str(values["spool_dir"]))
        node = Node(process, int(str(values["dicom_port"])), http, spool, log, environment)
        eventually(lambda: self._ready(node), "the node did not become ready", 180)
        return node

    def _ready(self, node: Node) -> bool:
        assert node.process.poll() is None, node.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return node.http.get("/livez").status_code == 200
        return False


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeStarter]:
    """Starts nodes over one spool; all are killed at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield NodeStarter(tmp_path / "node", stack)
