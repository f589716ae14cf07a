"""A published classifier is judged from its own files, and its manifest is held to the outcome."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_contracts import Finding
from cxr_training.classifier.__main__ import main
from synthetic_manifest import whole_rows, write_manifest

CSVS = ("figures.csv", "reliability.csv", "operating_points.csv", "subgroups.csv", "curves.csv")
PLOTS = ("reliability.png", "operating_points.png", "subgroups.png", "curves.png")


@pytest.fixture(scope="module")
def data(smoke_root: Path) -> Path:
    return smoke_root


@pytest.fixture(scope="module")
def published(smoke_root: Path) -> Path:
    return smoke_root / "models/classifier/lite0-nih14"


@pytest.fixture(scope="module")
def judged(published: Path, data: Path) -> Path:
    results = data / "results"
    assert _judge(published, data, results, "--check") == 0
    return results


@pytest.fixture
def changed(published: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Copy the model with its manifest changed."""

    def copy(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(published, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return copy


def _judge(model: Path, data: Path, results: Path, *more: str) -> int:
    command = ["judge", "--model", str(model), "--data", str(data), "--results", str(results)]
    return main([*command, *more])


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_what_was_published_is_measured_again_and_written_down(
    judged: Path, published: Path
) -> None:
    names = {path.name for path in judged.iterdir()}
    assert {*CSVS, *PLOTS, "README.md"} <= names
    manifest = json.loads((published / "manifest.json").read_text())
    measured = {(line["figure"], line["subset"]): line for line in _lines(judged / "figures.csv")}
    for row in manifest["metrics"]:
        line = measured[row["name"], row["subset"]]
        assert float(line["value"]) == pytest.approx(row["result"]["value"], abs=2e-3)
    # The detail of each label in each subgroup is here and not in the manifest.
    assert len(measured) > len(manifest["metrics"])


def test_figures_that_a_model_was_published_without_are_added_to_what_is_right(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    published: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    def without_subgroups(manifest: dict[str, Any]) -> None:
        rows = manifest["metrics"]
        manifest["metrics"] = [row for row in rows if not row["subset"].startswith("sex=")]

    whole = json.loads((published / "manifest.json").read_text())["metrics"]
    model = changed(without_subgroups)
    kept = json.loads((model / "manifest.json").read_text())["metrics"]
    assert len(kept) < len(whole)
    assert _judge(model, data, tmp_path / "results", "--check") == 1
    assert _judge(model, data, tmp_path / "results", "--complete", "--check") == 0
    completed = json.loads((model / "manifest.json").read_text())["metrics"]
    assert completed[: len(kept)] == kept
    assert {(row["name"], row["subset"]) for row in completed} == {
        (row["name"], row["subset"]) for row in whole
    }
    assert "sex=F" in (model / "MODEL_CARD.md").read_text()


def test_nothing_is_added_to_a_manifest_that_is_wrong(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def flattered(manifest: dict[str, Any]) -> None:
        manifest["metrics"] = manifest["metrics"][:20]
        manifest["metrics"][0]["result"]["value"] += 0.01

    model = changed(flattered)
    before = (model / "manifest.json").read_text()
    assert _judge(model, data, tmp_path / "results", "--complete") == 1
    assert "so none are added" in capsys.readouterr().err
    assert (model / "manifest.json").read_text() == before


def test_each_label_has_its_operating_point_and_its_reliability(
    judged: Path, published: Path
) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    points = {line["finding"]: line for line in _lines(judged / "operating_points.csv")}
    for label in manifest["labels"]:
        point = points[label["name"]]
        assert float(point["threshold"]) == pytest.approx(label["threshold"], abs=2e-3)
        assert point["rule"] == label["threshold_rule"]
    assert "sensitivity 0.8" in {point["rule"] for point in points.values()}
    bins = _lines(judged / "reliability.csv")
    assert {line["finding"] for line in bins} == {label.value for label in Finding}
    n = {line["finding"]: 0 for line in bins}
    for line in bins:
        n[line["finding"]] += int(line["images"])
    assert set(n.values()) == {manifest["data"]["n_validation"]}


def test_the_page_names_the_model_the_split_and_the_command_and_takes_in_the_other_parts(
    judged: Path, published: Path, data: Path
) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    page = (judged / "README.md").read_text()
    for said in (
        "lite0-nih14, version 2",
        manifest["weights"]["sha256"],
        manifest["onnx"]["sha256"],
        manifest["data"]["split_sha256"],
        "cxr_training.classifier judge --model models/classifier/lite0-nih14 --data $DATA",
        "All agree.",
        "| a part | 0.01 |",
        "at least 0.8",
        "| sex=F |",
        "| view=AP |",
    ):
        assert said in page
    assert str(data) not in page
    linked = {word.partition(")")[0] for word in page.split("](")[1:]}
    assert {name for name in linked if not (judged / name).exists()} <= {
        "ablation.csv",
        "ablation.png",
    }


def test_the_curves_of_the_run_are_a_line_for_each_epoch_of_each_member(judged: Path) -> None:
    lines = _lines(judged / "curves.csv")
    assert [(line["member"], line["epoch"]) for line in lines] == [("1", "1"), ("2", "1")]
    for epoch in lines:
        assert float(epoch["train_loss"]) > 0
        assert 0 <= float(epoch["val_auroc.Effusion"]) <= 1


def test_maps_are_judged_against_boxes_for_the_manifest_the_card_and_the_page(
    judged: Path, published: Path
) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    points = {row["subset"]: row for row in manifest["metrics"] if row["name"] == "pointing_game"}
    assert {"all", "all/baseline=centre"} <= set(points)
    assert points["all"]["n"] > 5
    assert not [subset for subset in points if "boxes=" in subset or "called=" in subset]
    full = {line["subset"] for line in _lines(judged / "localisation.csv")}
    assert "all/boxes=nih" in full
    assert (judged / "localisation.png").exists()
    for page in (judged / "README.md", published / "MODEL_CARD.md"):
        assert "## Where the maps point" in page.read_text()


def test_the_card_says_how_subgroups_fare_and_why_no_failure_is_pictured(published: Path) -> None:
    card = (published / "MODEL_CARD.md").read_text()
    assert "| sex=F |" in card
    assert "## Calibration and operating points" in card
    assert "does not redistribute" in card
    learned = "Pneumonia is learned from large source images alone from epoch 4 on, and from all"
    assert learned in card


@pytest.mark.parametrize("kind", ["value", "n", "threshold", "surplus"])
def test_a_manifest_that_says_otherwise_is_found_out(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    kind: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        row = manifest["metrics"][0]
        if kind == "value":
            row["result"]["value"] += 0.01
        elif kind == "n":
            row["n"] += 1
        elif kind == "threshold":
            manifest["labels"][2]["threshold"] += 0.01
        else:
            manifest["metrics"].append(row | {"subset": "source=huge"})

    expected = {
        "value": "auroc_mean of all: published",
        "n": "auroc_mean of all: published of",
        "threshold": "threshold of Effusion: shipped",
        "surplus": "auroc_mean of source=huge: published, but not measured",
    }
    results = tmp_path / "results"
    model = changed(change)
    assert _judge(model, data, results, "--check") == 1
    said = capsys.readouterr()
    assert expected[kind] in said.err
    assert expected[kind] in (results / "README.md").read_text()
    assert "All agree." not in (results / "README.md").read_text()


def test_figures_that_a_manifest_leaves_out_are_missed(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["metrics"] = [row for row in manifest["metrics"] if row["name"] != "ece"]

    assert _judge(changed(change), data, tmp_path / "results", "--check") == 1
    assert "14 figures measured, but not published: ece" in capsys.readouterr().err


def test_files_that_are_not_those_of_the_manifest_are_not_judged(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = changed(lambda _: None)
    weights = bytearray((model / "model.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (model / "model.onnx").write_bytes(weights)
    assert _judge(model, data, tmp_path / "results") == 1
    assert "was changed after it was published" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_model_of_other_patients_is_judged_as_shipped_and_not_compared(
    changed: Callable[[Callable[[dict[str, Any]], None]], Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = changed(lambda manifest: manifest["data"].update(split_sha256="0" * 64))
    assert _judge(model, data, tmp_path / "results", "--check") == 1
    assert "judged on other patients" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
    assert _judge(model, data, tmp_path / "results") == 0
    page = (tmp_path / "results/README.md").read_text()
    assert "judged as shipped" in page
    assert "Against the manifest" not in page


def test_a_model_without_figures_gets_them_by_its_own_calibration(
    classifier_folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier_folder
    results = tmp_path / "results"
    assert _judge(model, data, results, "--check") == 1
    assert "carries no figures to compare with" in capsys.readouterr().err
    assert _judge(model, data, results) == 0
    points = _lines(results / "operating_points.csv")
    assert {(line["threshold"], line["threshold_low"]) for line in points} == {("0.5000", "0.5000")}
    assert {line["rule"] for line in points} == {"none"}


def test_a_hospitals_own_images_are_judged_from_their_csv(
    classifier_folder: Path, tmp_path: Path
) -> None:
    own = write_manifest(tmp_path / "own.csv", whole_rows())
    results = tmp_path / "results"
    command = ["judge", "--model", str(classifier_folder), "--manifest", str(own)]
    assert main([*command, "--results", str(results)]) == 0
    page = (results / "README.md").read_text()
    assert "--manifest own.csv" in page
    assert "14 images of 5 validation patients" in page
    assert str(tmp_path) not in page
