"""The readers of the published layouts, on small folders written here in those layouts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Finding, Region
from cxr_training.data import chestxdet, nih
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, assign_splits, split_sha256

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
ROW = "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA"
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


@pytest.fixture
def nih_root(tmp_path: Path) -> Path:
    write_image(tmp_path / "images_001" / "images" / "00000001_000.png")
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROW}\n")
    return tmp_path


def test_a_row_becomes_an_image_with_its_findings(nih_root: Path) -> None:
    (image,) = nih.read_images(nih_root)
    assert image.findings == {Finding.CARDIOMEGALY, Finding.EMPHYSEMA}
    assert (image.patient, image.age_years, image.sex, image.view) == ("00000001", 57, "M", "PA")


def test_the_first_editions_ages_are_read(nih_root: Path) -> None:
    (nih_root / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROW.replace(',57,', ',057Y,')}\n")
    assert nih.read_images(nih_root)[0].age_years == 57
    (nih_root / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROW.replace(',57,', ',023M,')}\n")
    assert nih.read_images(nih_root)[0].age_years == 1


def test_a_row_without_its_image_is_passed_over(nih_root: Path) -> None:
    other = ROW.replace("00000001", "00000002").replace(",0,1,", ",0,2,")
    (nih_root / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROW}\n{other}\n")
    assert len(nih.read_images(nih_root)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER.replace('Finding Labels', 'Labels')}\n{ROW}\n", "'Finding Labels' is missing"),
        (f"{HEADER}\n{ROW.replace('Emphysema', 'Measles')}\n", "'Measles' is not a valid Finding"),
        (f"{HEADER}\n{ROW.replace(',57,', ',old,')}\n", "invalid literal for int"),
        (f"{HEADER}\n{ROW.replace('Emphysema', 'No Finding')}\n", "a finding beside 'No Finding'"),
        (f"{HEADER}\n", "00000001_000.png: has no row in Data_Entry_2017.csv"),
        (f"{HEADER}\n00000001_000.png,Mass\n", "2 fields instead of 7"),
    ],
)
def test_a_broken_label_file_is_one_sentence_with_its_place(
    nih_root: Path, text: str, said: str
) -> None:
    (nih_root / "Data_Entry_2017.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        nih.read_images(nih_root)


def test_the_line_of_a_broken_row_is_named(nih_root: Path) -> None:
    (nih_root / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROW.replace('Emphysema', 'X')}\n")
    with pytest.raises(DataError, match=r"Data_Entry_2017\.csv:2: "):
        nih.read_images(nih_root)


def test_a_box_is_read_in_the_frame_of_the_original(nih_root: Path) -> None:
    row = "00000001_000.png,Infiltrate,10.5,20,30,40,,,"
    (nih_root / "BBox_List_2017.csv").write_text(f"{BOX_HEADER}\n{row}\n")
    (box,) = nih.read_boxes(nih_root)["00000001_000.png"]
    assert box == nih.RegionBox(Region.INFILTRATION, 10.5, 20.0, 40.5, 60.0)


@pytest.mark.parametrize(
    ("corners", "said"), [("10,20,0,40", "no area"), ("1000,20,100,40", "outside the 1024")]
)
def test_an_impossible_box_is_refused(nih_root: Path, corners: str, said: str) -> None:
    (nih_root / "BBox_List_2017.csv").write_text(
        f"{BOX_HEADER}\n00000001_000.png,Mass,{corners},,,\n"
    )
    with pytest.raises(DataError, match=said):
        nih.read_boxes(nih_root)


@pytest.fixture
def det_root(tmp_path: Path) -> Path:
    write_image(tmp_path / "train" / "36200.png")
    with (tmp_path / "name_map.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["chestxdet_name", "nih_name"], ["36200.png", "00000004_000.png"]]
        )
    return tmp_path


def annotate(root: Path, **entry: object) -> None:
    whole = {"file_name": "36200.png", "syms": [], "boxes": [], "polygons": []} | entry
    (root / "ChestX_Det_train.json").write_text(json.dumps([whole]))


def test_a_chestx_det_image_belongs_to_its_nih_patient(det_root: Path) -> None:
    annotate(det_root, syms=["Pleural Thickening"], boxes=[[1, 2, 30, 40]])
    (image,) = chestxdet.read_images(det_root)
    assert (image.patient, image.nih_name) == ("00000004", "00000004_000.png")
    assert image.boxes == (nih.RegionBox(Region.PLEURAL_THICKENING, 1, 2, 30, 40),)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"file_name": "1.png"}, "entry '1.png': no such image in"),
        ({"syms": 3}, "entry '36200.png': 'int' object"),
        ({"syms": ["Measles"], "boxes": [[1, 2, 3, 4]]}, "'Measles' is not a valid Region"),
        ({"syms": ["Mass"], "boxes": []}, "shorter"),
        ({"syms": ["Mass"], "boxes": [[1, 2, 1, 4]]}, "no area"),
        ({"syms": ["Mass"], "boxes": [[1, 2, 3]]}, "entry '36200.png'"),
    ],
)
def test_a_broken_annotation_is_one_sentence_with_its_entry(
    det_root: Path, entry: dict[str, object], said: str
) -> None:
    annotate(det_root, **entry)
    with pytest.raises(DataError, match=said):
        chestxdet.read_images(det_root)


def test_an_entry_needs_its_image_and_an_image_its_entry(
    det_root: Path,
) -> None:
    here = {"file_name": "36200.png", "syms": [], "boxes": []}
    annotations = det_root / "ChestX_Det_train.json"
    annotations.write_text(json.dumps([here, here | {"file_name": "1.png"}]))
    with pytest.raises(DataError, match=r"json: entry '1\.png': no such image in"):
        chestxdet.read_images(det_root)
    annotations.write_text(json.dumps([here]))
    Image.new("L", (9, 9)).save(det_root / "train" / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png: has no entry in ChestX_Det_train\.json"):
        chestxdet.read_images(det_root)
    (det_root / "train" / "stray.png").unlink()
    (det_root / "train" / "36200.png").unlink()
    with pytest.raises(DataError, match=r"train: none of the 1 images of ChestX_Det_train\.json"):
        chestxdet.read_images(det_root)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[", r"json:1: is no JSON"), ("{}", "is no list of entries"), ("[1]", "is no list of")],
)
def test_annotations_that_are_no_list_are_a_sentence(det_root: Path, text: str, said: str) -> None:
    (det_root / "ChestX_Det_train.json").write_text(text)
    with pytest.raises(DataError, match=said):
        chestxdet.read_images(det_root)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("36200.png,4.png", r"name_map\.csv:3: '4\.png' is no NIH image name"),
        ("36200.png,00000005_000.png", r"name_map\.csv:3: 36200\.png or .* already"),
        ("36201.png,00000004_000.png", r"name_map\.csv:3: 36201\.png or .* already"),
    ],
)
def test_a_broken_name_map_is_one_sentence_with_its_line(
    det_root: Path, row: str, said: str
) -> None:
    annotate(det_root)
    names = det_root / "name_map.csv"
    names.write_text(f"{names.read_text()}{row}\n")
    with pytest.raises(DataError, match=said):
        chestxdet.read_images(det_root)


def test_a_bad_name_in_an_official_list_is_named_with_its_line(nih_root: Path) -> None:
    (nih_root / "test_list.txt").write_text("00000001_000.png\n\nREADME\n")
    with pytest.raises(DataError, match=r"test_list\.txt:3: 'README' is no NIH image name"):
        nih.read_list(nih_root / "test_list.txt")


def test_the_split_depends_on_the_patient_alone() -> None:
    many = {f"{number:08d}" for number in range(2000)}
    few = set(sorted(many)[::7])
    whole = assign_splits(many, official_test=set(), boxed=set())
    part = assign_splits(few, official_test=set(), boxed=set())
    assert all(whole[patient] == split for patient, split in part.items())
    assert 0.12 < sum(s is Split.VALIDATION for s in whole.values()) / len(whole) < 0.18
    assert split_sha256(whole) != split_sha256(part)


def test_official_test_patients_are_kept_aside_unless_they_carry_boxes() -> None:
    splits = assign_splits(
        ["00000001", "00000002"], official_test={"00000001", "00000002"}, boxed={"00000002"}
    )
    assert splits["00000001"] is Split.TEST
    assert splits["00000002"] is not Split.TEST
