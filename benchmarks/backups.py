"""`python -m benchmarks.backups`: what backups of a large archive cost, and what a restore takes.

An archive is filled with made-up small studies. Then an operator's
commands run, each in a process of its own: the first backup into a folder, one after a day's
studies, one with nothing new, the weekly `verify`, the `drill`. Files are small, so what is
measured is the price of many of them; a site's disk sets that of their bytes.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from benchmarks.stack import ROOT
from cxr_gateway.api.examples import STUDY_EXAMPLE
from cxr_gateway.archive import Archive, open_archive
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.audit import by_the_machine, open_audit_log
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.metrics import AuditMetrics
from cxr_gateway.core.schemas import Study
from cxr_gateway.core.settings import GatewaySettings

_ORIGINAL_BYTES = 12_000
_IMAGE_BYTES = 4_000
_AT_ONCE = 500
_STUDY = Study.model_validate(STUDY_EXAMPLE)
_ROOM = "cxr-backups-"


@dataclass
class Step:
    """A command of the operator's, and what it took; memory is that of its largest moment."""

    step: str
    command: str
    seconds: float
    memory_mb: float
    said: str


async def fill(settings: GatewaySettings, count: int, day: int) -> None:
    """Archive so many new studies: an original, an image, rows and an entry of the log each.

    The first one goes through the archive; the others are its rows under other ids, for what is
    measured is not how they came.
    """
    metrics = AuditMetrics(CollectorRegistry())
    async with open_archive(settings) as archive, open_audit_log(settings, metrics) as log:
        first = await _archived(archive, f"{day}-first")
        study_ids = [first.id]
        for start in range(1, count, _AT_ONCE):
            copy = partial(_copied, archive, first, min(_AT_ONCE, count - start))
            study_ids += await archive.query(copy)
        for start in range(0, count, _AT_ONCE):
            part = study_ids[start : start + _AT_ONCE]
            events = [by_the_machine("createStudy", 201, study_id=one) for one in part]
            await asyncio.gather(*map(log.record, events))


async def _archived(archive: Archive, name: str) -> Study:
    content = os.urandom(_ORIGINAL_BYTES - len(name)) + name.encode()
    given = {"id": new_study_id(), "content_sha256": sha256(content).hexdigest()}
    study = _STUDY.model_copy(update=given)
    await archive.in_thread(archive.files.write, study.id, "original.dcm", content)
    await archive.in_thread(
        archive.files.write, study.id, "overlay-1.png", os.urandom(_IMAGE_BYTES)
    )
    await archive.add(study, [], None, None)
    return study


def _copied(archive: Archive, first: Study, count: int, session: Session) -> list[str]:
    """Put copies of a study beside it; their ids."""
    study = session.execute(select(StudyRow.__table__).where(StudyRow.id == first.id)).mappings()
    row, copies = dict(study.one()), []
    for _ in range(count):
        study_id, content = new_study_id(), os.urandom(_ORIGINAL_BYTES)
        digest = sha256(content).hexdigest()
        text = row["result_json"].replace(first.id, study_id)
        text = text.replace(first.content_sha256, digest)
        copies.append(row | {"id": study_id, "content_sha256": digest, "result_json": text})
        path = archive.files.path(study_id, "original.dcm")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        archive.files.path(study_id, "overlay-1.png").write_bytes(os.urandom(_IMAGE_BYTES))
    session.execute(insert(StudyRow), copies)
    return [copy["id"] for copy in copies]


def commanded(settings: GatewaySettings, step: str, *arguments: str) -> Step:
    """Run `cxr-gateway` as an operator does."""
    variables = {
        "CXR_GATEWAY_ARCHIVE_DIR": str(settings.archive_dir),
        "CXR_GATEWAY_BACKUP_KEY_FILE": str(settings.backup_key_file),
    }
    if settings.database_url is not None:
        variables["CXR_GATEWAY_DATABASE_URL"] = settings.database_url
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", "cxr_gateway", *arguments]
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output)
        # The kernel's count of this child alone; `resource` has all children together.
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        said = output.read().strip()
    took_s = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    words = " ".join(one for one in arguments if not one.startswith("/"))
    found = Step(step, words, took_s, usage.ru_maxrss / 1024, re.sub(r"/\S*/", "", said))
    sys.stdout.write(f"{step}: {took_s:.1f} s, {found.memory_mb:.0f} MB; {found.said}\n")
    sys.stdout.flush()
    return found


