"""RSNA's reads: one entry a radiograph, and no row taken that contradicts itself."""

from pathlib import Path

import pytest

from cxr_training.data.errors import DataError
from cxr_training.data.rsna import Read, read_reads

HEADER = "Image Index,class,x,y,width,height\n"
OPACITY = "00000061_005.png,Lung Opacity,262.0,532.0,154.0,163.0\n"
NORMAL = "00000005_002.png,Normal,,,,\n"


def _folder(tmp_path: Path, rows: str) -> Path:
    (tmp_path / "reads.csv").write_text(HEADER + rows)
    return tmp_path


def test_the_boxes_of_a_radiograph_come_together(tmp_path: Path) -> None:
    second = OPACITY.replace("262.0", "637.0")
    opaque, normal = read_reads(_folder(tmp_path, OPACITY + NORMAL + second))
    assert opaque.read is Read.OPACITY
    assert opaque.boxes == ((262.0, 532.0, 416.0, 695.0), (637.0, 532.0, 791.0, 695.0))
    assert (normal.patient, normal.read, normal.boxes) == ("00000005", Read.NORMAL, ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("00000005_002.png,Healthy,,,,\n", "'Healthy' is not a valid Read"),
        ("5.png,Normal,,,,\n", "no NIH image name"),
        ("00000005_002.png,Normal,1,2,3,4\n", "'Normal' with a box"),
        ("00000005_002.png,Lung Opacity,,,,\n", "'Lung Opacity' without a box"),
        ("00000005_002.png,Lung Opacity,9,9,0,5\n", "has no area"),
        (NORMAL.replace("Normal", Read.NEITHER) + NORMAL, "on an earlier line"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_reads(_folder(tmp_path, row))


def test_reads_of_the_test_set_are_reported_on_only(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "rsna"
    folder.mkdir(parents=True)
    _folder(folder, NORMAL)
    with pytest.raises(DataError, match="test set"):
        read_reads(folder)
    assert len(read_reads(folder, held_out=True)) == 1
