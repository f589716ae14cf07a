"""The examples of the integrators' pages, run as they are written against a running gateway."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.csharp import compiled_csharp
from support.live_gateway import Gateway

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = [
    (page, number, text)
    for page in ("api.md", "python-client.md", "../README.md")
    for number, text in enumerate(
        re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    )
]
EXAMPLES = "frontend/public/examples"
CURL = re.findall(r"^curl -s .*studies$", (DOCS / "api.md").read_text(), re.MULTILINE)
pytestmark = pytest.mark.slow


def told(text: str, gateway: Gateway) -> str:
    """The text with this gateway's address; it is open to its machine and takes no key."""
    text = text.replace("http://localhost:8000", f"http://127.0.0.1:{gateway.port}")
    return re.sub(r'(, key="cxr_\.\.\."|, key)\)', ")", text)


def said_of_the_readmes_image(gateway: Gateway) -> str:
    """What README's programs print, by the gateway's own answer."""
    png = (DOCS.parent / EXAMPLES / "synthetic-effusion.png").read_bytes()
    study = gateway.post(png).json()
    first = study["top_findings"][0]
    return f"{study['triage']['priority']} {first['finding']} {first['level']}\n"


def test_the_examples_are_found() -> None:
    assert (len(PYTHON), len(CURL)) == (7, 1)


def test_the_examples_in_python_run(gateway: Gateway, radiograph: bytes, tmp_path: Path) -> None:
    (tmp_path / "radiographs").mkdir()
    shutil.copytree(DOCS.parent / "frontend/public/examples", tmp_path / EXAMPLES)
    for name in ("chest.dcm", "radiographs/one.dcm"):
        (tmp_path / name).write_bytes(radiograph)
    gateway.post(radiograph)
    for page, number, text in PYTHON:
        (tmp_path / "example.py").write_text(told(text, gateway))
        done = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{page} {number}: {done.stderr}"
        assert done.stdout, f"{page} {number}"
        if page == "../README.md":
            assert done.stdout == said_of_the_readmes_image(gateway)


def test_an_example_for_the_shell_runs(gateway: Gateway, radiograph: bytes, tmp_path: Path) -> None:
    (tmp_path / "chest.dcm").write_bytes(radiograph)
    for command in CURL:
        # This gateway is open to its machine, and a key that it does not know is none to it.
        done = subprocess.run(
            ["/bin/sh", "-c", told(command, gateway)],
            cwd=tmp_path,
            env={**os.environ, "CXR_KEY": "none"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"status":"complete"' in done.stdout


_PROGRAM = """
using System;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Threading.Tasks;
using Newtonsoft.Json.Linq;

public static class Example
{
    public static void Main() { Send("none").Wait(); }

    private static async Task Send(string key)
    {
CODE
    }
}
"""


def test_the_example_in_csharp_is_compiled_and_runs(
    gateway: Gateway, radiograph: bytes, tmp_path: Path
) -> None:
    (tmp_path / "chest.dcm").write_bytes(radiograph)
    shutil.copytree(DOCS.parent / "frontend/public/examples", tmp_path / EXAMPLES)
    readme = re.escape(said_of_the_readmes_image(gateway))
    for page, said in (("docs/api.md", r"complete \S.*\n"), ("README.md", readme)):
        text = (DOCS.parent / page).read_text()
        [code] = re.findall(r"^```csharp\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        source, program = tmp_path / "Example.cs", tmp_path / "Example.exe"
        source.write_text(_PROGRAM.replace("CODE", told(code, gateway)))
        assert compiled_csharp(program, [source], tmp_path) == []
        done = subprocess.run(
            ["mono", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(said, done.stdout, re.DOTALL), done.stdout
