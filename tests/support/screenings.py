"""`cxr-screen` as a process and in this one, and what it wrote."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from cxr_screening.cli import main
from cxr_screening.output import Output

ROOT = Path(__file__).parents[2]
_LIMIT_S = 600


@dataclass
class Screener:
    """Runs the command in the project's folder, with these variables beside the path."""

    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of the process: nothing of this one's but what finds programs and packages."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        packages = os.pathsep.join(path for path in sys.path if path)
        return {**kept, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1", **self.variables}

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start it in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "cxr_screening", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """Run it to its end, which is this exit status; what it said."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=_LIMIT_S)
        finally:
            kill_tree(process)
        assert process.returncode == status, (process.returncode, out, err)
        return out + err


@dataclass
class InProcess:
    """Runs the command in this process, in the project's folder, with these variables."""

    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """Run it to its end, which is this exit status; what it said."""
        self.capture.readouterr()
        with self.monkeypatch.context() as patch:
            patch.chdir(ROOT)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            found = main([*map(str, arguments)])
        said = "".join(self.capture.readouterr())
        assert found == status, said
        return said


def rows_of(folder: "Path | str") -> list[dict[str, Any]]:
    """Every row of an output's latest engine."""
    return table_of(folder).to_pylist()


def table_of(folder: "Path | str") -> pa.Table:
    """Likewise, as a table."""
    output = Output(str(folder))
    return output.dataset(output.existing_state().engine).to_table()


def kill_tree(process: "subprocess.Popen[str]", only: Sequence[int] = ()) -> None:
    """SIGKILL to a process and all that it started, or to those of them that are named."""
    if process.poll() is not None and not only:
        return
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    for child in children:
        if not only or child.pid in only:
            kill_one(child.pid)
    if not only:
        kill_one(process.pid)
        process.wait()


def kill_one(pid: int) -> None:
    """SIGKILL, unless it has ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
