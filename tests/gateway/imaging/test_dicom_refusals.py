"""DICOM that is no radiograph: refused with the tag, or kept as a rejected study by its tags."""

import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cxr_gateway.imaging import Limits, read_upload
from cxr_serving.errors import PayloadTooLarge, Unprocessable, UnsupportedMedia
from support.dicom_images import compressed_dicom, dicom, dicom_bytes, dicom_dataset, sample
from support.images import radiograph_like

RADIOGRAPH = (radiograph_like(64, 64).astype(np.uint16) * 16).astype(np.uint16)
BYTES = RADIOGRAPH.tobytes()

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no pixels": ({"PixelData": None}, r"no PixelData \(7FE0,0010\) \(Modality \(0008,0060\) is D"),
    "multi-frame": ({"NumberOfFrames": 2, "PixelData": BYTES * 2}, r"2 frames \(NumberOfFrames \("),
    "four samples": ({"SamplesPerPixel": 4}, r"SamplesPerPixel \(0028,0002\) is 4"),
    "palette": (
        {"PhotometricInterpretation": "PALETTE COLOR"},
        r"lacks RedPaletteColorLookupTableDescriptor \(0028,1101\)",
    ),
    "short": ({"PixelData": BYTES[:-2]}, r"PixelData \(7FE0,0010\) has 8190 bytes; Rows .* 8192"),
    "rows that are not there": ({"Rows": 65}, r"truncated or its header lies: PixelData"),
    "no rows": ({"Rows": 0}, r"Rows \(0028,0010\) image declares a size of 64 x 0"),
    "few rows": ({"Rows": 20}, "at least 32 a side"),
    "long": ({"Rows": 32, "Columns": 256}, "5 times as long"),
    "too many bits stored": ({"BitsStored": 17}, r"BitsStored \(0028,0101\) is 17, BitsAllocated"),
    "no bits stored": ({"BitsStored": 0}, r"BitsStored \(0028,0101\) is 0"),
    "few bits": ({"BitsStored": 7, "HighBit": 6}, r"BitsStored \(0028,0101\) is 7"),
    "high bit": ({"HighBit": 11}, r"HighBit \(0028,0102\) is 11; with 16 of 16 bits"),
    "odd allocation": ({"BitsAllocated": 12}, r"BitsAllocated \(0028,0100\) is 12"),
    "32 bits": (
        {"BitsAllocated": 32, "PixelData": BYTES * 2}, r"BitsAllocated \(0028,0100\) is 32",
    ),
    "no Rows": ({"Rows": None}, r"lacks Rows \(0028,0010\)"),
    "no Columns": ({"Columns": None}, r"lacks Columns \(0028,0011\)"),
    "no photometric": (
        {"PhotometricInterpretation": None}, r"lacks PhotometricInterpretation",
    ),
    "no allocation": ({"BitsAllocated": None}, r"lacks BitsAllocated"),
    "no depth": ({"BitsStored": None}, r"lacks BitsStored"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_cannot_be_a_radiograph_is_refused_by_its_tag(name: str) -> None:
    tags, words = REFUSED[name]
    with pytest.raises(Unprocessable, match=words):
        read_upload(dicom(RADIOGRAPH, **tags))


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.110", "9.9.9.99"])
def test_a_transfer_syntax_that_nothing_here_decodes_is_named(uid: str) -> None:
    ds = dicom_dataset(RADIOGRAPH)
    ds.PixelData = encapsulate([BYTES])
    ds["PixelData"].is_undefined_length = True
    data = dicom_bytes(ds, ExplicitVRLittleEndian)
    old = b"UI\x14\x001.2.840.10008.1.2.1\x00"
    padded = uid.encode() + b"\x00" * (len(uid) % 2)
    data = patched(data, old, b"UI" + len(padded).to_bytes(2, "little") + padded)
    with pytest.raises(Unprocessable, match=r"TransferSyntaxUID \(0002,0010\) is .*; accepted are"):
        read_upload(data)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless, JPEGLSLossless])
