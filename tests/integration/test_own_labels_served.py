"""A researcher's walk: a table of made-up images, a model of it, and its labels in a study."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cxr_training.cli import main
from support.archived_studies import original
from support.own_images import LABELS, write_own_images
from support.waiting import eventually, free_port

ROOT = Path(__file__).parents[2]
# The way through, not the best model: a network starts, learns some steps, is calibrated, measured.
QUICK = (
    "training.steps_per_epoch=12",
    "training.batch_size=8",
    "training.threads=1",
    "evaluation.resamples=50",
)


def train(folder: Path, *more: str) -> int:
    arguments = ["--data", str(folder / "my.csv"), "--name", "mine"]
    arguments += ["--out", str(folder / "runs"), "--models", str(folder / "models")]
    arguments += [word for one in QUICK for word in ("--set", one)]
    return main(["train", "classifier", *arguments, "--epochs", "1", *more])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table, the run and `models/classifier/mine`."""
    folder = tmp_path_factory.mktemp("walk")
    write_own_images(folder, 200)
    shutil.copytree(ROOT / "models" / "ood", folder / "models" / "ood")
    before = Path.cwd()
    os.chdir(ROOT)  # where the published models lie that it starts from
    try:
        assert main(["data", "check", str(folder / "my.csv")]) == 0
        assert train(folder) == 0
    finally:
        os.chdir(before)
    return folder


def test_the_model_is_measured_calibrated_and_described(walked: Path) -> None:
    run, model = walked / "runs" / "mine" / "classifier", walked / "models" / "classifier" / "mine"
    for name in ("examples.png", "curves.png", "metrics.jsonl", "test/operating_points.png"):
        assert (run / name).stat().st_size > 0
    manifest = json.loads((model / "manifest.json").read_text())
    assert {label["name"] for label in manifest["labels"]} == set(LABELS)
    for label in manifest["labels"]:
        assert label["levels"]["likely"]["threshold"] >= label["levels"]["possible"]["threshold"]
        assert (label["slope"], label["intercept"]) != (1.0, 0.0)
    measured = {(row["name"], row["split"]) for row in manifest["metrics"]}
    assert {("auroc_mean", "validation"), ("auroc_mean", "test")} <= measured
    card = (model / "MODEL_CARD.md").read_text()
    assert "This card is a draft" in card
    assert "NIH" not in card
    for text in (card, (run / "test" / "README.md").read_text()):
        assert "By source resolution" in text
        assert "Pneumonia" not in text
    assert "/walk" not in json.dumps(manifest)


def test_drift_is_measured_against_the_same_images(walked: Path) -> None:
    (path,) = (walked / "models" / "reference").glob("*/reference.json")
    reference = json.loads(path.read_text())
    assert reference["classifier"]["name"] == "mine"
    assert reference["data"]["n_images"] == 30
    assert "Pneumonia" not in {one["name"] for one in reference["statistics"]}


def test_a_name_is_taken_once_and_nothing_is_removed(
    walked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {
        path: path.read_bytes() for path in sorted(walked.rglob("models/**/*")) if path.is_file()
    }
    assert train(walked) == 2
    assert "is there already: give another name, or --replace" in capsys.readouterr().err
    shutil.move(walked / "runs", walked / "other-runs")
    try:
        assert train(walked) == 2
    finally:
        shutil.move(walked / "other-runs", walked / "runs")
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_a_taken_name_is_refused_before_what_is_slow(tmp_path: Path, kind: str) -> None:
    (tmp_path / "models" / kind / "mine").mkdir(parents=True)
    arguments = ["train", kind, "--data", "there-is-none.csv", "--name", "mine"]
    arguments += ["--models", str(tmp_path / "models"), "--out", str(tmp_path / "runs")]
    program = (
        "import sys; from cxr_training.cli import main; "
        f"print(main({arguments!r}), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert "mine is there already: give another name, or --replace" in done.stderr


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the whole system with `mine`."""
    port = free_port()
    environment = {
        **os.environ,
        "CXR_GATEWAY_PORT": str(port),
        "CXR_CLASSIFIER_PORT": str(free_port()),
        "CXR_DETECTOR_PORT": str(free_port()),
        "CXR_DICOM_PORT": str(free_port()),
        "CXR_DICOM_DICOM_PORT": str(free_port()),
        "CXR_DICOM_SPOOL_DIR": str(folder / "spool"),
        "CXR_GATEWAY_ARCHIVE_DIR": str(folder / "archive"),
        "CXR_DETECTOR_MODEL_DIR": "models/detector/yolov5n-both",
    }
    with (folder / "serve.log").open("w") as log:
        named = ("--models", str(folder / "models"))
        process = subprocess.Popen(
            [sys.executable, "-m", "cxr_training", "serve", "--model", "mine", *named],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        address = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            assert process.poll() is None, (folder / "serve.log").read_text()
            try:
                return httpx.get(f"{address}/readyz").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        try:
            eventually(ready, "the system is up", 300)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_own_labels_stand_in_the_study_and_in_what_leaves_it(walked: Path) -> None:
    image = (walked / "images" / "0000.png").read_bytes()
    with served(walked) as address, httpx.Client(base_url=address, timeout=120) as client:
        answer = client.post("/api/v1/studies", files={"file": ("0.png", image, "image/png")})
        assert answer.status_code == httpx.codes.CREATED, answer.text
        study = answer.json()
        assert study["status"] == "complete"
        assert {row["finding"] for row in study["findings"]} == set(LABELS)
        assert len(study["top_findings"]) == 3
        assert study["calibrated"] is True
        assert {one["name"] for one in study["models"]} >= {"mine"}
        assert "does not look for Pneumothorax and Edema" in study["triage"]["reason"]
        assert study["triage"]["priority"] != "routine"
        one = study["heatmaps"][0]
        at = f"/api/v1/studies/{study['id']}"
        drawn = client.get(f"{at}/heatmaps/{one}.png")
        assert drawn.content.startswith(b"\x89PNG")
        assert client.get(f"{at}/overlay.png").status_code == httpx.codes.OK
        raised = [row["finding"] for row in study["findings"] if row["level"] != "unlikely"]
        for finding in raised:
            page = client.get("/api/v1/studies", params={"finding": finding}).json()
            assert study["id"] in [item["id"] for item in page["items"]]
        # As DICOM the same image has a report, whose labels have codes of our own scheme.
        grey = np.asarray(Image.open(BytesIO(image)))
        scan = original(grey.astype(np.uint16) * 16)
        answer = client.post("/api/v1/studies", files={"file": ("0.dcm", scan)})
        assert answer.json()["status"] == "complete", answer.text
        at = f"/api/v1/studies/{answer.json()['id']}"
        message = client.get(f"{at}/oru.hl7").text
        made = client.get(f"{at}/structured-report/findings.dcm")
        assert made.status_code == httpx.codes.OK, made.text
        report = str(dcmread(BytesIO(made.content)))
        for label in LABELS:
            assert f"own-{label}" in message
            assert f"own-{label}" in report
        system = client.get("/api/v1/system").json()
        assert {row["finding"] for row in system["finding_levels"]} == set(LABELS)
