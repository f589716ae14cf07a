"""DICOM files in which everything about a patient is a marker, to be looked for elsewhere."""

import warnings
from typing import Any

import numpy as np
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from cxr_gateway.exports.deidentification.profile import EDITION
from support.dicom_images import dicom_bytes, dicom_dataset
from support.images import radiograph_like

MARK = "ZQX"
# Enough to be read: a radiograph that is rejected for its quality reaches no inference service.
PIXELS = radiograph_like(120, 100).astype(np.uint16) * 16
TABLE = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")


def marked(tag: int, vr: str) -> Any:
    """A value of this kind that can be told in the output, and is this tag's own."""
    number = f"{tag:08X}"
    texts = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64, "ST": 99, "LT": 99, "UC": 99}
    if vr in texts or vr in ("UT", "UR"):
        return f"{MARK}{number}"
    fixed = {"AS": "077Y", "DA": "19771123", "DT": "19771123101112", "TM": "101112.77"}
    numbers = {"DS": "77.0625", "IS": "770077", "FD": 77.0625, "FL": 77.0625}
    if vr == "UI":
        return f"1.2.840.99977.{tag}"
    if vr in fixed:
        return fixed[vr]
    if vr in numbers:
        return numbers[vr]
    return 7707 if vr in ("SL", "SS", "SV", "UL", "US", "UV", "AT") else f"{MARK}{number}!".encode()


def every_tag() -> list[tuple[int, str]]:
    """The table's attributes that a data set can hold, and what they are."""
    found = []
    for group, element, *mask in TABLE["ALL_TAGS"]:
        if mask:
            continue
        tag = Tag(group, element)
        if group in (0x0000, 0x0002) or tag.is_private or not dictionary_has_tag(tag):
            continue
        found.append((int(tag), dictionary_VR(tag).split(" or ")[0]))
    return found


def an_item(depth: int) -> Dataset:
    item = Dataset()
    item.PatientName = f"{MARK}^NESTED{depth}"
    item.PatientID = f"{MARK}NESTED{depth}"
    item.ReferencedSOPInstanceUID = f"1.2.840.99977.7.{depth}"
    item.add(DataElement(Tag(0x0009, 0x0010), "LO", f"{MARK} MAKER"))
    item.add(DataElement(Tag(0x0009, 0x1001), "LO", f"{MARK} PRIVATE"))
    if depth:
        item.ViewCodeSequence = Sequence([an_item(depth - 1)])
    return item


def everything(**tags: Any) -> Dataset:
    """A file with every attribute of the table, private ones, overlays, and all again nested."""
    ds = dicom_dataset(PIXELS, BurnedInAnnotation="NO", Manufacturer="Maker")
    for tag, vr in every_tag():
        if vr != "SQ":
            ds.add(DataElement(tag, vr, marked(tag, vr)))
        elif keyword_for_tag(tag):
            ds.add(DataElement(tag, "SQ", Sequence([an_item(1)])))
    # One that the table does not name: what is in it counts.
    ds.AnatomicRegionSequence = Sequence([an_item(2)])
    for group in (0x6000, 0x6002, 0x5000):
        ds.add(DataElement(Tag(group, 0x0022), "LO", f"{MARK} OVERLAY"))
        ds.add(DataElement(Tag(group, 0x3000), "OW", f"{MARK}DATA".encode() + b"0"))
        ds.add(DataElement(Tag(group, 0x4000), "LT", f"{MARK} COMMENT"))
    ds.add(DataElement(Tag(0x0009, 0x0010), "LO", f"{MARK} MAKER"))
    ds.add(DataElement(Tag(0x0009, 0x1001), "LO", f"{MARK} PRIVATE"))
    ds.add(DataElement(Tag(0x0018, 0xFFF0), "LO", f"{MARK} OF A LATER EDITION"))
    ds.DataSetTrailingPadding = f"{MARK}PADDING!".encode()
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def marked_radiograph(**tags: Any) -> bytes:
    """`everything` as a file, whose first bytes are marked, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = bytearray(dicom_bytes(everything(**tags)))
    content[:7] = f"{MARK}HEAD".encode()
    return bytes(content)