def measured(settings: GatewaySettings, room: Path, studies: int, new: int) -> dict[str, Any]:
    """Fill the archive, and take, check and restore its backups."""
    began = time.perf_counter()
    commanded(settings, "migrate", "migrate")
    asyncio.run(fill(settings, studies, 0))
    filled_s = time.perf_counter() - began
    folder = room / "backups"
    into = ("backup", "--into", str(folder))
    steps = [commanded(settings, "first backup", *into)]
    asyncio.run(fill(settings, new, 1))
    steps += [
        commanded(settings, f"backup after {new:,} more studies", *into),
        commanded(settings, "backup with nothing new", *into),
        commanded(settings, "verify, every byte", "verify", "--from", str(folder)),
        commanded(settings, "drill", "drill", "--from", str(folder), "--scratch", str(room)),
    ]
    latest = sorted(folder.glob("*.zip"))[-1]
    return {
        "database": "SQLite" if settings.database_url is None else "PostgreSQL",
        "studies": studies,
        "new": new,
        "fill_s": filled_s,
        "files_mb": (studies + new) * (_ORIGINAL_BYTES + _IMAGE_BYTES) / 1e6,
        "zip_mb": latest.stat().st_size / 1e6,
        "steps": [asdict(step) for step in steps],
    }


@contextmanager
def _databases(kinds: Sequence[str]) -> Iterator[dict[str, str | None]]:
    """The URL of an empty database for each kind that is asked for; None is SQLite's file."""
    if "postgresql" not in kinds:
        yield {"sqlite": None}
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from support.databases import postgresql_database

    with postgresql_database() as url:
        yield {kind: None if kind == "sqlite" else url for kind in kinds}


def main() -> None:
    """Measure and write docs/results/backups/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backups", description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=500, help="of a day, between two backups")
    parser.add_argument(
        "--database", choices=["sqlite", "postgresql"], nargs="+", default=["sqlite", "postgresql"]
    )
    parser.add_argument("--scratch", type=Path, help="where there is room for three archives")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/backups")
    options = parser.parse_args()
    facts: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "runs": []}
    with _databases(options.database) as databases:
        for url in databases.values():
            with tempfile.TemporaryDirectory(prefix=_ROOM, dir=options.scratch) as name:
                room = Path(name)
                (room / "key").write_text(os.urandom(32).hex())
                settings = GatewaySettings(
                    archive_dir=room / "archive",
                    database_url=url,
                    backup_key_file=room / "key",
                )
                facts["runs"].append(measured(settings, room, options.studies, options.new))
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "backups.json").write_text(json.dumps(facts, indent=1) + "\n")
            (options.out / "README.md").write_text(_page(facts))


def _page(facts: dict[str, Any]) -> str:
    lines = [
        "# What backups cost, and what a restore takes",
        "",
        f"Written by `make bench-backups` on {facts['cores']} cores; of other work the machine had "
        f"a load of {facts['load']:.1f} at the start. Studies are made up and small: an original "
        f"of {_ORIGINAL_BYTES // 1000} KB, an image of {_IMAGE_BYTES // 1000} KB, a row, an entry "
        "of the audit log. Backups are sealed by a key.",
    ]
    for run in facts["runs"]:
        lines += [
            "",
            f"## {run['database']}, {run['studies']:,} studies, {run['files_mb']:,.0f} MB of files",
            "",
            "| step | seconds | memory, MB | what it said |",
            "|---|--:|--:|---|",
            *(
                f"| {step['step']} | {step['seconds']:.1f} | {step['memory_mb']:.0f} | "
                f"{step['said']} |"
                for step in run["steps"]
            ),
            "",
            f"The rows of a backup, packed, are {run['zip_mb']:.0f} MB; made-up rows are alike, "
            "and pack better than real ones. Each backup that is kept costs that, and each file is "
            "kept once.",
        ]
    lines += [
        "",
        "The **recovery point** is the time between two backups and what the later one takes: with "
        "one an hour, an hour and the seconds of the second row. The **recovery time** is what the "
        "drill says: read whole and held to its sums, every file written and synced, all rows in "
        "one transaction, the audit log verified. Both grow with the number of studies; the "
        "restore of files grows with their bytes, too.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
