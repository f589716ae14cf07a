"""A file with everything that the profile knows of, in and in sequences: what comes out of it."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, keyword_for_tag
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

from cxr_gateway.exports.deidentification.dicom import burned_in, deidentified_dicom
from cxr_gateway.exports.deidentification.profile import METHOD_CODE
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms
from cxr_gateway.imaging import Limits, read_upload
from cxr_gateway.imaging.decoders import InProcessDecoder
from cxr_serving.errors import Unprocessable
from support.dicom_images import compressed_dicom, dicom, dicom_bytes, dicom_dataset
from support.marked_images import (
    MARK,
    PIXELS,
    TABLE,
    every_tag,
    everything,
    marked,
    marked_radiograph,
)

PSEUDONYMS = Pseudonyms(b"k" * 32)
LIMITS = Limits()
DECODER = InProcessDecoder()


@pytest.fixture(scope="module")
def original() -> bytes:
    content = marked_radiograph()
    assert content.count(MARK.encode()) > 400
    return content


@pytest.fixture(scope="module")
def cleaned(original: bytes) -> Dataset:
    content = deidentified_dicom(original, PSEUDONYMS, LIMITS, DECODER)
    return dcmread(BytesIO(content))


def test_no_marker_is_left_anywhere_in_the_file(original: bytes) -> None:
    content = deidentified_dicom(original, PSEUDONYMS, LIMITS, DECODER)
    for marker in (MARK, "99977", "19771123", "101112", "077Y", "77.0625", "770077"):
        assert marker.encode() not in content, marker
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


def test_short_free_texts_that_the_table_does_not_know_are_cleaned() -> None:
    ds = dicom_dataset(np.zeros((64, 64), np.uint16), bits=12)
    ds.Manufacturer, ds.ManufacturerModelName = "A maker", "A model"
    ds.LUTExplanation = "for Smith"
    ds.WindowCenterWidthExplanation = "Smith's window"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Smith"
    lut = Dataset()
    lut.LUTExplanation, lut.ModalityLUTType = "Smith", "US"
    ds.AnatomicRegionSequence, ds.ModalityLUTSequence = Sequence([code]), Sequence([lut])
    content = deidentified_dicom(dicom_bytes(ds), PSEUDONYMS, LIMITS, DECODER)
    assert b"Smith" not in content
    kept = dcmread(BytesIO(content))
    assert (kept.Manufacturer, kept.ManufacturerModelName) == ("A maker", "A model")
    [region] = kept.AnatomicRegionSequence
    assert (region.CodeValue, region.CodeMeaning) == ("51185008", "REMOVED")


def test_the_file_says_what_was_done_to_it(cleaned: Dataset) -> None:
    assert cleaned.PatientIdentityRemoved == "YES"
    assert any("PS3.15" in method for method in cleaned.DeidentificationMethod)
    [code] = cleaned.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == METHOD_CODE
    assert cleaned.LongitudinalTemporalInformationModified == "REMOVED"
    assert cleaned.BurnedInAnnotation == "NO"


def test_what_the_image_needs_is_kept(original: bytes, cleaned: Dataset) -> None:
    assert np.array_equal(cleaned.pixel_array, PIXELS)
    assert (cleaned.Modality, cleaned.ViewPosition, cleaned.Manufacturer) == ("DX", "PA", "Maker")
    out = deidentified_dicom(original, PSEUDONYMS, LIMITS, DECODER)
    assert np.array_equal(read_upload(out).grey, read_upload(original).grey)


def test_no_private_or_unknown_element_is_left_at_any_level(cleaned: Dataset) -> None:
    seen = []
    cleaned.walk(lambda _ds, element: seen.append(element))
    assert not any(element.tag.is_private for element in seen)
    assert all(dictionary_has_tag(element.tag) for element in seen)
    assert not any(0x5000 <= element.tag.group <= 0x60FF for element in seen)
    assert cleaned.AnatomicRegionSequence[0].PatientName == ""


def test_the_same_file_gives_the_same_uids_and_a_study_stays_together(original: bytes) -> None:
    again = dcmread(BytesIO(deidentified_dicom(original, PSEUDONYMS, LIMITS, DECODER)))
    first = dcmread(BytesIO(deidentified_dicom(original, PSEUDONYMS, LIMITS, DECODER)))
    assert again == first
    sibling = dicom(PIXELS, SOPInstanceUID="1.2.3", StudyInstanceUID=everything().StudyInstanceUID,
                    PatientID=everything().PatientID)  # fmt: skip
    second = dcmread(BytesIO(deidentified_dicom(sibling, PSEUDONYMS, LIMITS, DECODER)))
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
def test_every_uncompressed_form_keeps_its_image_and_its_tables(syntax: UID) -> None:
    ds = dicom_dataset(PIXELS, bits=12, PatientName="ZQX^A", BurnedInAnnotation="NO")
    lut = Dataset()
    lut.add(DataElement(Tag(0x0028, 0x3002), "US", [4, 0, 16]))
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    lut.add(DataElement(Tag(0x0028, 0x3006), "OW", np.array([1, 2, 3, 400], order).tobytes()))
    ds.VOILUTSequence = Sequence([lut])
    content = dicom_bytes(ds, syntax)
    out = dcmread(BytesIO(deidentified_dicom(content, PSEUDONYMS, LIMITS, DECODER)))
    assert np.array_equal(out.pixel_array, PIXELS)
    table = np.frombuffer(out.VOILUTSequence[0].LUTData, "<u2")
    assert table.tolist() == [1, 2, 3, 400]
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_image_is_stored_plainly_without_its_comments(syntax: UID) -> None:
    values = PIXELS.astype(np.uint8)
    content = compressed_dicom(values, syntax, PatientName="ZQX^A")
    out = dcmread(BytesIO(deidentified_dicom(content, PSEUDONYMS, LIMITS, DECODER)))
    assert np.array_equal(out.pixel_array, values)
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_an_overlay_in_the_unused_bits_of_the_pixels_does_not_go_along() -> None:
    values = np.full((64, 64), 0xF123, np.uint16)
    out = deidentified_dicom(dicom(values, bits=12), PSEUDONYMS, LIMITS, DECODER)
    assert set(np.unique(dcmread(BytesIO(out)).pixel_array)) == {0x123}


def test_a_file_without_names_of_its_own_gets_some() -> None:
    bare = dicom(PIXELS, SOPInstanceUID=None, SOPClassUID=None)
    content = deidentified_dicom(bare, PSEUDONYMS, LIMITS, DECODER)
    assert UID(dcmread(BytesIO(content)).SOPInstanceUID).is_valid


def test_a_file_of_several_frames_is_refused() -> None:
    frames = dicom(np.vstack([PIXELS, PIXELS]), NumberOfFrames="2", Rows=64)
    with pytest.raises(Unprocessable, match="one frame"):
        deidentified_dicom(frames, PSEUDONYMS, LIMITS, DECODER)


@pytest.mark.parametrize(("tag", "said"), [("YES", "YES"), ("no ", "NO"), (None, None)])
def test_what_the_file_says_of_text_in_its_image_is_read(tag: str, said: str | None) -> None:
    tags: dict[str, Any] = {} if tag is None else {"BurnedInAnnotation": tag}
    assert burned_in(dicom(PIXELS, **tags), LIMITS) == said
