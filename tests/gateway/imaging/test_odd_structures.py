"""Odd ways to store one image, kind by kind: every one gives its pixels, or is refused by name."""

import io
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_extended
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cxr_gateway.imaging import read_upload
from cxr_serving.errors import Unprocessable
from support.dicom_images import NATIVE, compressed_dicom, dicom, dicom_bytes, dicom_dataset
from support.images import encoded, radiograph_like

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

GREY = radiograph_like(128, 96)
TWELVE = GREY.astype(np.uint16) * 16
FULL_8: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
FULL_12: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
SHOWN_12 = read_upload(dicom(TWELVE, bits=12, **FULL_12)).grey
Values = npt.NDArray[Any]


def close(data: bytes, right: Values) -> bool:
    grey = read_upload(data).grey
    return grey.shape == right.shape and int(np.abs(grey.astype(int) - right).max()) <= 1


# --- items of compressed pixel data -------------------------------------------------------------

J2K = bytes(imagecodecs.jpeg2k_encode(TWELVE, level=0, codecformat="j2k"))
JP2 = bytes(imagecodecs.jpeg2k_encode(TWELVE, level=0, codecformat="jp2"))
JPEG_LS = bytes(imagecodecs.jpegls_encode(TWELVE))
JPEG = bytes(imagecodecs.jpeg_encode(GREY, level=95))
CODED: dict[str, tuple[bytes, UID, Values, Values]] = {
    "JPEG 2000": (J2K, JPEG2000Lossless, TWELVE, SHOWN_12),
    "JPEG 2000 in boxes": (JP2, JPEG2000Lossless, TWELVE, SHOWN_12),
    "JPEG-LS": (JPEG_LS, JPEGLSLossless, TWELVE, SHOWN_12),
    "JPEG": (JPEG, JPEGBaseline8Bit, GREY, imagecodecs.jpeg_decode(JPEG)),
}
DELIMITER = bytes.fromhex("feffdde000000000")


def item(content: bytes) -> bytes:
    content += b"\0" * (len(content) % 2)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def in_items(items: bytes, syntax: UID, values: Values, **tags: Any) -> bytes:
    window = {"bits": 12, **FULL_12} if values is TWELVE else FULL_8
    ds = dicom_dataset(values, **window, **tags)
    ds.PixelData = items
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return dicom_bytes(ds, syntax)


def thirds(stream: bytes) -> bytes:
    step = len(stream) // 6 * 2
    return b"".join(item(stream[a:b]) for a, b in ((0, step), (step, 2 * step), (2 * step, None)))


