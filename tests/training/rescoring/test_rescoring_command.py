"""`cxr rescoring` on small data with real networks of random weights."""

import shutil
from pathlib import Path

import pytest

from cxr_contracts import Region, RescoringManifest
from cxr_training.cli import main
from support.model_folders import write_detector_folder
from support.synthetic_radiographs import SyntheticData, write_small_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def options(
    data: SyntheticData, classifier_folder: Path, detector_folder: Path, tmp_path: Path
) -> dict[str, str]:
    shutil.copytree(classifier_folder, tmp_path / "models/classifier/one")
    shutil.copytree(detector_folder, tmp_path / "models/detector/other")
    return {
        "--data": str(data.nih.parent),
        "--models": str(tmp_path / "models"),
        "--classifier": "one",
        "--detector": "other",
    }


def run(verb: str, options: dict[str, str], *more: str) -> int:
    return main(["rescoring", verb, *(part for pair in options.items() for part in pair), *more])


def test_nothing_is_shipped_that_does_not_help(options: dict[str, str], tmp_path: Path) -> None:
    stale = tmp_path / "models/rescoring/one--other/manifest.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("of other weights")
    assert run("fit", options, "--results", str(tmp_path / "results")) == 0
    assert not stale.exists()
    written = {path.name for path in (tmp_path / "results/one--other").iterdir()}
    assert written == {"README.md", "rescoring.csv"}


def test_what_is_published_is_measured_again_and_held_to_its_manifest(
    options: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "models/rescoring/one--other/manifest.json"
    results = ["--results", str(tmp_path / "results")]
    assert run("verify", options) == 2
    assert run("fit", options, "--force", *results) == 0
    published = path.read_bytes()
    assert run("verify", options) == 0
    assert path.read_bytes() == published
    del options["--detector"]
    assert run("evaluate", options, *results) == 0
    manifest = RescoringManifest.model_validate_json(published)
    metrics = [row.model_copy(update={"n": row.n + 1}) for row in manifest.metrics]
    path.write_text(manifest.model_copy(update={"metrics": metrics}).model_dump_json())
    capsys.readouterr()
    assert run("verify", options) == 1
    assert "map50_known of detector, all images" in capsys.readouterr().out
    other = manifest.detector.model_copy(update={"sha256": "0" * 64})
    path.write_text(manifest.model_copy(update={"detector": other}).model_dump_json())
    assert run("verify", options) == 2
    assert "was fitted to other models" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["--classifier", "--data"])
def test_what_is_missing_is_a_sentence(
    options: dict[str, str], tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", {**options, missing: str(tmp_path / "nowhere")}) == 2
    assert capsys.readouterr().err.startswith("rescoring: ")


def test_a_detector_that_does_not_know_every_region_is_a_sentence(
    options: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detector_folder(tmp_path / "models/detector/few", regions=[Region.MASS, Region.NODULE])
    assert run("fit", {**options, "--detector": "few"}) == 2
    assert "does not know Atelectasis, Calcification" in capsys.readouterr().err
