"""What a command imports when it runs is there; `--help` waits for none of it."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import cxr_training

LATER = sorted(
    found
    for path in Path(cxr_training.__file__).parent.rglob("cli.py")
    for found in re.findall(r'later\("([\w.]+):(\w+)"\)', path.read_text())
)


@pytest.mark.parametrize(("module", "function"), LATER)
def test_a_command_is_where_its_parser_says(module: str, function: str) -> None:
    assert callable(getattr(import_module(f"cxr_training.{module}"), function))


def test_help_imports_no_pytorch() -> None:
    program = (
        "import sys\nfrom cxr_training.cli import main\ntry:\n    main(['triage', '--help'])\n"
        "except SystemExit:\n    print('torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == "False", said.stderr
