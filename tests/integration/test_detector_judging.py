"""Published detectors stand side by side, and their manifests are held to what is measured."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_contracts import Region
from cxr_training.core.errors import PublishError
from cxr_training.data.splits import split_sha256
from cxr_training.detector.__main__ import main
from cxr_training.detector.annotations import NIH_BOXED_REGIONS, BoxSet, read_annotations
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.judging import judge
from cxr_training.detector.judging.grounds import Ground, read_grounds
from cxr_training.detector.steps import run_judge
from cxr_training.detector.training import Sources
from cxr_training.joining.report import CSV_NAME
from model_folders import DETECTOR_PX, write_detector_folder
from synthetic_radiographs import SyntheticData, write_small_data

CONFIGS = Path(__file__).parents[2] / "training/configs/detector"
# Intervals are not what is tested here, and a thousand resamples would take most of the time.
RESAMPLES = 20
RULE = "best F1 at IoU 0.5 with at least one in four right, on validation patients"
NIH_ALONE = [region for region in Region if region in NIH_BOXED_REGIONS]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def grounds(data: SyntheticData) -> list[Ground]:
    return read_grounds(data.nih, data.chestxdet)


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory,
    detector_folder: Path,
    data: SyntheticData,
    grounds: list[Ground],
) -> Path:
    """Two detectors whose manifests say what was measured: of both sets and of NIH's alone."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(detector_folder, root / "yolov5n-both")
    write_detector_folder(root / "yolov5n-nih", seed=3, regions=NIH_ALONE, resize="stretch")
    for folder in (root / "yolov5n-both", root / "yolov5n-nih"):
        state_figures(folder, data, grounds)
    (root / "DEFAULT").write_text("yolov5n-both\n")
    return root


