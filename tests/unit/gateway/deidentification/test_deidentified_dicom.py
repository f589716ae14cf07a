"""A file with everything that the profile knows of, in and in sequences: what comes out of it."""

import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from cxr_gateway.deidentification.dicom import burned_in, deidentified_dicom
from cxr_gateway.deidentification.profile import EDITION, METHOD_CODE
from cxr_gateway.deidentification.pseudonyms import Pseudonyms
from cxr_gateway.intake import Limits, read_upload
from cxr_serving.errors import Unprocessable
from dicom_films import compressed_dicom, dicom, dicom_bytes, dicom_dataset

PSEUDONYMS = Pseudonyms(b"k" * 32)
LIMITS = Limits()
TABLE = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
MARK = "ZQX"
PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


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
        if group in (0x0000, 0x0002) or tag.is_private or tag not in DicomDictionary:
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


def full() -> Dataset:
    """A film with every attribute of the table, private ones, overlays, and all again nested."""
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
    return ds


@pytest.fixture(scope="module")
def original() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = bytearray(dicom_bytes(full()))
    content[:7] = f"{MARK}HEAD".encode()
    assert content.count(MARK.encode()) > 400
    return bytes(content)


@pytest.fixture(scope="module")
def cleaned(original: bytes) -> Dataset:
    _, content = deidentified_dicom(original, PSEUDONYMS, LIMITS)
    return dcmread(BytesIO(content))


def test_no_marker_is_left_anywhere_in_the_file(original: bytes) -> None:
    uid, content = deidentified_dicom(original, PSEUDONYMS, LIMITS)
    for marker in (MARK, "99977", "19771123", "101112", "077Y", "77.0625", "770077"):
        assert marker.encode() not in content, marker
    assert uid.encode() in content
    assert content[:128] == bytes(128)


@pytest.mark.parametrize("column", [name for name in TABLE if name != "ALL_TAGS"])
def test_every_attribute_of_the_table_is_treated_as_its_column_says(
    cleaned: Dataset, column: str
) -> None:
    added = {"DeidentificationMethod", "DeidentificationMethodCodeSequence", "PatientID"}
    added |= {"LongitudinalTemporalInformationModified", "PatientIdentityRemoved"}
    present = dict(every_tag())
    checked = 0
    for tag, vr in present.items():
        if (tag >> 16, tag & 0xFFFF) not in TABLE[column] or keyword_for_tag(tag) in added:
            continue
        checked += 1
        if column in ("X_TAGS", "X_Z_U_STAR_TAGS"):
            assert tag not in cleaned, Tag(tag)
            continue
        assert tag in cleaned, Tag(tag)
        value = cleaned[tag].value
        if column in ("Z_TAGS", "X_Z_TAGS"):
            assert value in (None, "", b"", []), Tag(tag)
        elif vr == "UI":
            assert str(value).startswith("2.25."), Tag(tag)
        else:
            assert value not in (None, "", b""), Tag(tag)
            assert value != marked(tag, vr), Tag(tag)
    assert checked > 0


def test_the_file_says_what_was_done_to_it(cleaned: Dataset) -> None:
    assert cleaned.PatientIdentityRemoved == "YES"
    assert any("PS3.15" in method for method in cleaned.DeidentificationMethod)
    [code] = cleaned.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == METHOD_CODE
    assert cleaned.LongitudinalTemporalInformationModified == "REMOVED"
    assert cleaned.BurnedInAnnotation == "NO"


def test_what_the_picture_needs_is_kept(original: bytes, cleaned: Dataset) -> None:
    assert np.array_equal(cleaned.pixel_array, PIXELS)
    assert (cleaned.Modality, cleaned.ViewPosition, cleaned.Manufacturer) == ("DX", "PA", "Maker")
    out = deidentified_dicom(original, PSEUDONYMS, LIMITS)[1]
    assert np.array_equal(read_upload(out).grey, read_upload(original).grey)


def test_no_private_or_unknown_element_is_left_at_any_level(cleaned: Dataset) -> None:
    seen = []
    cleaned.walk(lambda _ds, element: seen.append(element))
    assert not any(element.tag.is_private for element in seen)
    assert all(element.tag in DicomDictionary for element in seen)
    assert not any(0x5000 <= element.tag.group <= 0x60FF for element in seen)
    assert cleaned.AnatomicRegionSequence[0].PatientName == ""


