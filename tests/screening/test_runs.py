"""Runs on a small cluster: what is read, what is not read twice, what is refused, what is shown."""

import json
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from cxr_classifier.settings import ClassifierSettings
from cxr_screening.output import Output
from cxr_screening.rows import SCHEMA, SCHEMA_VERSION, VERSION_KEY
from support.dicom_images import dicom
from support.images import encoded, example_image
from support.pacs import Orthanc, running_orthanc
from support.s3_server import BUCKET, S3Server
from support.screenings import ROOT, InProcess, rows_of
from support.waiting import free_port

pytestmark = pytest.mark.slow
ARGUMENTS = ("--workers", 1, "--flush-s", 0)


def chest(number: int, **tags: Any) -> bytes:
    """A DICOM radiograph, accepted by the OOD detector, and none like another."""
    noise = np.random.default_rng(number).integers(-3, 4, (512, 512))
    values = np.clip(example_image("effusion") + noise, 0, 255).astype(np.uint8)
    given: dict[str, Any] = {
        "PatientID": f"MRN-{number}",
        "PatientName": "DOE^JANE",
        "PatientBirthDate": "19500101",
        "StudyDate": f"{2015 + number}0607",
        "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.7.{number}",
        "SeriesInstanceUID": f"1.2.826.0.1.3680043.8.498.6.{number}",
        "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.5.{number}",
    }
    return dicom(values, **(given | tags))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Radiographs of two years, one that is none, and files that cannot be read."""
    made = tmp_path / "JANE DOE"
    made.mkdir()
    for number in range(2):
        (made / f"{number}.dcm").write_bytes(chest(number))
    (made / "hand.dcm").write_bytes(chest(7, BodyPartExamined="HAND"))
    (made / "broken.png").write_bytes(encoded(example_image("effusion"))[:900])
    with zipfile.ZipFile(made / "some.zip", "w") as members:
        members.writestr("empty.png", b"")
    return made


def test_an_output_from_its_first_run_to_its_report(
    screen: InProcess, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert "5 images read (2 complete, 2 failed, 1 rejected)" in screen(
        "run", folder, "--out", out, *ARGUMENTS
    )
    rows = rows_of(out)
    assert sorted(row["status"] for row in rows) == [
        *("complete", "complete", "failed", "failed", "rejected")
    ]
    assert {row["year"] for row in rows if row["status"] == "complete"} == {2015, 2016}
    assert {row["age_years"] for row in rows if row["status"] == "complete"} == {65, 66}
    assert all(row["error"].endswith(".") for row in rows if row["status"] == "failed")

    # Nothing of the patients, in no file of the output.
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            table = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else []
            for secret in ("MRN-", "DOE", "1.2.826.0.1.3680043", str(folder)):
                assert secret.encode() not in content, path
                assert secret not in repr(table), path
    assert (tmp_path / "out.private").stat().st_mode & 0o077 == 0

    # The same engine never twice; what is new is read.
    (folder / "2.dcm").write_bytes(chest(2))
    assert "1 images read (1 complete), 5 were done before" in screen(
        "run", folder, "--out", out, *ARGUMENTS
    )
    assert len({row["id"] for row in rows_of(out)}) == len(rows_of(out)) == 6

    # Mended, an image with an error has one row like any other.
    (folder / "broken.png").write_bytes(encoded(example_image("effusion")))
    screen("run", folder, "--out", out, "--retry-failed", *ARGUMENTS)
    statuses = sorted(row["status"] for row in rows_of(out))
    assert statuses == [*("complete",) * 4, "failed", "rejected"]
    assert len({row["id"] for row in rows_of(out)}) == 6

    status = screen("status", out)
    assert "done: run" in status
    assert "de-identified" in status
    _read_by_others(out)
    _reported(screen, out)


def _read_by_others(out: Path) -> None:
    files = f"{out}/images/*/*/*.parquet"
    relation: Any = duckdb.sql(
        f"SELECT year, count(*), max(len(boxes)) FROM '{files}' WHERE status = 'complete'"
        " GROUP BY year ORDER BY year"
    )
    assert [row[:2] for row in relation.fetchall()] == [(0, 1), (2015, 1), (2016, 1), (2017, 1)]
    frame = pd.read_parquet(out / "images")
    assert len(frame) == 6
    assert frame["engine"].nunique() == 1


def _reported(screen: InProcess, out: Path) -> None:
    screen("report", out)
    page = (out / "report.html").read_text()
    for part in ("Rejected, and why", "Likely findings by year", "2016", "Slowest", "data:image"):
        assert part in page


def test_another_engine_reads_again_beside_the_first_and_is_compared(
    screen: InProcess, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    screen("run", folder, "--out", out, *ARGUMENTS)
    used = ClassifierSettings().model_dir.name
    other = next(path for path in (ROOT / "models/classifier").glob("*/") if path.name != used)
    screen.variables = {"CXR_CLASSIFIER_MODEL_DIR": str(other)}
    said = screen("run", folder, "--out", out, *ARGUMENTS, status=2)
    assert "--new reads everything again" in said
    assert len(Output(str(out)).engines()) == 1
    screen("run", folder, "--out", out, "--new", *ARGUMENTS)
    first, second = sorted(
        Output(str(out)).engines(), key=lambda one: one == Output(str(out)).existing_state().engine
    )
    page, drawn = tmp_path / "compare.html", tmp_path / "drawn"
    screen("compare", f"{out}@{first}", out, "--out", page, "--images", drawn, "--top", 3)
    assert f"2 images that both read. A is engine {first}, B is {second}." in page.read_text()
    assert len({path.name.split("-")[0] for path in drawn.glob("*-a.png")}) >= 1
    assert {path.name[-5] for path in drawn.iterdir()} == {"a", "b"}

    chosen = tmp_path / "chosen"
    said = screen("select", out, "--where", "year = 2016", "--out", chosen)
    assert "1 images are in" in said
    [line] = map(json.loads, (chosen / "selection.jsonl").read_text().splitlines())
    assert (chosen / line["file"]).read_bytes() == chest(1)
    assert line["reference"] == str(folder / "1.dcm")
    where = ["--where", "content IN (SELECT content FROM read_text('/etc/hostname'))"]
    assert "no condition" in screen("select", out, *where, "--out", tmp_path / "no", status=2)
    actions = [
        json.loads(line)["action"]
        for line in (tmp_path / "out.private/audit.jsonl").read_text().splitlines()
    ]
    assert actions == ["comparison-drawn", "images-selected"]


def test_a_worker_that_is_killed_costs_no_image(
    screen: InProcess, folder: Path, tmp_path: Path
) -> None:
    for number in range(10, 40):
        (folder / f"{number}.dcm").write_bytes(chest(number))
    killed: list[int] = []
    stopped = threading.Event()

    def kill_one() -> None:
        while not stopped.wait(0.05) and not killed:
            for one in psutil.Process().children(recursive=True):
                try:
                    if "Reader" in "".join(one.cmdline()):
                        os.kill(one.pid, signal.SIGKILL)
                        killed.append(one.pid)
                        break
                except (psutil.Error, IndexError, ProcessLookupError):
                    continue

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        screen("run", folder, "--out", tmp_path / "out", *ARGUMENTS)
    finally:
        stopped.set()
        thread.join()
    assert killed
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len({row["id"] for row in rows}) == 35
    assert {row["error_kind"] for row in rows} <= {None, "unprocessable", "unsupported-media"}


def test_identified_rows_are_a_choice_that_is_put_on_record(
    screen: InProcess, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    screen("run", folder / "0.dcm", "--out", out, "--identified", *ARGUMENTS)
    [row] = rows_of(out)
    assert (row["patient_id"], row["study_date"]) == ("MRN-0", "2015-06-07")
    assert row["source"] == str(folder / "0.dcm")
    audited = json.loads((tmp_path / "out.private/audit.jsonl").read_text())
    assert audited["action"] == "identified-run"
    said = screen("run", folder, "--out", out, *ARGUMENTS, status=2)
    assert "is identified; write the other kind elsewhere" in said


def _empty(room: Path) -> list[object]:
    (room / "empty").mkdir()
    return ["run", room / "empty", "--out", room / "out"]


def _no_key(room: Path) -> list[object]:
    return ["run", room, "--out", room / "out", "--key", room / "key"]


def _lost_key(room: Path) -> list[object]:
    state = {"schema": SCHEMA_VERSION, "key_id": "0", "identified": False, "engine": "x"}
    (room / "out").mkdir()
    (room / "out/screening.json").write_text(json.dumps(state))
    return ["run", room, "--out", room / "out"]


def _newer(room: Path) -> list[object]:
    folder = room / "out/images/engine=x/year=2019"
    folder.mkdir(parents=True)
    newer = {VERSION_KEY: str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(SCHEMA.with_metadata(newer).empty_table(), folder / "part-1-000000.parquet")
    state = {"schema": SCHEMA_VERSION, "key_id": "0", "identified": False, "engine": "x"}
    (room / "out/screening.json").write_text(json.dumps(state))
    return ["report", room / "out"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (_empty, "There is no radiograph in"),
        (lambda room: ["run", room / "nowhere", "--out", room / "out"], "There is no "),
        (lambda room: ["status", room / "nowhere"], "There is no screening at"),
        (_no_key, "cannot be read: No such file or directory."),
        (_lost_key, "cannot be read: No such file or directory."),
        (_newer, "of a newer version"),
        (
            lambda room: ["run", "dicomweb+http://127.0.0.1:9/x", "--out", room / "out"],
            "does not answer",
        ),
        (lambda room: ["run", room, "--out", "/dev/full/out"], "/dev/full/out"),
        (lambda room: ["run", room, "--out", room / "out", "--hours", "9-5"], "no span of hours"),
    ],
)
def test_what_cannot_be_worked_with_is_one_sentence(
    screen: InProcess, tmp_path: Path, made: Callable[[Path], list[object]], said: str
) -> None:
    told = screen(*made(tmp_path), status=2)
    assert said in told
    assert len(told.strip().splitlines()) == 1


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server(free_port())
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key-of-no-value")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-key-of-no-value")  # pragma: allowlist secret
    yield server
    server.stop()


def test_a_bucket_as_sink(
    screen: InProcess, bucket: S3Server, folder: Path, tmp_path: Path
) -> None:
    # The workers' environment is the cluster's, so the source is a folder here.
    out = f"s3://{BUCKET}/screening"
    assert "needs --private" in screen("run", folder, "--out", out, status=2)
    private = ("--private", tmp_path / "private")
    screen("run", folder, "--out", out, *private, *ARGUMENTS)
    said = screen("run", folder, "--out", out, *private, *ARGUMENTS)
    assert "0 images read (none was left), 5 were done before" in said
    assert len(rows_of(out)) == 5
    screen("report", out)
    assert "screening/report.html" in bucket.all_keys()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path / "orthanc", free_port()) as running:
        yield running


def test_a_pacs_as_source(screen: InProcess, orthanc: Orthanc, tmp_path: Path) -> None:
    for number in range(3):
        orthanc.http.post("/instances", content=chest(number)).raise_for_status()
    other = chest(5, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    orthanc.http.post("/instances", content=other).raise_for_status()
    source = f"dicomweb+{str(orthanc.http.base_url).rstrip('/')}/dicom-web"
    out = tmp_path / "out"
    query = ("--query", "StudyDate=20150101-20161231")
    screen("run", source, "--out", out, *query, *ARGUMENTS, "--max-fetches", 1)
    assert {row["year"] for row in rows_of(out)} == {2015, 2016}
    said = screen("run", source, "--out", out, *ARGUMENTS, "--max-mb-per-s", 5)
    assert "1 images read (1 complete), 2 were done before" in said