def state_figures(folder: Path, data: SyntheticData, grounds: list[Ground]) -> None:
    """Write a recipe and what the folder's own network is measured to be into its manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    config = DetectorConfig.read(CONFIGS / f"{folder.name}.yaml", [f"image_px={DETECTOR_PX}"])
    manifest["name"] = folder.name
    manifest["training"]["recipe"] = config.model_dump(mode="json") | {"epochs_run": 3}
    path.write_text(json.dumps(manifest))
    sets: tuple[BoxSet, ...] = config.data.sets
    annotations = read_annotations(
        data.nih, data.chestxdet, sets=sets, merge_iou=0.5, background_images=0, seed=0
    )
    manifest["data"]["split_sha256"] = split_sha256(annotations.splits)
    # A first figure makes it a model with figures; the second time they are those measured.
    manifest["metrics"] = [
        {
            "name": "map50",
            "subset": "all",
            "split": "validation",
            "result": {"value": 0, "low": 0, "high": 0},
            "n": 0,
            "n_positive": 0,
        }
    ]
    for label in manifest["labels"]:
        label["threshold_rule"] = RULE
    path.write_text(json.dumps(manifest))
    judged = judge(folder, data.nih, data.chestxdet, grounds, resamples=RESAMPLES)
    manifest["metrics"] = [row.model_dump() for row in judged.rows]
    for label, threshold in zip(manifest["labels"], judged.thresholds, strict=True):
        label |= {"threshold": threshold.score, "threshold_rule": threshold.rule}
    path.write_text(json.dumps(manifest))


def judged_into(
    results: Path, data: SyntheticData, *folders: Path, check: bool = False, joining: Path
) -> None:
    run_judge(
        folders,
        Sources(data.nih, data.chestxdet),
        results,
        joining=joining,
        check=check,
        resamples=RESAMPLES,
    )


@pytest.fixture(scope="module")
def results(models: Path, data: SyntheticData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    joining = root / "joining"
    joining.mkdir()
    sha256 = json.loads((models / "yolov5n-both/manifest.json").read_text())["weights"]["sha256"]
    write_joining(joining / CSV_NAME, sha256)
    folders = (models / "yolov5n-both", models / "yolov5n-nih")
    (root / "detector").mkdir()
    (root / "detector/curves_yolov5n-nih.png").write_bytes(b"drawn when it was published")
    judged_into(root / "detector", data, *folders, check=True, joining=joining)
    return root / "detector"


def write_joining(path: Path, sha256: str) -> None:
    header = "classifier,detector,weights,shipped,figure,of,split,value,low,high,n,n_positive"
    figures = ("map50_known", "froc_0.25_known", "froc_0.5_known", "froc_1_known")
    lines = [
        f'lite0,yolov5n-both,{sha256[:12]},shared,{name},"{form}, annotated films",'
        f"validation,{value},{value - 0.01},{value + 0.02},22,22"
        for form, value in (("detector", 0.31), ("pool", 0.2), ("shared", 0.42))
        for name in figures
    ]
    path.write_text("\n".join([header, *lines]) + "\n")


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_model_has_its_figures_on_its_own_and_on_common_ground(
    results: Path, models: Path
) -> None:
    rows = {(r["model"], r["figure"], r["subset"]): r for r in lines_of(results / "figures.csv")}
    for name in ("yolov5n-both", "yolov5n-nih"):
        manifest = json.loads((models / name / "manifest.json").read_text())
        for metric in manifest["metrics"]:
            row = rows[name, metric["name"], metric["subset"]]
            assert float(row["value"]) == pytest.approx(metric["result"]["value"], abs=2e-3)
        assert (name, "map50_ultralytics", "all") in rows
        for ground in ("nih", "chestx-det", "both"):
            assert (name, "map50_known", f"boxes={ground}/classes=shared") in rows
    whole = "boxes={}/classes=all"
    assert ("yolov5n-both", "map50_known", whole.format("chestx-det")) in rows
    # Eight of its regions are all that NIH marks, and not all that ChestX-Det does.
    assert ("yolov5n-nih", "map50_known", whole.format("nih")) in rows
    assert ("yolov5n-nih", "map50_known", whole.format("chestx-det")) not in rows
    assert ("yolov5n-nih", "froc_0.5", "Mass") in rows
    gain = rows["yolov5n-nih", "map50_known_gain", "boxes=nih/classes=all/over=yolov5n-both"]
    one, other = (
        float(rows[name, "map50_known", "boxes=nih/classes=all"]["value"])
        for name in ("yolov5n-nih", "yolov5n-both")
    )
    assert float(gain["value"]) == pytest.approx(one - other, abs=2e-4)
    assert not [key for key in rows if key[0] == "yolov5n-both" and "gain" in key[1]]


def test_the_same_films_and_boxes_stand_behind_every_models_row(results: Path) -> None:
    counts = {
        (row["subset"], row["images"], row["boxes"])
        for row in lines_of(results / "figures.csv")
        if row["subset"].endswith("classes=shared") and row["figure"] == "map50_known"
    }
    assert len(counts) == 3
    # Eight films with a box of each, two of them of regions that ChestX-Det does not mark.
    assert ("boxes=nih/classes=shared", "8", "6") in counts


def test_the_page_holds_all_rows_in_one_table_with_the_joined_ones(
    results: Path, data: SyntheticData
) -> None:
    page = (results / "README.md").read_text()
    assert "| **yolov5n-both 0** (default) | yolov5n, 160 px | NIH and ChestX-Det | 15 |" in page
    assert "| yolov5n-nih 0 | yolov5n, 160 px | NIH | 8 |" in page
    assert "| - joined with lite0 (`shared`)† |  |  |  | 0.420 (0.410 to 0.440) | - |" in page
    assert "alone, known classes† |  |  |  | 0.310" in page
    assert "`pool`" not in page
    assert "CXR_DETECTOR_MODEL=NAME" in page
    assert page.count("figures agree.") == 2
    assert "curves_yolov5n-nih.png" in page
    assert "curves_yolov5n-both.png" not in page
    assert str(data.nih) not in page
    linked = {word.partition(")")[0] for word in page.split("](")[1:]}
    assert not {name for name in linked if "/" not in name and name[0] != "#"} - {
        path.name for path in results.iterdir()
    }


def test_curves_are_written_as_numbers_and_drawn(results: Path) -> None:
    froc = lines_of(results / "froc.csv")
    assert {line["on"] for line in froc} >= {"own", "boxes=both/classes=shared"}
    own = [float(x["sensitivity"]) for x in froc if (x["model"], x["on"]) == ("yolov5n-nih", "own")]
    assert own == sorted(own)
    for name in ("map50.png", "froc.png", "precision_recall_yolov5n-nih.png"):
        assert (results / name).stat().st_size > 10_000
    models = {line["model"]: line for line in lines_of(results / "models.csv")}
    assert (
        int(models["yolov5n-both"]["parameters"]) > int(models["yolov5n-nih"]["parameters"]) > 1e6
    )
    assert float(models["yolov5n-nih"]["onnx_ms"]) > 0


@pytest.fixture
def changed(models: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Copy the detector of NIH's boxes with its manifest changed."""

    def copy(change: Callable[[dict[str, Any]], object]) -> Path:
        folder = Path(shutil.copytree(models / "yolov5n-nih", tmp_path / "changed"))
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return copy


