"""`python -m cxr_training.rescoring fit` on small data with real networks of random weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cxr_training.rescoring.__main__ import main
from cxr_training.rescoring.answers import Answers, ReaderPair, kept_answers
from cxr_training.rescoring.films import validation_films

from cxr_contracts import Region, RescoringManifest
from cxr_training.detector.annotations import AnnotatedImage
from model_folders import write_detector_folder
from synthetic_radiographs import SyntheticData, write_small_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path, detector_folder: Path
) -> Path:
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(classifier_folder, root / "classifier/one")
    shutil.copytree(detector_folder, root / "detector/other")
    return root


@pytest.fixture
def options(data: SyntheticData, models: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "--data": str(data.nih.parent),
        "--models": str(models),
        "--classifier": "one",
        "--detector": "other",
        "--out": str(tmp_path / "runs"),
        "--results": str(tmp_path / "results"),
    }


def run(step: str, options: dict[str, str]) -> int:
    return main([step, *(part for option in options.items() for part in option)])


def test_one_command_judges_every_form_and_ships_nothing_that_does_not_help(
    options: dict[str, str], models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = models / "rescoring/one--other/manifest.json"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("of other weights")
    assert run("fit", options) == 0
    assert "detector alone" in capsys.readouterr().out
    assert not stale.exists()
    assert {path.name for path in (tmp_path / "results/one--other").iterdir()} == {
        "README.md",
        "rescoring.csv",
        "rescoring.png",
    }
    assert (tmp_path / "runs/one--other/answers.npz").exists()


def test_what_is_published_is_measured_again_and_held_to_its_manifest(
    options: dict[str, str], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", options) == 0
    assert "no rescoring is better" in capsys.readouterr().out
    assert run("fit", {**options, "--form": "shared"}) == 0
    assert run("evaluate", options) == 0
    assert "every figure as published" in capsys.readouterr().out
    path = models / "rescoring/one--other/manifest.json"
    manifest = RescoringManifest.model_validate_json(path.read_bytes())
    other = manifest.model_copy(
        update={"detector": manifest.detector.model_copy(update={"sha256": "0" * 64})}
    )
    path.write_text(other.model_dump_json())
    assert run("evaluate", options) == 1
    assert "was fitted to other models: run make fit-rescoring" in capsys.readouterr().err
    metrics = [row.model_copy(update={"n": row.n + 1}) for row in manifest.metrics]
    path.write_text(manifest.model_copy(update={"metrics": metrics}).model_dump_json())
    assert run("evaluate", options) == 1
    assert "says otherwise: map50_known of detector, all films" in capsys.readouterr().err
    path.unlink()


def test_every_pair_that_is_published_is_measured_unless_one_is_named(
    options: dict[str, str], models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(models / "detector/other", models / "detector/fast")
    for detector in ("other", "fast"):
        assert run("fit", {**options, "--detector": detector, "--form": "shared"}) == 0
    pairs = ["one--fast", "one--other"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == pairs
    (models / "detector/DEFAULT").write_text("other")
    del options["--detector"]
    capsys.readouterr()
    assert run("evaluate", options) == 0
    measured = capsys.readouterr().out.splitlines()
    for line, pair in zip(measured, reversed(pairs), strict=True):
        assert line == f"{models}/rescoring/{pair}/manifest.json: every figure as published."
    (models / "rescoring/one--fast/manifest.json").write_text("{}")
    assert run("evaluate", options) == 1
    assert "one--fast/manifest.json is no rescoring" in capsys.readouterr().err
    (models / "detector/DEFAULT").unlink()
    shutil.rmtree(models / "rescoring")
    shutil.rmtree(models / "detector/fast")


def test_answers_are_kept_until_something_that_made_them_changes(
    data: SyntheticData, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = ReaderPair.load(models / "classifier/one", models / "detector/other")
    films = validation_films(data.nih, data.chestxdet)
    path = tmp_path / "kept/answers.npz"
    first = kept_answers(readers, films.images, path)
    assert first.truth.sum() == sum(len(image.boxes) for image in films.images)
    assert len(np.unique(first.label)) > 1
    asked: list[int] = []

    def collect(_readers: ReaderPair, images: Sequence[AnnotatedImage]) -> Answers:
        asked.append(len(images))
        return first

    monkeypatch.setattr("cxr_training.rescoring.answers.collect", collect)
    second = kept_answers(readers, films.images, path)
    assert not asked
    np.testing.assert_array_equal(second.score, first.score)
    np.testing.assert_array_equal(second.hit, first.hit)
    kept_answers(readers, films.images[1:], path)
    path.write_bytes(b"cut short")
    kept_answers(readers, films.images, path)
    assert asked == [len(films.images) - 1, len(films.images)]


@pytest.mark.parametrize(
    ("changed", "says"),
    [("--classifier", "There is no model folder at"), ("--data", "nih: no Data_Entry_2017")],
)
def test_what_is_missing_is_a_sentence(
    options: dict[str, str],
    tmp_path: Path,
    changed: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("fit", {**options, changed: str(tmp_path / "nowhere")}) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error


def test_a_detector_that_does_not_know_every_region_is_a_sentence(
    options: dict[str, str], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detector_folder(models / "detector/few", regions=[Region.MASS, Region.NODULE])
    assert run("fit", {**options, "--detector": "few"}) == 1
    assert "few does not know Atelectasis, Calcification" in capsys.readouterr().err


def test_the_detector_is_the_served_one_unless_another_is_named(
    options: dict[str, str], models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del options["--detector"]
    (models / "detector/DEFAULT").write_text("gone")
    assert run("fit", options) == 1
    assert "DEFAULT names 'gone'" in capsys.readouterr().err
    (models / "detector/DEFAULT").unlink()