def test_the_same_file_gives_the_same_uids_and_a_study_stays_together(original: bytes) -> None:
    again = dcmread(BytesIO(deidentified_dicom(original, PSEUDONYMS, LIMITS)[1]))
    first = dcmread(BytesIO(deidentified_dicom(original, PSEUDONYMS, LIMITS)[1]))
    assert again == first
    sibling = dicom(PIXELS, SOPInstanceUID="1.2.3", StudyInstanceUID=full().StudyInstanceUID,
                    PatientID=full().PatientID)  # fmt: skip
    second = dcmread(BytesIO(deidentified_dicom(sibling, PSEUDONYMS, LIMITS)[1]))
    assert second.StudyInstanceUID == first.StudyInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.PatientID == first.PatientID != ""
    assert second.file_meta.MediaStorageSOPInstanceUID == second.SOPInstanceUID


def test_another_installation_makes_other_uids() -> None:
    other = Pseudonyms(b"o" * 32)
    assert other.uid("1.2.3") != PSEUDONYMS.uid("1.2.3")
    assert other.patient("7") != PSEUDONYMS.patient("7")
    assert PSEUDONYMS.patient("") == ""
    for number in range(50):
        uid = UID(PSEUDONYMS.uid(str(number)))
        assert uid.is_valid
        assert len(uid) <= 64


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_uncompressed_form_keeps_its_picture_and_its_tables(syntax: UID) -> None:
    ds = dicom_dataset(PIXELS, bits=12, PatientName="ZQX^A", BurnedInAnnotation="NO")
    lut = Dataset()
    lut.add(DataElement(Tag(0x0028, 0x3002), "US", [4, 0, 16]))
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    lut.add(DataElement(Tag(0x0028, 0x3006), "OW", np.array([1, 2, 3, 400], order).tobytes()))
    ds.VOILUTSequence = Sequence([lut])
    content = dicom_bytes(ds, syntax)
    out = dcmread(BytesIO(deidentified_dicom(content, PSEUDONYMS, LIMITS)[1]))
    assert np.array_equal(out.pixel_array, PIXELS)
    table = np.frombuffer(out.VOILUTSequence[0].LUTData, "<u2")
    assert table.tolist() == [1, 2, 3, 400]
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_picture_is_stored_plainly_without_its_comments(syntax: UID) -> None:
    values = PIXELS.astype(np.uint8)
    content = compressed_dicom(values, syntax, PatientName="ZQX^A")
    out = dcmread(BytesIO(deidentified_dicom(content, PSEUDONYMS, LIMITS)[1]))
    assert np.array_equal(out.pixel_array, values)
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_an_overlay_in_the_unused_bits_of_the_pixels_does_not_go_along() -> None:
    values = np.full((64, 64), 0xF123, np.uint16)
    out = deidentified_dicom(dicom(values, bits=12), PSEUDONYMS, LIMITS)[1]
    assert set(np.unique(dcmread(BytesIO(out)).pixel_array)) == {0x123}


def test_a_file_without_names_of_its_own_gets_some(original: bytes) -> None:
    bare = dicom(PIXELS, SOPInstanceUID=None, SOPClassUID=None)
    uid, content = deidentified_dicom(bare, PSEUDONYMS, LIMITS)
    assert dcmread(BytesIO(content)).SOPInstanceUID == uid
    assert UID(uid).is_valid


def test_a_file_of_several_frames_is_refused() -> None:
    frames = dicom(np.vstack([PIXELS, PIXELS]), NumberOfFrames="2", Rows=64)
    with pytest.raises(Unprocessable, match="one frame"):
        deidentified_dicom(frames, PSEUDONYMS, LIMITS)


@pytest.mark.parametrize(("tag", "said"), [("YES", "YES"), ("no ", "NO"), (None, None)])
def test_what_the_file_says_of_text_in_its_picture_is_read(tag: str, said: str | None) -> None:
    tags = {} if tag is None else {"BurnedInAnnotation": tag}
    assert burned_in(dicom(PIXELS, **tags), LIMITS) == said
