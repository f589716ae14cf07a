"""The page's own scripts, run by tests."""

import os
import subprocess

from benchmarks.stack import ROOT

FRONTEND = ROOT / "frontend"


def npm(*arguments: str, environment: dict[str, str] | None = None, may_fail: bool = False) -> str:
    """Run a script of `frontend/package.json`; the end of what it says. It has to end well."""
    finished = subprocess.run(
        ["npm", "run", "--silent", *arguments],
        cwd=FRONTEND,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{finished.stdout[-6000:]}\n{finished.stderr[-3000:]}"
    assert may_fail or finished.returncode == 0, said
    return said
