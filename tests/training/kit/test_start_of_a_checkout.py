"""`./cxr` of a clean checkout: no environment, no PyTorch, the standard library alone."""

import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_training.cli import main
from cxr_training.start import COMMANDS
from support.waiting import eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("cxr", "training/cxr_training/__init__.py", "training/cxr_training/start.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    for path in (ROOT / "models").glob("*/*/manifest.json"):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def cxr(checkout: Path, *words: str, stdin: int = subprocess.DEVNULL) -> tuple[int, str, float]:
    """Exit status, what was said, and the seconds of a processor that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        # -S: without site-packages, whatever this interpreter has.
        [sys.executable, "-S", "cxr", *words],
        cwd=checkout,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stdout + done.stderr, seconds


def test_it_says_within_a_second_what_there_is(checkout: Path) -> None:
    status, said, seconds = cxr(checkout)
    assert status == 0
    assert "train classifier|detector --data my.csv --name mine" in said
    assert seconds < 1


def test_models_of_every_kind_are_listed(checkout: Path) -> None:
    status, said, seconds = cxr(checkout, "models", "list")
    assert status == 0
    for kind, name in (
        ("classifier", "lite0-cxr"),
        ("detector", "fused-both"),
        ("OOD detector", "ood-cxr"),
        ("GAN", "pggan"),
    ):
        assert any(line.startswith(kind) and name in line for line in said.splitlines())
    assert seconds < 1


@pytest.mark.parametrize(
    ("words", "target"),
    [(("train", "classifier"), "make setup-training"), (("serve", "--model", "x"), "make setup")],
)
def test_what_it_would_install_is_said_where_nobody_can_be_asked(
    checkout: Path, words: tuple[str, ...], target: str
) -> None:
    status, said, _ = cxr(checkout, *words)
    assert status == 2
    assert "locked packages, about" in said
    assert f"`{target}`" in said


def test_a_person_is_asked_and_may_say_no(checkout: Path) -> None:
    theirs, ours = pty.openpty()
    os.write(theirs, b"n\n")
    status, said, _ = cxr(checkout, "train", "classifier", stdin=ours)
    os.close(theirs)
    os.close(ours)
    assert status == 2
    assert "Install them now? [y/N]" in said
    assert not (checkout / ".venv-train").exists()


ENDS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def test_what_it_becomes_is_this_process_so_that_ending_it_ends_the_work(checkout: Path) -> None:
    python = checkout / ".venv-train" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho $$ $*\nexec sleep 300\n")
    python.chmod(0o755)
    command = [sys.executable, "-S", "cxr", "data", "check", "my.csv"]
    with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid} -m cxr_training data check my.csv\n"
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM


@ENDS
def test_ending_it_ends_an_installation_and_all_that_this_started(
    checkout: Path, number: signal.Signals
) -> None:
    # As a recipe's shell, which leaves its own children alone when it is ended.
    make = checkout / "bin" / "make"
    make.parent.mkdir()
    make.write_text("#!/bin/bash\nbash -c 'echo $$; exec sleep 300'\nexit 1\n")
    make.chmod(0o755)
    theirs, ours = pty.openpty()
    os.write(theirs, b"y\n")
    # As from a terminal: what runs in the background may have been started deaf to an interrupt.
    heard = "env", "--default-signal=INT,TERM"
    with subprocess.Popen(
        [*heard, sys.executable, "-S", "cxr", "train", "classifier"],
        cwd=checkout,
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": f"{make.parent}:{os.environ['PATH']}"},
    ) as process:
        assert process.stdout is not None
        # The question has no end of line.
        child = int(process.stdout.readline().rpartition(" ")[2])
        process.send_signal(number)
        assert process.wait(5) == 2
    eventually(lambda: not is_alive(child), "it goes on", timeout_s=5)
    os.close(theirs)
    os.close(ours)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_command_that_there_is_not_names_those_that_there_are(checkout: Path) -> None:
    theirs, ours = pty.openpty()
    status, said, _ = cxr(checkout, "trian", "classifier", stdin=ours)
    os.close(theirs)
    os.close(ours)
    assert status == 2
    assert "no command 'trian'; there are data, train, serve, models, " in said
    assert "Install" not in said


@pytest.mark.parametrize("words", [("train", "--help"), ("train", "classifier", "-h")])
def test_help_needs_no_environment(checkout: Path, words: tuple[str, ...]) -> None:
    status, said, _ = cxr(checkout, *words)
    assert status == 0
    assert "train classifier|detector --data my.csv --name mine" in said
    assert f"Options of `cxr {' '.join(words[:-1])}`: after `make setup-training`" in said
    assert "locked packages" not in said


def test_it_knows_every_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.search(r"\{([\w,]+)\}", capsys.readouterr().out)
    assert listed is not None
    assert sorted(listed[1].split(",")) == sorted(COMMANDS)
