"""Published detectors are put side by side, and their manifests are held to what is measured."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_contracts import Region
from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import NIH, read_annotations
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.published import (
    BenchmarkSubset,
    evaluate_published,
    read_benchmark,
    verify_published,
    write_validation_figures,
)
from cxr_training.detector.report import write_results
from support.model_folders import write_detector_folder
from support.synthetic_radiographs import SyntheticData, write_small_data

pytestmark = pytest.mark.slow

# Intervals are not what is tested here, and a thousand resamples would take most of the time.
RESAMPLES = 20
RULE = "best F1 at IoU 0.5 with at least one in four right, on validation patients"
NIH_ALONE = [region for region in Region if region in NIH.regions]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def benchmark(data: SyntheticData) -> list[BenchmarkSubset]:
    return read_benchmark(data.nih.parent, Split.VALIDATION)


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, detector_folder: Path, data: SyntheticData
) -> Path:
    """Two detectors whose manifests say what was measured: of both sets and of NIH's alone."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(detector_folder, root / "yolov5n-both")
    write_detector_folder(root / "yolov5n-nih", seed=3, regions=NIH_ALONE, resize="stretch")
    for name, sets in (("yolov5n-both", ["nih", "chestx-det"]), ("yolov5n-nih", ["nih"])):
        state_figures(root / name, sets, data.nih.parent)
    return root


def state_figures(folder: Path, sets: list[str], data: Path) -> None:
    """Write a recipe and what the folder's own network is measured to be into its manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["name"] = folder.name
    manifest["training"]["recipe"] = {"data": {"sets": sets}, "seed": 20}
    splits = read_annotations(data, sets=sets).splits
    manifest["data"]["split_sha256"] = split_sha256(splits)
    # A first figure makes it a detector with figures; the second time they are those measured.
    result = {"value": 0, "low": 0, "high": 0}
    row = {"name": "map50", "subset": "all", "split": "validation", "result": result}
    manifest["metrics"] = [row | {"n": 0, "n_positive": 0}]
    for label in manifest["labels"]:
        label["threshold_rule"] = RULE
    path.write_text(json.dumps(manifest))
    measured = evaluate_published(folder, data, (), resamples=RESAMPLES)
    manifest["metrics"] = [row.model_dump() for row in measured.rows]
    for label, threshold in zip(manifest["labels"], measured.thresholds, strict=True):
        label |= {"threshold": threshold.score, "threshold_rule": threshold.rule}
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def results(
    models: Path,
    data: SyntheticData,
    benchmark: list[BenchmarkSubset],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "curves_yolov5n-nih.png").write_bytes(b"drawn when it was published")
    evaluations = [
        evaluate_published(models / name, data.nih.parent, benchmark, resamples=RESAMPLES)
        for name in ("yolov5n-both", "yolov5n-nih")
    ]
    write_results(evaluations, folder, Split.VALIDATION, default="yolov5n-both")
    return folder


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_detector_has_its_figures_on_its_own_boxes_and_on_the_benchmark(
    results: Path, models: Path
) -> None:
    rows = {(r["model"], r["figure"], r["subset"]): r for r in lines_of(results / "figures.csv")}
    for name in ("yolov5n-both", "yolov5n-nih"):
        manifest = json.loads((models / name / "manifest.json").read_text())
        for metric in manifest["metrics"]:
            row = rows[name, metric["name"], metric["subset"]]
            assert float(row["value"]) == pytest.approx(metric["result"]["value"], abs=2e-3)
        for subset in ("nih", "chestx-det", "both"):
            assert (name, "map50_known", f"boxes={subset}/classes=shared") in rows
    whole = "boxes={}/classes=all"
    assert ("yolov5n-both", "map50_known", whole.format("chestx-det")) in rows
    # Eight of its regions are all that NIH marks, and not all that ChestX-Det does.
    assert ("yolov5n-nih", "map50_known", whole.format("nih")) in rows
    assert ("yolov5n-nih", "map50_known", whole.format("chestx-det")) not in rows
    assert ("yolov5n-nih", "ap50_known", "boxes=chestx-det/Mass") in rows
    gain = rows["yolov5n-nih", "map50_known_gain", "boxes=nih/classes=all/over=yolov5n-both"]
    one, other = (
        float(rows[name, "map50_known", "boxes=nih/classes=all"]["value"])
        for name in ("yolov5n-nih", "yolov5n-both")
    )
    assert float(gain["value"]) == pytest.approx(one - other, abs=2e-4)
    assert not [key for key in rows if key[0] == "yolov5n-both" and "gain" in key[1]]


def test_the_same_images_and_boxes_are_behind_every_row_of_the_benchmark(results: Path) -> None:
    counts = {
        (row["subset"], row["images"], row["boxes"])
        for row in lines_of(results / "figures.csv")
        if row["subset"].endswith("classes=shared") and row["figure"] == "map50_known"
    }
    assert len(counts) == 3
    # Eight images with a box of each, two of them of regions that ChestX-Det does not mark.
    assert ("boxes=nih/classes=shared", "8", "6") in counts


def test_the_page_links_to_what_is_there(results: Path, data: SyntheticData) -> None:
    page = (results / "README.md").read_text()
    assert "| **yolov5n-both 0** (default) | yolov5n, 160 px | NIH and ChestX-Det | 15 |" in page
    assert "curves_yolov5n-nih.png" in page
    assert "curves_yolov5n-both.png" not in page
    assert str(data.nih) not in page
    linked = {word.partition(")")[0] for word in page.split("](")[1:]}
    assert not {name for name in linked if "/" not in name and name[0] != "#"} - {
        path.name for path in results.iterdir()
    }


def test_froc_curves_rise_and_are_drawn(
    results: Path, models: Path, data: SyntheticData, benchmark: list[BenchmarkSubset]
) -> None:
    assert (results / "froc.png").stat().st_size > 10_000
    measured = evaluate_published(models / "yolov5n-nih", data.nih.parent, benchmark, resamples=2)
    for curve in (measured.curve, *(one.curve for one in measured.subsets.values())):
        assert list(curve) == sorted(curve)


def test_a_true_manifest_is_verified(models: Path, data: SyntheticData) -> None:
    assert verify_published(models / "yolov5n-nih", data.nih.parent, resamples=RESAMPLES) == []


@pytest.fixture
def changed(models: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """Copy the detector of NIH's boxes with its manifest changed."""

    def copy(change: Change) -> Path:
        folder = Path(shutil.copytree(models / "yolov5n-nih", tmp_path / "changed"))
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return copy


