"""A training run is a directory that describes itself."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_training.core.errors import RunError


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def utc_now() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def current_commit() -> str:
    """The commit of the code that runs, `-dirty` if it was changed since; `unknown` outside git."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def command_line() -> str:
    """How this process was started, as it can be typed again: `cxr classifier train ...`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        program = Path(sys.argv[0]).name
    elif spec.name == "cxr_training.__main__":
        program = "cxr"
    else:
        program = f"python -m {spec.name.removesuffix('.__main__')}"
    return " ".join([program, *sys.argv[1:]])


def portable_command(command: str) -> str:
    """The command with its folders named instead of spelled out, for what leaves this machine."""
    return re.sub(
        r"--(data|manifest|nih|chestx-det|(?:coco-|backbone-)?start|pseudo-labels|run|out)[ =]\S+",
        lambda found: f"--{found[1]} ${found[1].upper().replace('-', '_')}",
        command,
    )


def refuse_several_processes(command: str) -> None:
    """Raise RunError where torchrun started a command that is for one process."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(f"`{command}` runs in one process: start it without torchrun")


def write_json(path: Path, value: object) -> None:
    """Write through a temporary file, so that a reader never meets half of it."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    partial.rename(path)


def append_metrics(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to a `metrics.jsonl`."""
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; none if there is no such file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def drop_metrics_after(path: Path, epoch: int) -> None:
    """Leave out the lines of epochs that a run, resumed after `epoch` of them, will do again."""
    rows = read_metrics(path)
    kept = [row for row in rows if row["epoch"] <= epoch]
    if len(kept) < len(rows):
        partial = path.with_suffix(path.suffix + ".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
        partial.rename(path)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - arguments of our own
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.stdout.strip()
