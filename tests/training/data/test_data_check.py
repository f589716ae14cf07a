"""`cxr data check`: every problem by file, and the numbers of what there is."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cxr_training.cli import main
from cxr_training.data.collection import read_collection
from cxr_training.data.nih import read_images
from cxr_training.data.splits import Split, split_sha256
from support.synthetic_manifest import whole_rows, write_manifest
from support.synthetic_radiographs import SyntheticData

ROOT = Path(__file__).parents[3]
MASS = ("Mass", 100.0, 100.0, 300.0, 300.0)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> SyntheticData:
    """Four training patients and a validation patient; two of them in both sets."""
    data = SyntheticData(tmp_path)
    names = [
        data.add(Split.TRAIN, findings="Mass", nih=[MASS], side_px=48),
        data.add(Split.TRAIN, findings="Mass|Hernia", det=[MASS, MASS], side_px=32),
        data.add(Split.VALIDATION, det=[], side_px=32),
        data.add(Split.TRAIN, side_px=32),
        data.add(Split.TRAIN, side_px=32),
    ]
    data.write()
    (data.nih / "train_val_list.txt").write_text("\n".join(names[1:]))
    (data.nih / "test_list.txt").write_text(names[0])
    return data


def checked(capsys: Capture, *paths: Path) -> tuple[int, str]:
    status = main(["data", "check", *map(str, paths)])
    return status, capsys.readouterr().out


def row_of(out: str, name: str) -> list[str]:
    (line,) = (line for line in out.splitlines() if line.startswith(f"{name}  "))
    return line.removeprefix(name).split()


def test_a_clean_folder_of_both_sets_is_counted(data: SyntheticData, capsys: Capture) -> None:
    status, out = checked(capsys, data.nih.parent)
    assert status == 0
    assert "problem:" not in out
    assert row_of(out, "patients") == row_of(out, "images") == ["4", "1", "0"]
    assert row_of(out, "Mass") == ["2", "0", "0"]
    assert row_of(out, "No Finding") == ["2", "1", "0"]
    assert row_of(out, "ChestX-Det images") == ["1", "1", "0"]
    assert row_of(out, "boxes of NIH") == ["1", "0", "0"]
    assert row_of(out, "boxes of ChestX-Det") == ["2", "0", "0"]
    # Five of NIH and two of ChestX-Det.
    assert "32x32: 6, 48x48: 1" in out
    assert split_sha256(read_collection(data.nih).splits) in out
    assert out.endswith("0 problem(s)\n")
    assert "note: no validation image is positive for" in out


def test_each_set_is_checked_alone(data: SyntheticData, capsys: Capture) -> None:
    status, out = checked(capsys, data.nih)
    assert status == 0
    assert row_of(out, "images") == ["4", "1", "0"]
    status, out = checked(capsys, data.chestxdet)
    assert status == 0
    assert row_of(out, "ChestX-Det images") == ["1", "1", "0"]
    assert "NIH's lists are not here" in out


def test_a_manifest_is_checked_alone_and_beside_nih(
    data: SyntheticData, tmp_path: Path, capsys: Capture
) -> None:
    synthetic = {"image": "s.png", "patient": "s", "findings": "Hernia", "synthetic": "1"}
    manifest = write_manifest(tmp_path / "site/manifest.csv", [*whole_rows(), synthetic])
    status, out = checked(capsys, manifest)
    assert status == 0
    assert row_of(out, "images") == ["15", "14", "0"]
    status, out = checked(capsys, data.nih, manifest)
    assert status == 0
    assert row_of(out, "images") == ["19", "15", "0"]
    assert row_of(out, "of them synthetic") == ["1", "0", "0"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:120])


def names_of(root: Path) -> list[str]:
    return [image.name for image in read_images(root)]


Breakage = Callable[[SyntheticData], object]


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BREAKAGES: dict[str, tuple[Breakage, str]] = {
    "a cut NIH image": (
        lambda data: cut(data.nih / "images" / names_of(data.nih)[0]),
        r"images/\d{8}_000\.png: is not a readable image",
    ),
    "a cut ChestX-Det image": (
        lambda data: cut(data.chestxdet / "train/0.png"),
        r"train/0\.png: is not a readable image",
    ),
    "an unlabelled image": (
        lambda data: Image.new("L", (9, 9)).save(data.nih / "images/00000999_000.png"),
        r"00000999_000\.png: has no row in Data_Entry",
    ),
    "an unknown finding": (
        lambda data: _replace(data.nih / "Data_Entry_2017_v2020.csv", "Mass|Hernia", "Measles"),
        r"Data_Entry_2017_v2020\.csv:3: 'Measles'",
    ),
    "a box outside": (
        lambda data: _replace(data.nih / "BBox_List_2017.csv", "100.0,100.0", "900.0,900.0"),
        r"BBox_List_2017\.csv:2: .* lies outside the 1024 x 1024 frame",
    ),
    "a box of an unknown image": (
        lambda data: _replace(
            data.nih / "BBox_List_2017.csv", names_of(data.nih)[0], "00000999_000.png"
        ),
        r"BBox_List_2017\.csv: 00000999_000\.png has no row",
    ),
    "a missing list": (
        lambda data: (data.nih / "test_list.txt").unlink(),
        r"test_list\.txt: is missing: patients of NIH's test would be trained on",
    ),
    "missing boxes": (
        lambda data: (data.nih / "BBox_List_2017.csv").unlink(),
        r"BBox_List_2017\.csv: is missing",
    ),
    "a patient in both lists": (
        lambda data: (data.nih / "test_list.txt").write_text(names_of(data.nih)[1]),
        r"test_list\.txt: patient \d{8} is in train_val_list\.txt, too",
    ),
    "no label file": (
        lambda data: (data.nih / "Data_Entry_2017_v2020.csv").unlink(),
        r"nih: no Data_Entry_2017\*\.csv",
    ),
    "no annotations": (
        lambda data: (data.chestxdet / "ChestX_Det_train.json").unlink(),
        r"ChestX_Det_train\.json: is missing",
    ),
    "a name that NIH does not have": (
        lambda data: _replace(
            data.chestxdet / "name_map.csv", names_of(data.nih)[1], "00000999_000.png"
        ),
        r"name_map\.csv: 0\.png is 00000999_000\.png, which NIH's label file does not have",
    ),
    # ChestX-Det's image of a training patient, said to be of the validation patient.
    "a patient who crosses": (
        lambda data: (
            (data.chestxdet / "name_map.csv").write_text(
                f"chestxdet_name,nih_name\n0.png,{names_of(data.nih)[2]}\n"
                f"1.png,{names_of(data.nih)[1]}\n"
            )
            and None
        ),
        r"train/0\.png: is the same image as .* is in validation and patient \d{8} in train",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_is_missing_or_corrupt_is_named_with_its_file(
    data: SyntheticData, capsys: Capture, name: str
) -> None:
    breakage, said = BREAKAGES[name]
    breakage(data)
    status, out = checked(capsys, data.nih.parent)
    assert status == 2
    problems = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert any(re.search(said, line) for line in problems), out


def test_all_problems_are_listed_not_the_first(data: SyntheticData, capsys: Capture) -> None:
    cut(data.chestxdet / "train/0.png")
    cut(data.chestxdet / "train/1.png")
    _replace(data.nih / "Data_Entry_2017_v2020.csv", "Mass|Hernia", "Measles")
    annotations = data.chestxdet / "ChestX_Det_train.json"
    entries = json.loads(annotations.read_text())
    entries[1]["syms"] = ["Mumps"]
    annotations.write_text(json.dumps(entries))
    status, out = checked(capsys, data.nih.parent)
    assert status == 2
    for said in ("train/0.png", "train/1.png", "'Measles'", "entry '1.png'"):
        assert len([line for line in out.splitlines() if said in line]) == 1, said
    assert out.endswith("4 problem(s)\n")


def test_every_bad_row_of_a_manifest_beside_nih_is_listed(
    data: SyntheticData, tmp_path: Path, capsys: Capture
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", whole_rows())
    cut(tmp_path / "images/train-Mass.png")
    _replace(manifest, ",Nodule,", ",Nodules,")
    (tmp_path / "images/train-Hernia.png").unlink()
    Image.new("L", (9, 9)).save(tmp_path / "images/stray.png")
    status, out = checked(capsys, data.nih, manifest)
    assert status == 2
    for said in (
        "manifest.csv:7: 'Nodules'",
        "manifest.csv:15: image 'images/train-Hernia.png': no such file",
        "images/stray.png: has no row in",
        "images/train-Mass.png: is not a readable image",
    ):
        assert said in out
    assert "train-Nodule.png: has no row" not in out
    assert out.endswith("4 problem(s)\n")


def test_rows_without_a_file_are_a_note(data: SyntheticData, capsys: Capture) -> None:
    (data.nih / "images" / names_of(data.nih)[4]).unlink()
    status, out = checked(capsys, data.nih.parent)
    assert status == 0
    assert "note: " in out
    assert "1 row(s) of the label file without an image here" in out
    (data.chestxdet / "train/1.png").unlink()
    status, out = checked(capsys, data.nih.parent)
    assert status == 2
    assert "entry '1.png': no such image in" in out


def test_several_processes_find_the_same(data: SyntheticData, capsys: Capture) -> None:
    cut(data.chestxdet / "train/0.png")
    many = [data.nih / f"images/{number:08d}_009.png" for number in range(200)]
    for path in many:
        Image.new("L", (9, 9)).save(path)
    _, alone = checked(capsys, data.nih.parent)
    assert main(["data", "check", str(data.nih.parent), "--processes", "2"]) == 2
    assert capsys.readouterr().out == alone


def test_a_folder_that_is_no_data_set_is_a_sentence(tmp_path: Path, capsys: Capture) -> None:
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "is no NIH folder" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path / "absent")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_the_command_does_not_hide_an_exit_status(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("cxr")
    for arguments, status in ((["data", "check", "absent"], 2), (["data"], 2)):
        done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == status
