"""`python -m benchmarks.page`: how fast the page is in a real browser, over a full archive.

A system of its own reads three radiographs; their rows and files are copied until the archive has
so many studies, each of another patient. `frontend/scripts/bench-page.mjs` then uses the page as a
reader does and reads the browser's own traces.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.images import sample_path
from benchmarks.page_report import write
from benchmarks.stack import ROOT, Stack
from cxr_gateway.core.ids import new_study_id

_EXAMPLES = ("synthetic-effusion.png", "synthetic-mass.png")
# By the rank that the list is ordered by.
_URGENCIES = {"urgent": 0, "soon": 2, "routine": 3}


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--opened", type=int, default=300, help="by the walk that watches memory")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        models = [_send(stack.url, *file) for file in _files()]
        stack.kill("gateway")
        _copy(Path(folder) / "archive", models, options.studies)
        stack.start("gateway")
        finished = subprocess.run(
            ["node", "scripts/bench-page.mjs"],
            cwd=ROOT / "frontend",
            env={
                **os.environ,
                "CXR_BASE_URL": stack.url,
                "CXR_OPENED": str(options.opened),
                "CXR_OWN_GREYS": models[0],
            },
            stdout=subprocess.PIPE,
            check=True,
        )
    measured = json.loads(finished.stdout)
    met = write(measured, options.studies, ROOT / "frontend/dist", options.out)
    raise SystemExit(0 if met else 1)


def _files() -> list[tuple[str, bytes]]:
    folder = ROOT / "frontend/public/examples"
    examples = [(name, (folder / name).read_bytes()) for name in _EXAMPLES]
    return [("sample.dcm", sample_path().read_bytes()), *examples]


def _send(url: str, name: str, content: bytes) -> str:
    """Have a file read, and each image of it drawn; the study's id."""
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client:
        answer = client.post("/api/v1/studies", files={"file": (name, content)})
        answer.raise_for_status()
        study = answer.json()
        base = f"/api/v1/studies/{study['id']}"
        maps = [f"heatmaps/{finding}.png" for finding in study["heatmaps"]]
        for path in ("image.png", "pixels", "pixels.png", "overlay.png", *maps):
            client.get(f"{base}/{path}").raise_for_status()
        return str(study["id"])


def _copy(archive: Path, models: list[str], count: int) -> None:
    """Fill a stopped gateway's archive with copies of its studies, each under a name of its own."""
    chance = np.random.default_rng(0)
    now = datetime.now(UTC)
    with sqlite3.connect(archive / "archive.sqlite3") as database:
        database.row_factory = sqlite3.Row
        rows = {
            row["id"]: dict(row) for row in database.execute("SELECT * FROM studies").fetchall()
        }
        folders = {study: next(archive.rglob(study)) for study in models}
        copies = []
        for number in range(count - len(models)):
            study = models[number % len(models)]
            copy = _as_another(rows[study], number, now - timedelta(seconds=9 * number), chance)
            # As `cxr_gateway.archive.files` spreads them.
            folder = folders[study].parents[1] / copy["id"][-2:] / copy["id"]
            folder.mkdir(parents=True)
            for file in folders[study].iterdir():
                os.link(file, folder / file.name)
            copies.append(copy)
        names = list(copies[0])
        places = ", ".join(f":{name}" for name in names)
        # The names are the table's own columns.
        database.executemany(f"INSERT INTO studies ({', '.join(names)}) VALUES ({places})", copies)  # noqa: S608


def _as_another(
    row: dict[str, Any], number: int, received: datetime, chance: np.random.Generator
) -> dict[str, Any]:
    """The row of a study, as that of another patient."""
    study = json.loads(row["result_json"])
    priority = list(_URGENCIES)[min(2, int(chance.exponential(1.25)))]
    name, patient_id = f"Copy^{number}", f"P{number:06d}"
    score = float(chance.random())
    study["id"] = new_study_id()
    study["received_at"] = received.isoformat()
    study["patient"] |= {"name": name, "patient_id": patient_id}
    if study["triage"] is not None:
        study["triage"] |= {"priority": priority, "score": score}
    return row | {
        "id": study["id"],
        "content_sha256": f"{number:064x}",
        "priority": priority,
        "urgency": _URGENCIES[priority],
        "received_at": received.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "result_json": json.dumps(study),
        "score": score,
        "patient_id": patient_id,
        "searched": f"{name} {patient_id}".lower(),
    }


if __name__ == "__main__":
    main()
