"""What the Basic Application Level Confidentiality Profile asks for, element by element.

PS3.15's Table E.1-1 comes from the package `dicom-anonymizer`, in the edition named here. Where
the table leaves a choice by the type of an attribute (`X/Z`, `X/Z/D`), the one is taken that keeps
a file valid in every case. What the table does not know is kept only if it can hold no text about
anyone: private and unknown elements go, and so do further names, dates and free text.
"""

from enum import Enum
from functools import cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, tag_for_keyword
from pydicom.tag import BaseTag

EDITION = "2026c"
METHOD = ("DICOM PS3.15 Basic Application Confidentiality Profile", f"Table E.1-1, {EDITION}")
# Code value, scheme and meaning of the profile (PS3.16, CID 7050).
METHOD_CODE = ("113100", "DCM", "Basic Application Confidentiality Profile")


class Action(Enum):
    """What becomes of an element; the letters are the table's."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"


_COLUMNS = {
    "D_TAGS": Action.DUMMY,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.UID,
    "Z_D_TAGS": Action.DUMMY,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.DUMMY,
    "X_Z_D_TAGS": Action.DUMMY,
    # Sequences that point to other images, none of which goes along.
    "X_Z_U_STAR_TAGS": Action.REMOVE,
}
# Curves and overlays, whose groups come in sixteens: whole, for one without its data is no use.
_GRAPHICS = (0x5000, 0x6000)
_COMMAND, _META = 0x0000, 0x0002
_TALKATIVE = frozenset({"PN", "DA", "DT", "TM", "LO", "LT", "SH", "ST", "UC", "UR", "UT", "UN"})
# Short texts that the table does not know and that say what a thing is: the equipment's, and codes.
_KEPT_TEXTS = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "DetectorManufacturerModelName",
        "DetectorManufacturerName",
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
    )
)
# A code has to have a meaning, in words that whoever wrote the file chose.
_CODE_MEANING = tag_for_keyword("CodeMeaning")


@cache
def table() -> dict[tuple[int, int], Action]:
    """The profile's table: group and element to what is done."""
    columns = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    return {
        (tag[0], tag[1]): action
        for name, action in _COLUMNS.items()
        for tag in columns[name]
        if len(tag) == 2  # repeating groups, all of which go; see `action_for`
    }


def action_for(tag: BaseTag, vr: str) -> Action:
    """What becomes of an element of this tag and value representation."""
    if (
        tag.is_private
        or tag.group in (_COMMAND, _META)
        or tag.element == 0
        or tag.group & 0xFF00 in _GRAPHICS
        or not dictionary_has_tag(tag)
    ):
        return Action.REMOVE
    found = table().get((tag.group, tag.element))
    if found is not None:
        return found
    if vr == "UI":
        return Action.UID
    if tag == _CODE_MEANING:
        return Action.DUMMY
    if tag in _KEPT_TEXTS:
        return Action.KEEP
    return Action.REMOVE if vr in _TALKATIVE else Action.KEEP
