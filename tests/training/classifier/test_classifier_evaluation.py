"""A published classifier is evaluated from its own files, and its manifest is held to them."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_training.cli import main
from support.synthetic_manifest import whole_rows, write_manifest

pytestmark = pytest.mark.slow

PLOTS = ("reliability.png", "operating_points.png")
Change = Callable[[dict[str, Any]], None]
Changed = Callable[[Change], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data(quick_root: Path) -> Path:
    return quick_root


@pytest.fixture(scope="module")
def published(quick_root: Path) -> Path:
    return quick_root / "models/classifier/lite0-nih14"


@pytest.fixture(scope="module")
def results(published: Path, data: Path) -> Path:
    """Of the validation patients."""
    assert evaluate(published, data, data / "results") == 0
    return data / "results"


@pytest.fixture
def changed(published: Path, tmp_path: Path) -> Changed:
    """Copy the model with its manifest changed."""

    def copy(change: Change) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(published, folder)
        manifest = manifest_of(folder)
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return copy


def manifest_of(model: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((model / "manifest.json").read_text())
    return manifest


def labels_of(model: Path) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = manifest_of(model)["labels"]
    return labels


def evaluate(model: Path, data: Path, results: Path, *more: str) -> int:
    command = ["evaluate", "--model", str(model), "--data", str(data), "--results", str(results)]
    return main(["classifier", *command, *more])


def verify(model: Path, data: Path) -> int:
    return main(["classifier", "verify", "--model", str(model), "--data", str(data)])


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_published_is_measured_again_and_written_down(
    results: Path, published: Path
) -> None:
    names = {path.name for path in results.iterdir()}
    assert {*PLOTS, "figures.csv", "README.md", "curves.png"} <= names
    manifest = manifest_of(published)
    measured = {
        (line["figure"], line["subset"]): line for line in lines_of(results / "figures.csv")
    }
    for row in manifest["metrics"]:
        line = measured[row["name"], row["subset"]]
        assert float(line["value"]) == pytest.approx(row["result"]["value"], abs=2e-3)
    # The detail of each label in each subgroup is here and not in the manifest.
    assert len(measured) > len(manifest["metrics"])


def test_verifying_what_is_right_changes_nothing(published: Path, data: Path) -> None:
    before = files_of(published)
    assert verify(published, data) == 0
    assert files_of(published) == before


def test_the_page_names_the_model_the_split_and_the_command(
    results: Path, published: Path, data: Path
) -> None:
    manifest, page = manifest_of(published), (results / "README.md").read_text()
    for said in (
        "lite0-nih14, version 2",
        manifest["weights"]["sha256"],
        manifest["onnx"]["sha256"],
        manifest["data"]["split_sha256"],
        "cxr classifier evaluate --model models/classifier/lite0-nih14 --split validation",
        "a sensitivity of 0.8",
        "| sex=F |",
        "| view=AP |",
        "### Where the maps point",
    ):
        assert said in page
    assert str(data) not in page
    linked = {word.partition(")")[0] for word in page.split("](")[1:]}
    assert {name for name in linked if not (results / name).exists()} == set()


def test_the_manifest_has_the_maps_figures_beside_their_baselines(published: Path) -> None:
    metrics = manifest_of(published)["metrics"]
    points = {row["subset"]: row for row in metrics if row["name"] == "pointing_game"}
    assert {"all", "all/baseline=prior", "all/baseline=centre"} <= set(points)
    assert points["all"]["n"] > 5


def test_the_card_says_how_subgroups_fare_and_what_is_learned_from_what(published: Path) -> None:
    card = (published / "MODEL_CARD.md").read_text()
    assert "| sex=F |" in card
    assert "## Calibration and evidence levels" in card
    assert "does not redistribute" in card
    learned = "Pneumonia is learned from large source images alone from epoch 2 on, and from all"
    assert learned in card


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("value", "auroc_mean of all: published"),
        ("n", "auroc_mean of all: published of"),
        ("threshold", "threshold of Effusion: shipped"),
        ("surplus", "auroc_mean of source=huge: published, but not measured"),
        ("missing", "14 figures measured, but not published: ece"),
    ],
)
def test_a_manifest_that_says_otherwise_is_found_out(
    changed: Changed, kind: str, said: str, data: Path, capsys: Capture
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        row = manifest["metrics"][0]
        if kind == "value":
            row["result"]["value"] += 0.01
        elif kind == "n":
            row["n"] += 1
        elif kind == "threshold":
            manifest["labels"][2]["threshold"] += 0.01
        elif kind == "surplus":
            manifest["metrics"].append(row | {"subset": "source=huge"})
        else:
            manifest["metrics"] = [row for row in manifest["metrics"] if row["name"] != "ece"]

    model = changed(change)
    before = files_of(model)
    assert verify(model, data) == 1
    assert said in capsys.readouterr().out
    assert files_of(model) == before


def test_files_that_are_not_those_of_the_manifest_are_not_evaluated(
    changed: Changed, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = changed(lambda _: None)
    weights = bytearray((model / "model.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (model / "model.onnx").write_bytes(weights)
    assert evaluate(model, data, tmp_path / "results") == 2
    assert "was changed after it was published" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_model_of_other_patients_is_evaluated_as_shipped_and_not_verified(
    changed: Changed, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = changed(lambda manifest: manifest["data"].update(split_sha256="0" * 64))
    assert verify(model, data) == 2
    assert "evaluated on other patients" in capsys.readouterr().err
    assert evaluate(model, data, tmp_path / "results") == 0
    assert "evaluated as shipped" in (tmp_path / "results/README.md").read_text()


def test_a_model_without_figures_gets_them_by_its_own_calibration(
    classifier_folder: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert verify(classifier_folder, data) == 2
    assert "carries no figures to compare with" in capsys.readouterr().err
    assert evaluate(classifier_folder, data, tmp_path) == 0
    thresholds = [x for x in lines_of(tmp_path / "figures.csv") if x["figure"] == "threshold"]
    assert {(line["value"], line["low"]) for line in thresholds} == {("0.5000", "0.5000")}


def test_a_hospitals_own_images_are_evaluated_from_their_csv(
    classifier_folder: Path, tmp_path: Path
) -> None:
    own = write_manifest(tmp_path / "own.csv", whole_rows())
    results = tmp_path / "results"
    command = ["evaluate", "--model", str(classifier_folder), "--manifest", str(own)]
    assert main(["classifier", *command, "--results", str(results)]) == 0
    page = (results / "README.md").read_text()
    assert "--manifest own.csv" in page
    assert "14 images of 5 validation patients" in page
    assert str(tmp_path) not in page


def test_figures_of_test_patients_go_into_manifest_and_card_and_are_verified(
    changed: Changed, published: Path, data: Path, tmp_path: Path
) -> None:
    model = changed(lambda _: None)
    assert evaluate(model, data, tmp_path / "results", "--split", "test") == 0
    rows = manifest_of(model)["metrics"]
    held_out = [row for row in rows if row["split"] == "test"]
    assert [row for row in rows if row["split"] == "validation"] == manifest_of(published)[
        "metrics"
    ]
    [mean] = [row for row in held_out if (row["name"], row["subset"]) == ("auroc_mean", "all")]
    assert mean["n"] == 90
    assert [row for row in held_out if row["name"] == "pointing_game"]
    # Nothing was fitted: calibration and thresholds are those that were shipped, and what the
    # levels mean is what they mean for these patients.
    for found, shipped in zip(labels_of(model), labels_of(published), strict=True):
        for level in ("possible", "likely"):
            point, fitted = found["levels"].pop(level), shipped["levels"].pop(level)
            assert (point["split"], fitted["split"]) == ("test", "validation")
            assert point["n"] == 90
            assert point["threshold"] == fitted["threshold"]
        assert found == shipped
    card = (model / "MODEL_CARD.md").read_text()
    assert "measured on 90 images of test patients" in card
    assert 0 < card.index("## Results on test patients") < card.index("## Results on validation")
    assert "90 images of 45 test patients" in (tmp_path / "results/test/README.md").read_text()
    assert verify(model, data) == 0
    # Again: they are replaced, not added.
    assert evaluate(model, data, tmp_path / "results", "--split", "test") == 0
    assert len(manifest_of(model)["metrics"]) == len(rows)


def test_a_model_without_levels_gets_them_and_can_then_be_verified(
    changed: Changed, published: Path, data: Path, capsys: Capture
) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        for label in manifest["labels"]:
            label.update(levels=None, threshold=0.5, threshold_rule="youden")

    model = changed(forget)
    assert verify(model, data) == 1
    assert "Mass has no evidence levels: run `cxr classifier levels`" in capsys.readouterr().out
    command = ["levels", "--model", str(model), "--data", str(data)]
    assert main(["classifier", *command]) == 0
    assert "90 images of test patients" in capsys.readouterr().out
    for found, fitted in zip(labels_of(model), labels_of(published), strict=True):
        assert (found["slope"], found["intercept"]) == (fitted["slope"], fitted["intercept"])
        assert found["threshold"] == found["levels"]["possible"]["threshold"]
        for level in ("possible", "likely"):
            point, other = found["levels"][level], fitted["levels"][level]
            assert (point["rule"], point["split"]) == (other["rule"], "test")
            assert point["threshold"] == pytest.approx(other["threshold"], abs=1e-6)
    assert verify(model, data) == 0


def test_a_model_that_was_trained_elsewhere_gets_levels_and_figures_of_test_patients_alone(
    classifier_folder: Path, data: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(classifier_folder, tmp_path / "model")
    manifest = manifest_of(model)
    facts = {"file": "weights.pt", "sha256": "0" * 64}
    manifest["extra"] = {
        "imported": facts,
        "outputs": [],
        "dropped": [],
        "calibration": "None.",
        "threshold": "theirs",
    }
    manifest["training"]["recipe"] = {}
    (model / "manifest.json").write_text(json.dumps(manifest))
    assert main(["classifier", "levels", "--model", str(model), "--data", str(data)]) == 0
    found = manifest_of(model)
    assert {row["split"] for row in found["metrics"]} == {"test"}
    for label, before in zip(found["labels"], manifest["labels"], strict=True):
        assert (label["slope"], label["intercept"]) == (before["slope"], before["intercept"])
        assert label["levels"]["likely"]["split"] == "test"
    card = (model / "MODEL_CARD.md").read_text()
    assert "Imported weights" in card
    assert "What the levels mean, measured on 90 images of test patients" in card
    assert verify(model, data) == 0
    assert evaluate(model, data, tmp_path / "results") == 0
    page = (tmp_path / "results/README.md").read_text()
    assert "fitted to these very patients" in page


def test_a_run_never_sees_test_patients(data: Path, capsys: Capture) -> None:
    run = ["evaluate", "--run", str(data / "run"), "--data", str(data), "--split", "test"]
    assert main(["classifier", *run]) == 2
    assert "publish the run first" in capsys.readouterr().err
