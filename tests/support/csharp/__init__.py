"""Mono's C# compiler, with the libraries that Debian has."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

CSHARP = Path(__file__).parent
_ASSEMBLIES = ("Net.Http", "Runtime.Serialization", "ComponentModel.DataAnnotations", "Web")
_NEWTONSOFT = "/usr/lib/mono/gac/Newtonsoft.Json"


def compiled_csharp(target: Path, sources: Sequence[Path], folder: Path) -> list[str]:
    """Compile to a library (`.dll`) or a program (`.exe`); the lines of its errors."""
    compiler = shutil.which("mcs")
    assert compiler is not None, "mono-mcs is not installed"
    [newtonsoft] = Path(_NEWTONSOFT).glob("*/Newtonsoft.Json.dll")
    kind = "library" if target.suffix == ".dll" else "exe"
    listed = folder / "sources.txt"
    listed.write_text("\n".join(f'"{path}"' for path in sources))
    done = subprocess.run(
        [
            *(compiler, "-langversion:latest", "-nowarn:1591", f"-target:{kind}"),
            *(f"-out:{target}", f"@{listed}", f"-r:{newtonsoft}"),
            *(f"-r:System.{name}.dll" for name in _ASSEMBLIES),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [
        line for line in (done.stdout + done.stderr).splitlines() if re.search(r"error CS\d", line)
    ]
    assert (done.returncode == 0) == (not errors), done.stderr
    return errors
