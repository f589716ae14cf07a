"""`./cxr` of a checkout: what needs no environment is done at once, the rest in the one it needs.

It imports the standard library alone, so it starts on a clean checkout and before PyTorch would.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).parents[2]
USAGE = """\
usage: ./cxr COMMAND ...        ./cxr COMMAND --help says more

Your own images, in three commands (docs/researcher.md):
  data check my.csv                            every problem of the table, before anything trains
  train classifier|detector --data my.csv --name mine
  serve --model mine                           the whole system on http://localhost:8000

Models:
  models list                                  every model that is here
  models import, models calibrate              weights that were trained elsewhere

The published models: classifier, detector, ood, triage, drift, quality, quantise\
"""
# Those of cxr_training.cli, which needs an environment to say so itself.
COMMANDS = (
    *("data", "train", "serve", "models"),
    *("classifier", "detector", "ood", "triage", "drift", "quality", "quantise"),
)
_HELP = ("-h", "--help")
# The folder below `models/` and what a person calls what lies there.
_KINDS = {"ood": "OOD detector", "gan": "GAN", "classifier": "classifier", "detector": "detector"}


@dataclass(frozen=True, slots=True)
class Environment:
    """One of the checkout's, and the target of the Makefile that makes it."""

    folder: str
    target: str
    packages: str
    size: str
    what: str


SERVING = Environment(
    ".venv", "setup", "serving", "1 GB", "the services and the page, without PyTorch"
)
TRAINING = Environment(
    ".venv-train", "setup-training", "training", "6 GB", "PyTorch and what trains models"
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command, in the environment that it needs; the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in _HELP:
        print(USAGE)
        return 0
    if words[0] not in COMMANDS:
        sys.stderr.write(
            f"cxr: there is no command {words[0]!r}; there are {', '.join(COMMANDS)}\n"
        )
        return 2
    if words == ["models", "list"]:
        print("\n".join(listed(Path("models") if Path("models").is_dir() else ROOT / "models")))
        return 0
    needed = SERVING if words[0] == "serve" else TRAINING
    python = ROOT / needed.folder / "bin" / "python"
    if not python.exists() and any(word in _HELP for word in words):
        command = " ".join(word for word in words if word not in _HELP)
        print(f"{USAGE}\n\nOptions of `cxr {command}`: after `make {needed.target}`")
        return 0
    if not python.exists() and not _install(needed, " ".join(words[:2])):
        return 2
    module = ["cxr_launcher", *words[1:]] if needed is SERVING else ["cxr_training", *words]
    return _become([str(python), "-m", *module])


def _become(command: list[str]) -> NoReturn:
    """Run it in this process's place: whoever ends it ends the work, and not a parent of it."""
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606


def listed(models: Path) -> list[str]:
    """A line for each model below `models`: kind, name and version, folder; and what is default."""
    lines = []
    for path in sorted(models.glob("*/*/manifest.json")):
        kind, name = path.parent.parent.name, path.parent.name
        try:
            version = str(json.loads(path.read_text()).get("version", "-"))
        except (OSError, ValueError, AttributeError):
            version = "(its manifest.json cannot be read)"
        default = path.parent.parent / "DEFAULT"
        is_default = default.is_file() and default.read_text().strip() == name
        mark = "  served by default" if is_default else ""
        lines.append(f"{_KINDS.get(kind, kind):14}{name:28}{version:8}{path.parent}{mark}")
    return lines or [f"No model lies in {models}."]


def _install(needed: Environment, command: str) -> bool:
    """Say what would be installed, and do it where a person says yes."""
    locked = (ROOT / "requirements" / f"{needed.packages}.txt").read_text()
    n = len(re.findall(r"^[\w.\[\]-]+==", locked, re.MULTILINE))
    sys.stderr.write(
        f"`cxr {command}` needs {needed.what}: {n} locked packages, about {needed.size}, into "
        f"{needed.folder}/. That is `make {needed.target}`.\n"
    )
    if not sys.stdin.isatty():
        sys.stderr.write("Nobody is here to be asked: run that first.\n")
        return False
    if input("Install them now? [y/N] ").strip().casefold() not in ("y", "yes"):
        return False
    return _run(["make", needed.target]) == 0


def _run(command: list[str]) -> int:
    """Run it to its end; its exit status. Whoever ends this process ends all that it started."""
    # A group of its own is in the background, where a program that touches the terminal is stopped.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    work = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603

    def end(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(work.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    return work.wait()


if __name__ == "__main__":
    raise SystemExit(main())
