"""Radiologists' reads of NIH radiographs: RSNA Pneumonia Detection Challenge 2018.

Read by radiologists of RSNA and STR (Shih et al., Radiology: Artificial Intelligence 2019), whom a
model that learnt from them must name. `reads.csv` has a row a box of lung opacity, in the 1024 px
frame of the original, and one row for a radiograph without any.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cxr_contracts import Region
from cxr_training.data.csv_rows import Row, parsed_rows
from cxr_training.data.errors import Refuse, at_once
from cxr_training.data.nih import RegionBox, checked_box, patient_of
from cxr_training.data.splits import refuse_test_folder

READS = "reads.csv"
RSNA_SOURCE = (
    "RSNA Pneumonia Detection Challenge 2018 (RSNA and STR; Shih et al., Radiology: Artificial "
    "Intelligence 2019)"
)
_CORNERS = ("x", "y", "width", "height")
_COLUMNS = ("Image Index", "class", *_CORNERS)


class Read(StrEnum):
    """What the radiologists said of a radiograph."""

    OPACITY = "Lung Opacity"
    NORMAL = "Normal"
    NEITHER = "No Lung Opacity / Not Normal"


@dataclass(frozen=True, slots=True)
class RsnaRead:
    """One read radiograph; `boxes` are `x_min, y_min, x_max, y_max` of its lung opacities.

    There is a box where, and only where, `read` is `OPACITY`.
    """

    nih_name: str
    patient: str
    read: Read
    boxes: tuple[tuple[float, float, float, float], ...]


def read_reads(root: Path, *, held_out: bool = False, refuse: Refuse = at_once) -> list[RsnaRead]:
    """The reads of `root/reads.csv`, in the order in which the radiographs first stand there.

    Args:
        root: the folder of `reads.csv`.
        held_out: whether a folder of the test set may be read, to report on it.
        refuse: called for a row that cannot be taken: no NIH name, an unknown read, an opacity
            without a box or a box without an opacity, a box of no area or outside, a second read.

    Raises:
        DataError: no such file, a missing column; `root` belongs to the test set and `held_out` is
            false; what `refuse` raises.
    """
    if not held_out:
        refuse_test_folder(root)
    found: dict[str, RsnaRead] = {}

    def parse(_: int, row: Row) -> None:
        one = _read(row)
        before = found.get(one.nih_name)
        if before is not None and before.read is not one.read:
            raise ValueError(f"{one.nih_name} is {before.read!r} on an earlier line")
        drawn = (before.boxes if before else ()) + one.boxes
        found[one.nih_name] = replace(one, boxes=drawn)

    parsed_rows(root / READS, _COLUMNS, parse, refuse=refuse)
    return list(found.values())


def _read(row: Row) -> RsnaRead:
    name, read = row["Image Index"], Read(row["class"])
    patient = patient_of(name)
    fields = [row[column] for column in _CORNERS]
    if any(fields) != (read is Read.OPACITY):
        raise ValueError(f"{name}: {read.value!r} {'with' if any(fields) else 'without'} a box")
    if not any(fields):
        return RsnaRead(name, patient, read, ())
    x, y, width, height = (float(field) for field in fields)
    # Only its corners are checked: the vocabulary has no region for an opacity of any cause.
    checked_box(RegionBox(Region.CONSOLIDATION, x, y, x + width, y + height))
    return RsnaRead(name, patient, read, ((x, y, x + width, y + height),))
