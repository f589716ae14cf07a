"""The commands of docs/integration.md, as they stand there: from nothing to results in Orthanc.

Only what is this machine's is replaced: ports, and `make run` by what it runs once it is set up.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.stack import ROOT, SERVING_PYTHON, free_ports
from support.dicom_node import program, radiograph
from support.waiting import eventually

pytestmark = pytest.mark.slow


def commands() -> list[str]:
    """Those of the first block, each with its further lines."""
    guide = (ROOT / "docs/integration.md").read_text()
    block = guide.partition("Ten commands")[2].partition("```sh\n")[2].partition("```")[0]
    return re.split(r"\n(?! )", block.strip())


def here(command: str, ours: dict[str, str]) -> str:
    """The command with what is this machine's."""
    for text, replacement in ours.items():
        command = command.replace(text, replacement)
    return command


def has_done(run: Callable[[str], "subprocess.CompletedProcess[str]"], command: str) -> bool:
    """Whether a command succeeds; of `status`, whether every result is confirmed."""
    done = run(command)
    if command.endswith("status"):
        # Two reports (or one, without a box), a presentation state and a page.
        return re.search(r"^deliveries +confirmed +[34]$", done.stdout, re.M) is not None
    return done.returncode == 0


@contextlib.contextmanager
def background() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Where what was started in the background is ended, with all that it has started."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for process in reversed(started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def test_ten_commands_make_a_round_trip(tmp_path: Path) -> None:
    given = commands()
    assert len(given) == 10
    assert given[0].startswith("sudo apt-get install")
    names = ("GATEWAY", "CLASSIFIER", "DETECTOR", "DICOM_DICOM", "DICOM")
    gateway, classifier, detector, dicom, probes, archive, web = free_ports(7)
    ports = (gateway, classifier, detector, dicom, probes)
    environment = {
        **os.environ,
        **{f"CXR_{name}_PORT": str(port) for name, port in zip(names, ports, strict=True)},
        "CXR_DICOM_SPOOL_DIR": str(tmp_path / "spool"),
        "CXR_GATEWAY_ARCHIVE_DIR": str(tmp_path / "archive"),
    }
    ours = {
        "4242": str(archive),
        "8042": str(web),
        "11112": str(dicom),
        "make run": f"env -C {ROOT} {SERVING_PYTHON} -m cxr_launcher",
        ".venv/bin/cxr-dicom": f"{SERVING_PYTHON} -m cxr_dicom",
    }
    (tmp_path / "chest.dcm").write_bytes(radiograph(1))
    program("storescu")
    log = (tmp_path / "log").open("wb")
    with log, background() as started:

        def run(command: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                ["/bin/bash", "-c", command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )

        for as_written in given[1:]:
            command = here(as_written, ours)
            if command.endswith("&"):
                started.append(
                    subprocess.Popen(
                        ["/bin/bash", "-c", command.removesuffix("&")],
                        cwd=tmp_path,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
            else:
                # What was started before may need a moment, and results theirs.
                eventually(partial(has_done, run, command), command, 180)
        found = set(run(here(given[-1], ours)).stdout.splitlines())
    assert {
        '"AI results, research use"',
        '"AI boxes, research use"',
        '"AI summary, research use"',
    } <= found