@pytest.mark.parametrize("codec", CODED)
@pytest.mark.parametrize(
    "arranged",
    [
        lambda stream: item(b"") + item(stream),
        lambda stream: item(struct.pack("<I", 0)) + item(stream),
        lambda stream: item(b"") + thirds(stream),
        lambda stream: item(struct.pack("<I", 0)) + thirds(stream),
        item,
        thirds,
        lambda stream: item(struct.pack("<I", 99_999)) + item(stream),
        lambda stream: item(bytes(6)) + item(stream),
        lambda stream: item(b"") + item(b"") + item(stream),
    ],
    ids=[
        "usual", "table", "fragments", "table and fragments", "no table", "no table but fragments",
        "wrong table", "table of 6 bytes", "empty item",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["delimiter", "none"])
def test_one_frame_is_whatever_its_items_hold(
    codec: str, arranged: Callable[[bytes], bytes], end: str
) -> None:
    stream, syntax, values, right = CODED[codec]
    data = in_items(arranged(stream), syntax, values)
    if end == "none":
        assert data.endswith(DELIMITER)
        data = data[: -len(DELIMITER)]
    assert close(data, right)


@pytest.mark.parametrize("codec", CODED)
@pytest.mark.parametrize("offset", [0, 77_777])
def test_extended_offsets_are_not_asked_for_a_single_frame(codec: str, offset: int) -> None:
    stream, syntax, values, right = CODED[codec]
    items, offsets, lengths = encapsulate_extended([stream])
    assert len(offsets) == 8
    data = in_items(
        items,
        syntax,
        values,
        ExtendedOffsetTable=struct.pack("<Q", offset),
        ExtendedOffsetTableLengths=lengths,
    )
    assert close(data, right)


def test_run_lengths_are_read_without_a_table_of_offsets() -> None:
    data = compressed_dicom(TWELVE, RLELossless, bits=12, **FULL_12)
    table = item(struct.pack("<I", 0))
    assert data.count(table) == 1
    assert close(data.replace(table, b""), SHOWN_12)


def test_items_in_an_uncompressed_syntax_are_no_pixels() -> None:
    data = in_items(item(b"") + item(GREY.tobytes()), ExplicitVRLittleEndian, GREY)
    with pytest.raises(Unprocessable, match="stored in items"):
        read_upload(data)


@pytest.mark.parametrize(
    ("number", "name"),
    [("110", "JPEG XL Lossless"), ("111", "JPEG XL JPEG Recompression"), ("112", "JPEG XL")],
)
def test_jpeg_xl_is_refused_by_name(number: str, name: str) -> None:
    stream = bytes(imagecodecs.jpegxl_encode(TWELVE, lossless=True))
    data = in_items(item(b"") + item(stream), HTJ2KLossless, TWELVE)
    with pytest.raises(Unprocessable, match=f"is {name}; accepted are"):
        read_upload(
            data.replace(b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4." + number.encode())
        )


# --- a data set that is written in another way than its file says -------------------------------

FIRST_ELEMENT = {True: b"\x08\x00\x16\x00", False: b"\x00\x08\x00\x16"}


def split(syntax: UID) -> tuple[bytes, bytes]:
    """Preamble and file meta group, and the data set."""
    data = dicom(TWELVE, bits=12, syntax=syntax, **FULL_12)
    at = data.index(FIRST_ELEMENT[syntax != ExplicitVRBigEndian])
    return data[:at], data[at:]


WRITTEN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.mark.parametrize("said", WRITTEN)
@pytest.mark.parametrize("written", WRITTEN)
def test_a_data_set_is_read_as_it_is_written(said: UID, written: UID) -> None:
    assert close(split(said)[0] + split(written)[1], SHOWN_12)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_data_set_without_a_file_around_it_is_read(written: UID) -> None:
    assert close(split(written)[1], SHOWN_12)


# --- bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
@pytest.mark.parametrize("high_bit", [11, 13, 15])
@pytest.mark.parametrize("is_signed", [False, True])
def test_stored_bits_are_found_wherever_they_lie(
    syntax: UID, high_bit: int, *, is_signed: bool
) -> None:
    values = TWELVE.astype(np.int32) - (2048 if is_signed else 0)
    moved = (values << (high_bit - 11)) & 0xFFFF
    # Above and below lie what might be overlays.
    moved |= (0xFFFF << (high_bit + 1)) & 0xFFFF | ((1 << (high_bit - 11)) - 1)
    stored = moved.astype(np.uint16).view(np.int16 if is_signed else np.uint16)
    window = {"WindowCenter": 0 if is_signed else 2048, "WindowWidth": 4096}
    tags = {"bits": 12, "HighBit": high_bit, **window}
    if syntax != RLELossless:
        assert close(dicom(stored, syntax=syntax, **tags), SHOWN_12)
        return
    ds = dicom_dataset(stored, **tags)
    segments = [stored.view(np.uint8).reshape(-1, 2)[:, plane].tobytes() for plane in (1, 0)]
    packed = [imagecodecs.packbits_encode(segment) for segment in segments]
    packed = [one + b"\0" * (len(one) % 2) for one in packed]
    header = struct.pack("<16L", 2, 64, 64 + len(packed[0]), *[0] * 13)
    ds.PixelData = item(b"") + item(header + b"".join(packed))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    assert close(dicom_bytes(ds, syntax), SHOWN_12)


@pytest.mark.parametrize("high_bit", [7, 16, 200])
def test_stored_bits_that_lie_outside_are_refused(high_bit: int) -> None:
    with pytest.raises(Unprocessable, match=r"HighBit \(0028,0102\)"):
        read_upload(dicom(TWELVE, bits=12, HighBit=high_bit, **FULL_12))


@pytest.mark.parametrize(
    "odd",
    [
        {"NumberOfFrames": 0},
        {"NumberOfFrames": ""},
        {"PixelRepresentation": None},
        {"SamplesPerPixel": None},
        {"HighBit": None},
        {"PhotometricInterpretation": "monochrome2"},
        {"PixelData": GREY.tobytes() + bytes(100)},
        {"ICCProfile": bytes(200)},
        {"SOPClassUID": "1.2.840.10008.5.1.1.29"},
        {"SOPClassUID": "1.3.46.670589.2.3.1.1"},
        {"WindowWidth": [256, 20], "WindowCenter": [128, 20], "VOILUTFunction": "linear "},
        {"PresentationLUTShape": "IDENTITY"},
    ],
    ids=str,
)
def test_what_can_only_be_meant_in_one_way_is_read(odd: dict[str, Any]) -> None:
    assert close(dicom(GREY, **(FULL_8 | odd)), GREY)


def test_pixels_that_are_no_whole_numbers_are_named() -> None:
    ds = dicom_dataset(GREY, **FULL_8, FloatPixelData=GREY.astype("<f4").tobytes(), PixelData=None)
    with pytest.raises(Unprocessable, match=r"FloatPixelData \(7FE0,0008\)"):
        read_upload(dicom_bytes(ds))


@pytest.mark.parametrize("is_inverted", [False, True])
def test_a_modality_table_comes_before_the_window(*, is_inverted: bool) -> None:
    entries = np.arange(256)[:: -1 if is_inverted else 1] * 16
    table = Dataset()
    table.add(DataElement(0x00283002, "US", [256, 0, 12]))
    table.add(DataElement(0x00283006, "OW", entries.astype("<u2").tobytes()))
    shown = np.rint(np.clip((entries[GREY] - 2047.5) / 4095 + 0.5, 0, 1) * 255)
    assert close(dicom(GREY, ModalityLUTSequence=[table], **FULL_12), shown)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [0, 255, 77])
def test_padding_is_black_whatever_its_value(photometric: str, padding: int) -> None:
    values = np.clip(GREY, 80, 250)
    values[:10] = padding
    right = (255 - values if photometric == "MONOCHROME1" else values).astype(int)
    right[:10] = 0
    tags: dict[str, Any] = {
        "PhotometricInterpretation": photometric,
        "PixelPaddingValue": padding,
    }
    assert close(dicom(values, **tags, **FULL_8), right)


# --- grey in colour -------------------------------------------------------------------------------

RGB = np.dstack([GREY] * 3)
THREE: dict[str, Any] = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "Modality": "OT"}