def test_a_manifest_that_says_otherwise_is_found_out(
    changed: Callable[..., Path], data: SyntheticData, tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["metrics"][0]["result"]["value"] += 0.01
        manifest["labels"][2]["threshold"] -= 0.05

    results = tmp_path / "results"
    with pytest.raises(PublishError, match="2 figures are not those of their manifests") as error:
        judged_into(results, data, changed(change), check=True, joining=tmp_path)
    page = (results / "README.md").read_text()
    for said in ("map50 of all: published", f"threshold of {NIH_ALONE[2].value}: shipped"):
        assert said in str(error.value)
        assert said in page


def test_thresholds_of_an_earlier_rule_are_the_models_own(
    changed: Callable[..., Path], data: SyntheticData, tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for label in manifest["labels"]:
            label |= {"threshold": 0.987, "threshold_rule": "best F1 at IoU 0.5"}

    folder = changed(change)
    judged = judge(folder, data.nih, data.chestxdet, [], resamples=RESAMPLES)
    assert {threshold.score for threshold in judged.thresholds} == {0.987}


def judge_command(data: SyntheticData, results: Path, *folders: Path) -> int:
    named = [word for folder in folders for word in ("--model", str(folder))]
    sources = ["--nih", str(data.nih), "--chestx-det", str(data.chestxdet)]
    return main(["judge", *named, *sources, "--results", str(results), "--check"])


@pytest.mark.parametrize(
    "case",
    [
        ({"metrics": []}, "carries no figures to compare with"),
        ({"role": "classifier"}, "holds a classifier, and a detector is needed"),
        ({"data": {"split_sha256": "0" * 64}}, "was judged on other patients"),
        ({"training": {"recipe": {"name": "x"}}}, "does not say how they were made"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(
    changed: Callable[..., Path],
    data: SyntheticData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[dict[str, Any], str],
) -> None:
    change, says = case

    def merge(manifest: dict[str, Any]) -> None:
        for key, value in change.items():
            manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value

    results = tmp_path / "results"
    assert judge_command(data, results, changed(merge)) == 1
    error = capsys.readouterr().err
    assert error.startswith("judge: ")
    assert says in error
    assert not results.exists()


def test_weights_that_are_not_those_of_the_manifest_are_never_opened(
    changed: Callable[..., Path],
    data: SyntheticData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = changed(lambda _: None)
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    assert judge_command(data, tmp_path / "results", folder) == 1
    assert "was changed after it was published" in capsys.readouterr().err


def test_a_judgement_needs_a_model(data: SyntheticData, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["judge", "--nih", str(data.nih), "--chestx-det", str(data.chestxdet)])
    assert "judge needs --model" in capsys.readouterr().err