def test_a_manifest_that_says_otherwise_is_found_out(
    changed: Callable[[Change], Path], data: SyntheticData
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["metrics"][0]["result"]["value"] += 0.01
        manifest["labels"][2]["threshold"] -= 0.05

    sentences = verify_published(changed(change), data.nih.parent, resamples=RESAMPLES)
    assert len(sentences) >= 2
    assert any("map50 of all" in sentence for sentence in sentences)
    assert any(f"threshold of {NIH_ALONE[2].value}" in sentence for sentence in sentences)


def test_figures_of_another_part_of_the_data_are_measured_anew(
    changed: Callable[[Change], Path], data: SyntheticData
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["data"]["split_sha256"] = "0" * 64
        manifest["training"]["recipe"]["n_background"] = 0
        manifest["metrics"][0]["result"]["value"] += 0.01
        manifest["labels"][2]["threshold"] -= 0.05

    folder = changed(change)
    measured = evaluate_published(folder, data.nih.parent, (), resamples=RESAMPLES)
    write_validation_figures(folder, measured)
    assert verify_published(folder, data.nih.parent, resamples=RESAMPLES) == []


def test_thresholds_of_an_earlier_rule_are_the_detectors_own(
    changed: Callable[[Change], Path], data: SyntheticData
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for label in manifest["labels"]:
            label |= {"threshold": 0.987, "threshold_rule": "best F1 at IoU 0.5"}

    measured = evaluate_published(changed(change), data.nih.parent, (), resamples=RESAMPLES)
    assert {threshold.score for threshold in measured.thresholds} == {0.987}


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": []},
        {"data": {"split_sha256": "0" * 64}},
        {"training": {"recipe": {"name": "x"}}},
    ],
)
def test_what_cannot_be_compared_is_refused(
    changed: Callable[[Change], Path], data: SyntheticData, change: dict[str, Any]
) -> None:
    def merge(manifest: dict[str, Any]) -> None:
        for key, value in change.items():
            manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value

    with pytest.raises(PublishError):
        verify_published(changed(merge), data.nih.parent, resamples=RESAMPLES)


def test_weights_that_are_not_those_of_the_manifest_are_never_opened(
    changed: Callable[[Change], Path], data: SyntheticData
) -> None:
    folder = changed(lambda _: None)
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(ModelFolderError):
        evaluate_published(folder, data.nih.parent, (), resamples=RESAMPLES)
