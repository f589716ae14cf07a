"""What the user can mend is said in a sentence, with file and entry, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_training.cli import main
from support.synthetic_radiographs import SyntheticData, write_small_data

CONFIG = Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"


def edit_entry(data: SyntheticData, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change ChestX-Det's entry of `3.png`."""
    path = data.chestxdet / "ChestX_Det_train.json"
    entries = json.loads(path.read_text())
    edit(next(entry for entry in entries if entry["file_name"] == "3.png"))
    path.write_text(json.dumps(entries))


def edit_row(data: SyntheticData, column: int, value: str) -> None:
    """Change a field of the first row (line 2) of NIH's boxes."""
    path = data.nih / "BBox_List_2017.csv"
    lines = path.read_text().splitlines()
    fields = lines[1].split(",")
    fields[column] = value
    path.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")


def without(data: SyntheticData, label: str) -> None:
    """Take all of ChestX-Det's boxes of a label away."""
    path = data.chestxdet / "ChestX_Det_train.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        kept = [i for i, name in enumerate(entry["syms"]) if name != label]
        for key in ("syms", "boxes"):
            entry[key] = [entry[key][i] for i in kept]
    path.write_text(json.dumps(entries))


CASES: dict[str, tuple[Callable[[SyntheticData], object], list[str]]] = {
    "an NIH box outside its image": (
        lambda data: edit_row(data, 4, "5000"),
        ["BBox_List_2017.csv:2: ", "lies outside the 1024 x 1024 frame"],
    ),
    "an NIH box of no area": (
        lambda data: edit_row(data, 4, "0"),
        ["BBox_List_2017.csv:2: ", "has no area"],
    ),
    "an unknown NIH label": (
        lambda data: edit_row(data, 1, "Measles"),
        ["BBox_List_2017.csv:2: ", "Measles"],
    ),
    "a ChestX-Det box outside its image": (
        lambda data: edit_entry(data, lambda entry: entry.update(boxes=[[0, 0, 9, 2000]])),
        ["ChestX_Det_train.json: entry '3.png': ", "lies outside the 1024 x 1024 frame"],
    ),
    "a ChestX-Det box of no area": (
        lambda data: edit_entry(data, lambda entry: entry.update(boxes=[[9, 0, 9, 20]])),
        ["ChestX_Det_train.json: entry '3.png': ", "has no area"],
    ),
    "an unknown ChestX-Det label": (
        lambda data: edit_entry(data, lambda entry: entry.update(syms=["Measles"])),
        ["ChestX_Det_train.json: entry '3.png': ", "Measles"],
    ),
    "an image that the JSON names and the folder lacks": (
        lambda data: (data.chestxdet / "train" / "3.png").unlink(),
        ["ChestX_Det_train.json: entry '3.png': no such image in"],
    ),
    "a class without a training box": (
        lambda data: without(data, "Fracture"),
        ["ChestX_Det_train.json: no box of Fracture on any training patient"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_data_ends_the_run_with_a_sentence(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_small_data(tmp_path / "data")
    spoil, parts = CASES[case]
    spoil(data)
    out = tmp_path / "run"
    folders = ["--data", str(data.nih.parent), "--out", str(out)]
    assert main(["detector", "train", "--config", str(CONFIG), *folders]) == 2
    said = capsys.readouterr().err
    assert said.startswith("detector: ")
    assert said.count("\n") == 1
    for part in parts:
        assert part in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("architecture=yolov5q", "Ultralytics has no network named 'yolov5q'"),
        ("device=gpu", "device"),
    ],
)
def test_a_recipe_that_cannot_be_trained_ends_with_a_sentence(
    change: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data", str(tmp_path), "--out", str(tmp_path / "x")]
    assert main(["detector", "train", "--config", str(CONFIG), "--set", change, *folders]) == 2
    assert sentence in capsys.readouterr().err


def test_going_on_with_a_run_that_was_never_begun_ends_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data", str(tmp_path), "--out", str(tmp_path / "x")]
    assert main(["detector", "train", "--config", str(CONFIG), "--resume", *folders]) == 2
    assert "run `train` first" in capsys.readouterr().err
