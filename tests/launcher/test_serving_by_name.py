"""`cxr serve --model NAME`: which folders the services are told of."""

from pathlib import Path

import pytest

from cxr_launcher.__main__ import main
from cxr_launcher.serve import NoSuchModel, environment_of


def models(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_text("{}")
    return folder


def test_a_name_is_that_of_a_classifier_of_a_detector_or_of_both(tmp_path: Path) -> None:
    found = environment_of(["mine"], models(tmp_path, "classifier/mine", "detector/mine"))
    assert found == {
        "CXR_CLASSIFIER_MODEL_DIR": str(tmp_path / "classifier/mine"),
        "CXR_DETECTOR_MODEL_DIR": str(tmp_path / "detector/mine"),
    }


def test_a_name_that_is_none_is_refused_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = models(tmp_path, "classifier/mine", "detector/boxes", "gan/pggan")
    assert main(["--model", "pggan", "--models", str(there)]) == 2
    said = capsys.readouterr().err
    assert "no model 'pggan'" in said
    assert "classifier mine; detector boxes" in said


def test_two_of_one_kind_are_refused(tmp_path: Path) -> None:
    there = models(tmp_path, "classifier/a", "classifier/b")
    with pytest.raises(NoSuchModel, match="'b' is the second classifier"):
        environment_of(["a", "b"], there)
