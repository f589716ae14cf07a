"""A classifier of labels of its own: the columns of an output are those."""

import json
from pathlib import Path

import pytest

from cxr_contracts import Finding
from cxr_screening.engine import Engine, EngineConfig, identify
from cxr_screening.output import Output, OutputState
from cxr_screening.report import report
from cxr_screening.rows import SCHEMA, SCHEMA_VERSION, RowWriter
from support.images import encoded, example_image
from support.model_folders import write_classifier_folder
from support.screenings import ROOT, InProcess, rows_of

pytestmark = pytest.mark.slow
LABELS = ("Metal-clip", "Ring", "Effusion")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> InProcess:
    """The command, as far as it comes without a cluster."""
    return InProcess(monkeypatch, capfd)


def model(folder: Path, *labels: str) -> Path:
    return write_classifier_folder(folder / "mine", findings=[Finding(one) for one in labels])


def test_rows_report_and_output_have_the_models_own_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CXR_CLASSIFIER_MODEL_DIR", str(model(tmp_path, *LABELS)))
    monkeypatch.setenv("CXR_DETECTOR_MODEL_DIR", "models/detector/yolov5n-both")
    config = EngineConfig.from_settings()
    identity = identify(config)
    assert identity.findings == LABELS
    writer = RowWriter(b"k" * 32, identity.fingerprint, False, identity.findings)
    content = encoded(example_image("effusion"))
    row = writer.analysed(
        "a.png", content, Engine(config).analyse(content), fetch_ms=1.0, total_ms=2.0
    )
    output = Output(str(tmp_path / "out"))
    output.begin(OutputState(SCHEMA_VERSION, "0", False, identity.short), identity)
    output.commit(identity.short, "run", 0, writer.to_table([row]))
    [kept] = rows_of(tmp_path / "out")
    assert kept["status"] == "complete"
    assert kept["metal_clip_level"] in ("unlikely", "possible", "likely")
    assert 0 <= kept["ring"] <= 1
    assert "hernia" not in kept
    # Nothing is known of a pneumothorax.
    assert kept["priority"] != "routine"
    page = report(output, identity.short)
    assert "Metal-clip" in page
    assert "Hernia" not in page


def test_an_output_from_before_has_the_fourteen(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "engines"
    folder.mkdir(parents=True)
    (folder / "old.json").write_text(json.dumps({"version": "0.3.0"}))
    assert Output(str(tmp_path / "out")).findings("old") == tuple(Finding)
    assert {"hernia", "hernia_level"} <= {*SCHEMA.names}


@pytest.mark.parametrize(
    ("labels", "column"), [(("Ring", "Score"), "score"), (("Ring", "ring"), "ring")]
)
def test_a_label_that_would_be_another_column_is_refused_before_anything_is_written(
    screen: InProcess, tmp_path: Path, labels: tuple[str, ...], column: str
) -> None:
    screen.variables = {"CXR_CLASSIFIER_MODEL_DIR": str(model(tmp_path, *labels))}
    said = screen("run", tmp_path, "--out", tmp_path / "out", status=2)
    assert f"would have the column '{column}'" in said
    assert not (tmp_path / "out").exists()
