"""The CSV manifest of a hospital's own, or of synthetic, images."""

from pathlib import Path

import pytest

from cxr_contracts import Finding
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError, Refuse, at_once
from cxr_training.data.radiographs import Radiograph
from support.synthetic_manifest import write_manifest

ROW = {
    "image": "images/a.png",
    "patient": "17",
    "findings": "Mass|Effusion",
    "age_years": "61",
    "sex": "F",
    "view": "AP",
    "synthetic": "0",
    "split": "train",
}


def read_images(manifest: Path, refuse: Refuse = at_once) -> tuple[Radiograph, ...]:
    return read_collection(None, [manifest], refuse=refuse).images


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "site" / "manifest.csv", [ROW])


def test_a_row_becomes_a_radiograph(manifest: Path) -> None:
    (image,) = read_images(manifest)
    assert image.path == manifest.parent / "images/a.png"
    assert image.findings == {Finding.MASS, Finding.EFFUSION}
    assert (image.age_years, image.sex, image.view) == (61, "F", "AP")
    assert not image.synthetic


def test_three_columns_are_enough(tmp_path: Path) -> None:
    row = {"image": "a.png", "patient": "x", "findings": "No Finding"}
    (image,) = read_images(write_manifest(tmp_path / "manifest.csv", [row]))
    assert (image.findings, image.age_years, image.sex, image.view) == (frozenset(), -1, "", "")


def test_a_hospitals_eight_digits_are_no_patient_of_nih_unless_it_says_so(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "patient": "00000013", "findings": "Mass"},
        {"image": "b.png", "patient": "nih:00000013", "findings": "Mass"},
    ]
    images = read_images(write_manifest(tmp_path / "manifest.csv", rows))
    assert [image.patient for image in images] == ["own:00000013", "00000013"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("findings", "Mass|Measles", "'Measles' is not a valid Finding"),
        ("findings", "", "'' is not a valid Finding"),
        ("findings", "No Finding|Mass", "names a finding beside 'No Finding'"),
        ("image", "", "no path below the folder"),
        ("image", "../a.png", r"'\.\./a\.png' is no path below the folder"),
        ("image", "images/../../a.png", "no path below the folder"),
        ("image", "/etc/hostname", "no path below the folder"),
        ("image", "images/b.png", "'images/b.png': no such file"),
        ("patient", "", "patient '' is empty"),
        ("patient", "a,b", "patient 'a,b' is empty, or has a comma"),
        ("patient", "nih:13", "NIH's numbers have eight digits"),
        ("age_years", "old", "age_years 'old' is no whole number"),
        ("age_years", "-1", "age_years '-1' is no whole number"),
        ("sex", "female", "sex 'female' is none of M, F, O"),
        ("view", "LATERAL", "view 'LATERAL' is none of PA, AP"),
        ("synthetic", "yes", "synthetic 'yes' is none of 0, 1"),
        ("split", "dev", "split 'dev' is none of train, validation, test"),
    ],
)
def test_a_bad_field_is_a_sentence_with_its_line(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    good = ROW | {"image": "images/good.png"}
    manifest = write_manifest(tmp_path / "site" / "manifest.csv", [good, ROW])
    broken = ROW | {column: value}
    lines = manifest.read_text().splitlines()
    lines[2] = ",".join(f'"{broken[name]}"' for name in lines[0].split(","))
    manifest.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"manifest\.csv:3: .*{said}"):
        read_images(manifest)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_synthetic_image_is_never_evaluated_on(tmp_path: Path, split: str) -> None:
    row = ROW | {"synthetic": "1", "split": split}
    manifest = write_manifest(tmp_path / "manifest.csv", [row])
    with pytest.raises(
        DataError, match=rf"manifest\.csv:2: images/a\.png is synthetic and cannot be in {split}"
    ):
        read_images(manifest)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("image,patient,labels", "column 'findings' is missing"),
        ("image,patient,findings,synthetc", "column 'synthetc' is none of image, patient"),
        ("image,patient,findings,image", "column 'image' stands there twice"),
    ],
)
def test_a_missing_or_misspelt_column_is_named(tmp_path: Path, header: str, said: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(f"{header}\na.png,1,Mass,1\n")
    with pytest.raises(DataError, match=rf"manifest\.csv:1: {said}"):
        read_images(path)


def test_an_image_that_no_row_names_is_named(manifest: Path) -> None:
    (manifest.parent / "images/b.PNG").write_bytes(b"")
    (manifest.parent / "images/notes.txt").write_text("not an image")
    with pytest.raises(DataError, match=r"images/b\.PNG: has no row in .*manifest\.csv"):
        read_images(manifest)


def test_an_image_that_is_named_twice_is_named_with_both_lines(manifest: Path) -> None:
    manifest.write_text(manifest.read_text() + "images/./a.png,18,Mass,,,,,\n")
    with pytest.raises(DataError, match=r"csv:3: .* is named already \(.*csv:2\)"):
        read_images(manifest)


def test_a_patient_in_two_splits_is_refused_with_both_lines(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"image": "images/b.png", "split": "validation"}]
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    with pytest.raises(DataError, match=r"csv:3: patient own:17 is in validation here .*csv:2"):
        read_images(manifest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,patient,findings\n", "has no row"),
        ("image,patient,findings\na.png,1\n", "csv:2: 2 fields instead of 3"),
        ("image,patient,findings\na.png,Doe, Jane,Mass\n", "csv:2: 4 fields instead of 3"),
        ('image,patient,findings\n"a\n.png",1,Mass\n\nb.png,1,X\n', "csv:3: image"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_images(path)


def test_a_file_that_is_no_text_or_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_images(path)
    path.write_bytes(b"image,patient,findings\n\xff\xfe,1,Mass\n")
    with pytest.raises(DataError, match="is no CSV in UTF-8"):
        read_images(path)


def test_every_bad_row_is_refused_where_the_caller_goes_on(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"image": "images/b.png"}, ROW | {"image": "images/c.png"}]
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    text = manifest.read_text().replace(",61,F,AP,0,train", ",61,X,AP,0,train", 2)
    manifest.write_text(text)
    refused: list[DataError] = []
    images = read_images(manifest, refuse=refused.append)
    assert [error.line for error in refused if error.line] == [2, 3]
    assert [image.name for image in images] == ["images/c.png"]


def test_an_invented_patient_has_synthetic_images_alone(tmp_path: Path) -> None:
    row = ROW | {"patient": "synthetic:a:1", "synthetic": "1"}
    (image,) = read_images(write_manifest(tmp_path / "a/manifest.csv", [row]))
    assert (image.patient, image.synthetic) == ("own:synthetic:a:1", True)
    manifest = write_manifest(tmp_path / "b/manifest.csv", [row | {"synthetic": "0"}])
    with pytest.raises(DataError, match=r"csv:2: patient synthetic:a:1 was made by a generator"):
        read_images(manifest)