def test_rubbish_in_place_of_a_codestream_is_refused(syntax: Any) -> None:
    ds = dicom_dataset(RADIOGRAPH)
    ds.PixelData = encapsulate([b"\x00\x01\x02\x03" * 200])
    ds["PixelData"].is_undefined_length = True
    with pytest.raises(Unprocessable):
        read_upload(dicom_bytes(ds, syntax))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_a_codestream_of_another_size_than_the_header_is_refused(syntax: Any) -> None:
    data = compressed_dicom(RADIOGRAPH, syntax, bits=12)
    rows = b"\x28\x00\x10\x00US\x02\x00"
    larger = patched(data, rows + b"\x40\x00", rows + b"\x80\x00")
    with pytest.raises(Unprocessable, match=r"Rows \(0028,0010\) 128|truncated"):
        read_upload(larger)


def test_encapsulated_pixels_under_an_uncompressed_syntax_contradict_themselves() -> None:
    data = compressed_dicom(RADIOGRAPH, RLELossless, bits=12)
    lying = patched(data, b"1.2.840.10008.1.2.5\x00", b"1.2.840.10008.1.2.1\x00")
    with pytest.raises(Unprocessable, match=r"TransferSyntaxUID .* PixelData .* stored otherwise"):
        read_upload(lying)


