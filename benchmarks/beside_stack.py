"""Run a command beside a system of its own: its address is added to the command's end.

python -m benchmarks.beside_stack -- COMMAND ...
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.stack import Stack


def main() -> int:
    """The command's exit status."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        command = [*sys.argv[sys.argv.index("--") + 1 :], stack.url]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
