"""Archives with data in them, for tests: made through the archive itself."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime

from pydantic import SecretStr

from cxr_contracts import CamGrid, Finding
from cxr_gateway.archive import Archive, StoredStudy, StudyFilter, open_archive
from cxr_gateway.cli import parser
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.schemas import (
    ImageMetadata,
    ImageSource,
    OodResult,
    Priority,
    Study,
    StudyStatus,
    Timings,
    Triage,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import NO_PATIENT
from support.databases import give_schema

CAMS = [CamGrid(finding=Finding.MASS, values=[[0.25, -1.5]])]


def a_triage(priority: Priority, score: float | None = None, reason: str = "Because.") -> Triage:
    """A triage of this priority, by levels or by a score."""
    return Triage(
        priority=priority,
        score=score,
        same_day_score=score,
        urgent_threshold=None if score is None else 0.5,
        soon_threshold=None if score is None else 0.25,
        cause=None,
        model=None,
        reason=reason,
    )


def a_study(content: bytes) -> Study:
    """A complete study of a PNG file of this content."""
    return Study(
        id=new_study_id(),
        status=StudyStatus.COMPLETE,
        received_at=datetime.now(UTC),
        file_name='é "name".png',
        content_sha256=hashlib.sha256(content).hexdigest(),
        image=ImageMetadata(
            width=4, height=3, view=None, source=ImageSource.PNG, notes=[], stored=None
        ),
        quality=None,
        patient=NO_PATIENT,
        ood=OodResult(accepted=True, score=0.9, threshold=0.5, reason=None),
        top_findings=[],
        findings=[],
        boxes=[],
        rescoring=None,
        heatmaps=[],
        triage=a_triage(Priority.URGENT),
        models=[],
        calibrated=None,
        timings_ms=Timings(
            decode=1, ood=None, classifier=None, detector=None, archive=None, total=1
        ),
        problems=[],
    )


async def put(
    archive: Archive, content: bytes, key: str | None = None, department: str | None = None
) -> StoredStudy:
    """Archive a file as a new study, with an image of it."""
    study = a_study(content)
    await archive.in_thread(archive.files.write, study.id, "original.png", content)
    await archive.in_thread(archive.files.write, study.id, "overlay-1.png", b"drawn")
    return await archive.add(study, CAMS, key, department)


async def filled(settings: GatewaySettings, count: int = 3) -> dict[str, bytes]:
    """Put `count` new studies into the archive; their contents by id."""
    put_in = {}
    give_schema(settings)
    async with open_archive(settings) as archive:
        for number in range(count):
            content = f"radiograph {number} {new_study_id()}".encode() * 40
            stored = await put(archive, content, f"key {content[:40].decode()}")
            put_in[stored.id] = content
    return put_in


async def content_of(settings: GatewaySettings) -> dict[str, bytes]:
    """Every study's original by id, each found through its row."""
    found = {}
    async with open_archive(settings) as archive:
        page = await archive.page(StudyFilter(), limit=100, after=None, department=None)
        for item in page.items:
            stored = await archive.get(item.id, None)
            assert stored.cams == CAMS
            content = await archive.in_thread(archive.files.read, stored.id, stored.original)
            key = f"key {content[:40].decode()}"
            known = await archive.look_up(stored.content_sha256, key, stored.department)
            assert known == stored
            found[item.id] = content
    return found


def environment_of(settings: GatewaySettings) -> dict[str, str]:
    """The environment of a real process with what these settings say of the archive."""
    names = [name for name in GatewaySettings.model_fields if name.startswith("s3_")]
    names += ["archive_dir", "database_url", "migrate_at_start", "max_upload_bytes", "storage"]
    values = {name: getattr(settings, name) for name in names}
    given = {name: value for name, value in values.items() if value is not None}
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
    }
    variables = {f"CXR_GATEWAY_{name.upper()}": value for name, value in plain.items()}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}


def commanded(settings: GatewaySettings, *arguments: str) -> int:
    """A command in this process, which a real one needs seconds to begin; its exit status."""
    options = parser().parse_args(arguments)
    status: int = options.run(settings, options)
    return status


def gateway_command(
    settings: GatewaySettings, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """`python -m cxr_gateway` as an operator runs it, to its end; with further variables."""
    return subprocess.run(
        [sys.executable, "-m", "cxr_gateway", *arguments],
        env=environment_of(settings) | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
