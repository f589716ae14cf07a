"""A table of one's own images: how it is read, and all that can be wrong with it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Finding, Region
from cxr_training.cli import main
from cxr_training.data.own import Layout, OwnData, OwnDataError, read_own, summary
from cxr_training.data.splits import Split
from support.dicom_images import dicom

HEADER = "image,patient,labels"


def table(folder: Path, lines: list[str], *, name: str = "my.csv") -> Path:
    """A table whose images exist, each with pixels of its own."""
    for number, line in enumerate(lines[1:]):
        image = folder / line.split(",")[0]
        if image.suffix == ".png" and not image.exists():
            image.parent.mkdir(parents=True, exist_ok=True)
            grey = np.random.default_rng(number).integers(0, 255, (40, 48), dtype=np.uint8)
            Image.fromarray(grey).save(image)
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def many(labels: list[str], *, header: str = HEADER) -> list[str]:
    return [header, *(f"i/{n:03d}.png,p{n},{one}" for n, one in enumerate(labels))]


def problems_of(path: Path, layout: Layout | None = None) -> list[str]:
    with pytest.raises(OwnDataError) as caught:
        read_own(path, layout or Layout(), processes=1)
    return [problem.removeprefix(f"{path.parent}/") for problem in caught.value.problems]


def findings(own: OwnData) -> list[set[str]]:
    return [set(image.findings) for image in own.collection.images]


@pytest.mark.parametrize("separator", [";", "|"])
def test_labels_stand_in_lists_and_may_be_ones_own(tmp_path: Path, separator: str) -> None:
    lines = many([f"Metal clip{separator} Effusion", "Metal clip", "No Finding", "Effusion"] * 6)
    own = read_own(table(tmp_path, lines), Layout(), processes=1)
    assert own.collection.labels == (Finding("Effusion"), Finding("Metal_clip"))
    assert findings(own)[:4] == [{"Metal_clip", "Effusion"}, {"Metal_clip"}, set(), {"Effusion"}]


def test_labels_stand_in_columns_of_0_and_1(tmp_path: Path) -> None:
    lines = many(["1,0", "0,1", "0,0", "1,1"] * 6, header="path,Patient ID,Ring,Bar")
    own = read_own(table(tmp_path, lines), Layout(), processes=1)
    assert own.collection.labels == ("Ring", "Bar")
    assert findings(own)[:4] == [{"Ring"}, {"Bar"}, set(), {"Ring", "Bar"}]


def test_an_empty_cell_is_unknown_and_such_an_image_only_trains(tmp_path: Path) -> None:
    lines = many(["1,", "0,1", "0,0", "1,1"] * 6, header="image,patient,Ring,Bar")
    own = read_own(table(tmp_path, lines), Layout(), processes=1)
    silent = [image for image in own.collection.images if image.unknown]
    assert {own.collection.splits[image.patient] for image in silent} == {Split.TRAIN}


def test_columns_can_be_told(tmp_path: Path) -> None:
    lines = many(["x", "y", ""] * 6, header="where,who,what")
    layout = Layout(image="where", patient="who", labels="what")
    own = read_own(table(tmp_path, lines), layout, processes=1)
    assert own.collection.labels == ("x", "y")


def test_patients_are_dealt_whole_and_each_label_is_in_each_split(tmp_path: Path) -> None:
    lines = [HEADER] + [
        f"i/{n:03d}.png,p{n // 2},{'Rare' if n < 8 else 'Common' if n % 2 else ''}"
        for n in range(80)
    ]
    own = read_own(table(tmp_path, lines), Layout(), processes=1)
    for split in Split:
        assert {"Rare", "Common"} <= set.union(*(set(x.findings) for x in own.of(split)))
    assert len(own.of(Split.TRAIN)) > 2 * len(own.of(Split.VALIDATION))
    again = read_own(own.csv, Layout(), processes=1)
    assert again.split_sha256 == own.split_sha256


def test_everything_that_is_wrong_is_said_with_its_line_and_what_is_allowed(
    tmp_path: Path,
) -> None:
    lines = [
        "image,patient,Ring,Bar,split",
        "i/0.png,a,1,0,train",
        "i/1.png,a,maybe,0,validation",
        "i/2.png,b,0,yes,test",
        "i/3.png,c,0,1,sometimes",
        "i/nowhere.jpg,c,0,1,train",
        "broken.dcm,d,0,1,validation",
        "i/5.png,e,0,0,validation",
        "i/6.png,a,0,1,validation",
        "i/7.png,f,1",
    ]
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"no data set")
    found = problems_of(table(tmp_path, lines), Layout(boxes=tmp_path / "boxes.xml"))
    told = "\n".join(found)
    assert "my.csv:3: Ring 'maybe' is none of 0, 1, or nothing (not known)" in found
    assert "my.csv:4: Bar 'yes' is none of 0, 1, or nothing (not known)" in found
    assert "my.csv:5: split 'sometimes' is none of train, validation, test" in told
    assert "my.csv:6: image 'i/nowhere.jpg': no such file" in found
    assert "my.csv:7: broken.dcm cannot be decoded: " in told
    assert "my.csv:9: patient a is in validation here and in train on line 2" in told
    assert "my.csv:10: 3 fields instead of 5" in found
    assert "my.csv:2: label Ring is on no image of validation, on train patients alone" in told
    assert "boxes.xml: is of no known format: boxes are COCO (.json) or a table (.csv)" in told


def test_the_command_ends_with_status_2_and_the_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path, ["image,patient,Ring", "i/0.png,a,maybe"])
    assert main(["data", "check", str(path)]) == 2
    assert "Ring 'maybe' is none of 0, 1" in capsys.readouterr().err
    whole = table(tmp_path, many(["a", "b", ""] * 7), name="whole.csv")
    assert main(["data", "check", str(whole)]) == 0
    said = capsys.readouterr().out
    assert "patients" in said
    assert "0 problems" in said


def test_nothing_trains_on_a_table_with_a_problem(tmp_path: Path) -> None:
    path = table(tmp_path, ["image,patient,Ring", "i/0.png,a,maybe"])
    out = tmp_path / "runs"
    arguments = ["--data", str(path), "--name", "mine", "--out", str(out)]
    arguments += ["--models", str(tmp_path / "models")]
    assert main(["train", "classifier", *arguments]) == 2
    assert not out.exists()
    assert not (tmp_path / "models").exists()


def test_a_misspelt_column_is_no_default(tmp_path: Path) -> None:
    found = problems_of(table(tmp_path, ["image,patient,labels,splitt", "i/0.png,a,Ring,train"]))
    assert "my.csv:1: column 'splitt' looks like 'split': rename it, or remove it" in found


def test_a_missing_column_is_named_with_the_option(tmp_path: Path) -> None:
    (found,) = problems_of(table(tmp_path, ["image,labels", "i/0.png,Ring"]))[:1]
    assert "no column is that of the patient" in found
    assert "--patient-column" in found


def test_one_image_in_two_splits_is_found_by_its_pixels(tmp_path: Path) -> None:
    lines = ["image,patient,labels,split"]
    lines += [f"i/{n}.png,p{n},{'Ring' if n % 2 else ''},train" for n in range(4)]
    lines += [f"i/{n}.png,p{n},{'Ring' if n % 2 else ''},validation" for n in range(4, 8)]
    path = table(tmp_path, lines)
    (tmp_path / "i/5.png").write_bytes((tmp_path / "i/1.png").read_bytes())
    found = problems_of(path)
    assert any("i/5.png (validation) is the same image as i/1.png on line 3" in x for x in found)


def test_dicom_files_are_read_as_the_gateway_reads_them(tmp_path: Path) -> None:
    lines = many(["Ring", "", "Bar"] * 6)
    values = np.linspace(0, 4000, 64 * 64).reshape(64, 64).astype(np.uint16)
    (tmp_path / "scan.dcm").write_bytes(dicom(values))
    own = read_own(table(tmp_path, [*lines, "scan.dcm,p0,Ring"]), Layout(), processes=1)
    facts = own.files[tmp_path / "scan.dcm"]
    assert (facts.width_px, facts.height_px) == (64, 64)


@pytest.mark.parametrize("kind", ["coco", "csv"])
def test_boxes_of_both_kinds_say_the_same(tmp_path: Path, kind: str) -> None:
    path = table(tmp_path, many(["Ring", "", "Ring"] * 6))
    names = [f"i/{n:03d}.png" for n in range(18) if n % 3 != 1]
    if kind == "csv":
        boxes = tmp_path / "boxes.csv"
        rows = [f"{name},Ring,12,10,24,30" for name in names]
        boxes.write_text("\n".join(["image,label,x_min,y_min,x_max,y_max", *rows]))
    else:
        boxes = tmp_path / "boxes.json"
        # COCO names files without their folder.
        images = [{"id": n, "file_name": Path(x).name} for n, x in enumerate(names)]
        drawn = [{"image_id": x["id"], "category_id": 7, "bbox": [12, 10, 12, 20]} for x in images]
        known = [{"id": 7, "name": "Ring"}]
        content = {"images": images, "categories": known, "annotations": drawn}
        boxes.write_text(json.dumps(content))
    own = read_own(path, Layout(boxes=boxes), processes=1)
    assert own.regions == (Region("Ring"),)
    (box,) = own.boxes[tmp_path / "i/000.png"]
    # In the frame of 1024 px, of an image of 48 x 40.
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (256, 256, 512, 768)
    assert f"boxes of Ring{12:>10,}"[:13] in "\n".join(summary(own))


def test_a_box_outside_its_image_and_one_of_no_image_are_problems(tmp_path: Path) -> None:
    path = table(tmp_path, many(["Ring", "", "Bar"] * 6))
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "image,label,x_min,y_min,x_max,y_max\ni/000.png,Ring,40,0,60,10\nother.png,Ring,1,1,2,2\n"
    )
    found = problems_of(path, Layout(boxes=boxes))
    assert "boxes.csv:2: the box [40.0, 0.0, 60.0, 10.0] does not lie in i/000.png" in found[0]
    assert found[1] == "boxes.csv:3: image 'other.png' has no row in the table"


@pytest.mark.parametrize("kind", ["csv", "coco"])
def test_a_kind_of_box_in_one_split_alone_is_a_problem_with_its_place(
    tmp_path: Path, kind: str
) -> None:
    splits = ["train", "val", "test"] * 6
    lines = many([f"Ring,{one}" for one in splits], header=f"{HEADER},split")
    path = table(
        tmp_path, [line.replace("Ring", "" if n > 9 else "Ring") for n, line in enumerate(lines)]
    )
    rows = [(f"i/{n:03d}.png", "Ring") for n in range(3)]
    rows += [("i/000.png", "Bar"), ("i/003.png", "Bar"), ("i/001.png", "Clip")]
    boxes = tmp_path / ("boxes.csv" if kind == "csv" else "boxes.json")
    if kind == "csv":
        head = "image,label,x_min,y_min,x_max,y_max"
        boxes.write_text("\n".join([head, *(f"{name},{label},1,1,9,9" for name, label in rows)]))
    else:
        names = sorted({label for _, label in rows})
        boxes.write_text(
            json.dumps(
                {
                    "images": [{"id": name, "file_name": name} for name, _ in rows],
                    "categories": [{"id": name, "name": name} for name in names],
                    "annotations": [
                        {"image_id": name, "category_id": label, "bbox": [1, 1, 8, 8]}
                        for name, label in rows
                    ],
                }
            )
        )
    found = problems_of(path, Layout(boxes=boxes))
    bar, clip = ("5: ", "7: ") if kind == "csv" else (" annotations[3]: ", " annotations[5]: ")
    assert found == [
        f"{boxes.name}:{bar}a box of Bar is on no image of validation, on train patients alone: "
        "train and validation each need one",
        f"{boxes.name}:{clip}a box of Clip is on no image of train, on validation patients alone: "
        "train and validation each need one",
    ]