def palette(values: Values, order: str = "<") -> dict[str, Any]:
    """Tables of 256 entries of 16 bits; `values` [256, 3]."""
    made: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for band, colour in enumerate(("Red", "Green", "Blue")):
        made[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        entries = (values[:, band].astype(np.uint16) * 257).astype(f"{order}u2")
        made[f"{colour}PaletteColorLookupTableData"] = entries.tobytes()
    return made


def secondary_captures(rgb: Values, colours: Values) -> dict[str, bytes]:
    """One image of grey, or not, in every way in which colour is stored."""
    planes = np.ascontiguousarray(np.moveaxis(rgb, 2, 0))
    ycc = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    stream = encoded(rgb, "JPEG", quality=98, subsampling=1)
    ds = dicom_dataset(rgb, PhotometricInterpretation="YBR_FULL_422", **THREE)
    ds.PixelData = item(b"") + item(stream)
    ds["PixelData"].is_undefined_length = True
    return {
        "RGB": dicom(rgb, PhotometricInterpretation="RGB", **THREE),
        "RGB in planes": dicom(
            planes, Rows=96, Columns=128, PhotometricInterpretation="RGB",
            **(THREE | {"PlanarConfiguration": 1}),
        ),
        "YBR": dicom(ycc, PhotometricInterpretation="YBR_FULL", **THREE),
        "palette": dicom(GREY, **palette(colours)),
        "palette, big endian": dicom(GREY, syntax=ExplicitVRBigEndian, **palette(colours, ">")),
        "JPEG": dicom_bytes(ds, JPEGBaseline8Bit),
    }  # fmt: skip


LEVELS = np.arange(256)
CAPTURED = secondary_captures(RGB, np.stack([LEVELS] * 3, axis=1))
COLOURFUL = secondary_captures(
    np.dstack([GREY, GREY // 2, 255 - GREY]), np.stack([LEVELS, LEVELS // 2, 255 - LEVELS], axis=1)
)


@pytest.mark.parametrize("kind", CAPTURED)
def test_a_grey_image_stored_in_colour_is_read(kind: str) -> None:
    image = read_upload(CAPTURED[kind])
    assert image.refused is None
    allowed = 4 if kind == "JPEG" else 1  # a lossy file
    assert np.abs(image.grey.astype(int) - GREY).max() <= allowed


@pytest.mark.parametrize("kind", COLOURFUL)
def test_an_image_in_colour_is_rejected_as_in_a_png(kind: str) -> None:
    refused = read_upload(COLOURFUL[kind]).refused
    assert refused is not None
    assert refused.startswith("The DICOM file is a colour image")
    assert read_upload(encoded(np.dstack([GREY, GREY // 2, 255 - GREY]))).refused is not None


def test_samples_and_colour_have_to_agree() -> None:
    with pytest.raises(Unprocessable, match="contradicts itself"):
        read_upload(dicom(GREY, PhotometricInterpretation="RGB"))


def test_a_stream_of_three_components_is_no_monochrome_one() -> None:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "JPEG")
    data = in_items(item(b"") + item(stream.getvalue()), JPEGBaseline8Bit, GREY)
    with pytest.raises(Unprocessable, match="3 components"):
        read_upload(data)


# --- texts ----------------------------------------------------------------------------------------


def with_text(keyword: str, value: bytes, **tags: Any) -> bytes:
    padded = value + b" " * (len(value) % 2)
    tags[keyword] = "8" * len(padded)
    data = dicom(GREY, **FULL_8, **tags)
    assert data.count(b"8" * len(padded)) == 1
    return data.replace(b"8" * len(padded), padded)


@pytest.mark.parametrize(
    ("charset", "stored", "name"),
    [
        ("ISO_IR 192", "Søren^Åse".encode(), "Åse Søren"),
        ("ISO_IR 100", "Müller^Jürgen".encode("latin-1"), "Jürgen Müller"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"), "ﾀﾛｳ ﾔﾏﾀﾞ"),
        ("GB18030", "王^小东".encode("gb18030"), "小东 王"),
        ("ISO_IR 101", "Wałęsa^Anna".encode("iso8859-2"), "Anna Wałęsa"),
        # Declared as Latin, or not at all, and written in UTF-8.
        ("ISO_IR 100", "Müller^Jürgen".encode(), "Jürgen Müller"),
        (None, "Müller^Jürgen".encode(), "Jürgen Müller"),
        ("ISO_IR 6", "李^伟".encode(), "伟 李"),
        # Of a character set that nobody knows.
        ("ISO_IR 999", "Müller^Jürgen".encode(), "Jürgen Müller"),
        # A Latin name stays what it is.
        ("ISO_IR 100", "Ångström^Per".encode("latin-1"), "Per Ångström"),
    ],
)
def test_a_name_is_read_in_its_own_letters(charset: str | None, stored: bytes, name: str) -> None:
    tags = {} if charset is None else {"SpecificCharacterSet": charset}
    assert read_upload(with_text("PatientName", stored, **tags)).patient.name == name


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"AB\x0012345", None),
        (b"AB\x0712345", None),
        (b"AB\x7f12345", None),
        (b"AB12345\0", "AB12345"),
        (b"  AB12345  ", "AB12345"),
        (b"AB  12345", "AB  12345"),
        (b"0012345", "0012345"),
    ],
    ids=repr,
)
def test_an_identifier_is_whole_or_not_told(stored: bytes, told: str | None) -> None:
    image = read_upload(with_text("PatientID", stored))
    assert image.patient.patient_id == told
    assert [note for note in image.metadata.notes if "PatientID (0010,0020)" in note] == (
        [] if told else ["PatientID (0010,0020) cannot be shown whole and is left out."]
    )
