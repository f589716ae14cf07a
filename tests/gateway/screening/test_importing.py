"""What a screening chose becomes studies that stand behind today's."""

import argparse
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from cxr_gateway.archive import Session, open_files, query_once
from cxr_gateway.archive.audit_chain import audit_snapshot
from cxr_gateway.archive.audit_queries import AuditQuery, page
from cxr_gateway.archive.schema import migrate
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.archive.triage_thresholds import latest_results
from cxr_gateway.cli import parser
from cxr_gateway.core.errors import BadInput, CommandError
from cxr_gateway.core.schemas import Priority, Study
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import InferenceClients
from cxr_gateway.screening.importing import import_selection
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    FakeService,
    probabilities,
    services_over,
    settings_for,
)
from support.images import encoded, example_image

URGENT = FakeService("classifier", findings=probabilities(pneumothorax=0.9))


def opener(settings: GatewaySettings) -> AbstractAsyncContextManager[InferenceClients]:
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(URGENT.app()),
        DETECTOR_URL: httpx.ASGITransport(FakeService("detector", boxes=[]).app()),
    }
    return services_over(mounts)(settings)


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    (tmp_path / "archive").mkdir()
    made = settings_for(tmp_path / "archive")
    migrate(made.resolved_database_url, 5)
    return made


@pytest.fixture
def selection(tmp_path: Path) -> Path:
    """A folder as `cxr-screen select` writes it."""
    folder = tmp_path / "chosen"
    folder.mkdir()
    lines = []
    for number, of in enumerate(("effusion", "cardiomegaly")):
        name = f"{number:06}.file"
        (folder / name).write_bytes(encoded(example_image(of)))
        lines.append(json.dumps({"file": name, "reference": f"s3://old/{of}.png"}))
    (folder / "selection.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def options(folder: Path, *more: str) -> argparse.Namespace:
    return parser().parse_args(["import-screening", str(folder), *more])


def studies(settings: GatewaySettings) -> list[Study]:
    def read(session: Session) -> list[Study]:
        return [Study.model_validate_json(text) for text in latest_results(session, 100)]

    return query_once(settings, read)


def test_they_are_analysed_and_stand_behind_the_others(
    settings: GatewaySettings, selection: Path
) -> None:
    said = import_selection(settings, options(selection), opener)
    assert said == "2 studies are on the worklist as routine, 0 were in the archive before."
    found = studies(settings)
    assert {study.file_name for study in found} == {
        "s3://old/effusion.png",
        "s3://old/cardiomegaly.png",
    }
    for study in found:
        assert study.triage is not None
        assert study.triage.priority is Priority.ROUTINE
        assert study.triage.reason.startswith(
            "Chosen by a screening of older radiographs; by its scores urgent. Pneumothorax is"
        )
        assert len(study.heatmaps) == 14
        assert open_files(settings).has(study.id, "original.png")
    with audit_snapshot(settings) as connection:
        entries = page(connection, AuditQuery(limit=10)).items
    assert [one.action for one in entries] == ["import-screening"] * 2
    assert {one.study_id for one in entries} == {study.id for study in found}

    # Again: nothing is doubled.
    said = import_selection(settings, options(selection), opener)
    assert said == "0 studies are on the worklist as routine, 2 were in the archive before."


def test_one_that_is_refused_does_not_keep_the_others_back(
    settings: GatewaySettings, selection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (selection / "000000.file").write_bytes(b"no image")
    with pytest.raises(
        CommandError, match=r"1 studies are on the worklist .* 1 images were refused"
    ):
        import_selection(settings, options(selection, "--department", "surgery"), opener)
    assert "000000.file" in capsys.readouterr().err
    departments = query_once(
        settings, lambda session: session.scalars(select(StudyRow.department)).all()
    )
    assert departments == ["surgery"]


@pytest.mark.parametrize("harm", ["a link", "too large", "another folder's"])
def test_a_folder_that_somebody_else_filled_leads_to_no_other_file(
    settings: GatewaySettings,
    selection: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: str,
) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(encoded(example_image("mass")))
    if harm == "a link":
        (selection / "000000.file").unlink()
        (selection / "000000.file").symlink_to(outside)
    elif harm == "too large":
        (selection / "000000.file").write_bytes(b"\0" * (settings.max_upload_bytes + 1))
    else:
        line = json.dumps({"file": "../outside.png", "reference": "x"})
        (selection / "selection.jsonl").write_text(line + "\n")
    with pytest.raises(CommandError):
        import_selection(settings, options(selection), opener)
    refused = "import-screening: 000000.file: It " in capsys.readouterr().err
    assert refused == (harm != "another folder's")
    assert len(studies(settings)) <= 1
    assert not any(study.file_name == "s3://old/effusion.png" for study in studies(settings))


@pytest.mark.parametrize("content", [None, "", "no json\n", '{"file": "gone", "reference": "x"}\n'])
def test_what_is_no_selection_is_refused(
    settings: GatewaySettings, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "selection.jsonl").write_text(content)
    with pytest.raises(BadInput):
        import_selection(settings, options(tmp_path), opener)