def test_a_header_of_too_many_pixels_is_refused_with_memory_flat() -> None:
    data = dicom(RADIOGRAPH, Rows=60_000, Columns=60_000)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=r"3600\.0 megapixels"):
            read_upload(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_deflated_bomb_is_not_inflated_beyond_the_limit() -> None:
    data = dicom(RADIOGRAPH, syntax=DeflatedExplicitVRLittleEndian)
    start = data.index(b"1.2.840.10008.1.2.1.99")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(60_000_000)) + deflater.flush()
    meta_end = start + 22
    plain = dicom_dataset(RADIOGRAPH)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises((PayloadTooLarge, Unprocessable)):
            read_upload(
                data[:meta_end] + bomb,
                limits=Limits(max_bytes=max(1_000_000, len(plain.PixelData))),
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("length", [140, 200, 600, 1000, 5000])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_file_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(Unprocessable):
        read_upload(dicom(RADIOGRAPH)[:length])


def test_a_preamble_with_nothing_behind_it_is_refused() -> None:
    with pytest.raises(Unprocessable, match="no PixelData"):
        read_upload(bytes(128) + b"DICM")


def test_what_only_starts_like_bare_dicom_is_of_an_unknown_kind() -> None:
    with pytest.raises((UnsupportedMedia, Unprocessable)):
        read_upload(b"\x08\x00\x05\x00" + bytes(range(200)))


def test_deeply_nested_sequences_are_refused_and_not_followed() -> None:
    deep = b"".join(
        (b"\x08\x00\x18\x22SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff",) * 20_000
    )
    data = dicom(RADIOGRAPH)
    body = data.index(b"\x08\x00\x16\x00UI")
    with pytest.raises(Unprocessable):
        read_upload(data[:body] + deep + data[body:])


@pytest.mark.parametrize("group", ["meta", "data set"])
def test_a_text_of_a_megabyte_is_refused_before_it_is_split_and_validated(group: str) -> None:
    """As a list of half a million UIDs or names it would occupy pydicom for half a minute."""
    data = dicom(RADIOGRAPH, syntax=ImplicitVRLittleEndian)
    long = b"1\\" * 500_000
    if group == "meta":
        uid = b"UI\x12\x001.2.840.10008.1.2\x00"
        longest = b"UI\xfe\xff" + long[:0xFFFE]
        data = patched(data, uid, longest)
    else:
        name = b"\x10\x00\x10\x00" + len(long).to_bytes(4, "little") + long
        at = data.index(b"\x18\x00\x15\x00")
        data = data[:at] + name + data[at:]
    with pytest.raises(Unprocessable, match=r"has (65534|1000000) bytes; that is too long"):
        read_upload(data)


PRIVATE = b"\x09\x00\x01\x10LO\x00\x00"
EMPTY_ITEMS = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + bytes(4)


@pytest.mark.parametrize(
    ("start", "repeated", "words"),
    [
        (b"", PRIVATE, "more elements than any radiograph"),
        (EMPTY_ITEMS[:12], EMPTY_ITEMS[12:], "damaged or incomplete"),
    ],
    ids=["elements", "items"],
)
def test_a_million_elements_or_items_are_not_built(
    start: bytes, repeated: bytes, words: str
) -> None:
    data = dicom(RADIOGRAPH)
    at = data.index(b"\x18\x00\x15\x00")
    with pytest.raises(Unprocessable, match=words):
        read_upload(data[:at] + start + repeated * 1_000_000 + data[at:])


def code(meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-1", "SRT", meaning
    return Sequence([item])


REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "CT": ({"Modality": "CT"}, "Modality (0008,0060) is CT, computed tomography"),
    "US": ({"Modality": "US"}, "Modality (0008,0060) is US, ultrasound"),
    "MR": ({"Modality": "MR"}, "Modality (0008,0060) is MR, magnetic resonance"),
    "unheard of": ({"Modality": "XYZ"}, "Modality (0008,0060) is XYZ;"),
    "leg": ({"BodyPartExamined": "LEG"}, "BodyPartExamined (0018,0015) is LEG"),
    "knee by code": (
        {"BodyPartExamined": None, "AnatomicRegionSequence": code("Knee")},
        "AnatomicRegionSequence (0008,2218) is Knee",
    ),
    "lateral": ({"ViewPosition": "LL"}, "ViewPosition (0018,5101) is LL, a lateral view"),
    "lateral by code": (
        {"ViewPosition": None, "ViewCodeSequence": code("left lateral")},
        "ViewCodeSequence (0054,0220) is left lateral, a lateral view",
    ),
    "lateral by orientation": (
        {"ViewPosition": None, "PatientOrientation": ["A", "F"]},
        "PatientOrientation (0020,0020) is A, a lateral view",
    ),
    "oblique": ({"ViewPosition": "RAO"}, "ViewPosition (0018,5101) is RAO, an oblique view"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_tags_that_name_something_else_reject_the_study_and_keep_the_image(name: str) -> None:
    tags, reason = REJECTED[name]
    decoded = read_upload(dicom(RADIOGRAPH, **tags))
    assert decoded.refused is not None
    assert decoded.refused.startswith(reason)
    assert decoded.refused.endswith(".")
    assert decoded.grey.shape == (64, 64)


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"Modality": "CR"},
    {"Modality": None, "BodyPartExamined": None, "ViewPosition": None},
    {"BodyPartExamined": "Thorax"},
    {"BodyPartExamined": "RIBS"},
    {"BodyPartExamined": "UNKNOWN"},
    {"ViewPosition": "AP"},
    {"ViewPosition": None, "ViewCodeSequence": code("postero-anterior")},
    {"ViewPosition": "LLD", "PatientOrientation": ["L", "F"]},
]


@pytest.mark.parametrize("tags", ACCEPTED, ids=str)
def test_tags_of_a_chest_radiograph_or_silent_ones_leave_it_to_the_image(
    tags: dict[str, Any],
) -> None:
    assert read_upload(dicom(RADIOGRAPH, **tags)).refused is None


@pytest.mark.parametrize("form", ["UNCI", "UNCR", "J2KI", "J2KR"])
@pytest.mark.parametrize(
    ("name", "tag"),
    [("RG3", "BodyPartExamined"), ("693", "Modality"), ("US1", "Modality")],
)
def test_the_real_radiographs_of_other_parts_and_modalities_are_rejected(
    name: str, tag: str, form: str
) -> None:
    decoded = read_upload(sample(f"{name}_{form}.dcm"))
    assert decoded.refused is not None
    assert decoded.refused.startswith(tag)
    assert np.ptp(decoded.grey) > 100
