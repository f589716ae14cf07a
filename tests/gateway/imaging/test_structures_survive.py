"""Files put together rightly from wrong parts: lengths and check sums hold, sense does not.

Bytes changed at random rarely get past a check sum; these always do.
"""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from support.dicom_images import dicom_bytes, dicom_dataset
from support.images import encoded, radiograph_like
from support.surviving import bounded, survives

# Nonsense is written on purpose, and pydicom says so.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
GREY = radiograph_like(48, 40)
Part = tuple[bytes, bytes]
NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))


def png_chunks(data: bytes) -> list[Part]:
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_of(chunks: list[Part]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        parts += [struct.pack(">I", len(body)), name, body]
        parts.append(struct.pack(">I", zlib.crc32(name + body)))
    return b"".join(parts)


def jpeg_segments(data: bytes) -> tuple[list[Part], bytes]:
    """The segments up to the scan, and the scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        found.append((data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, data[at:]


def jpeg_of(segments: list[Part], scan: bytes) -> bytes:
    parts = [b"\xff\xd8"]
    for marker, body in segments:
        parts += [marker, struct.pack(">H", min(len(body) + 2, 0xFFFF)), body]
    return b"".join([*parts, scan])


ANCILLARY = [(b"tEXt", b"a\0b"), (b"gAMA", struct.pack(">I", 45455))]
PNG_CHUNKS = [*png_chunks(encoded(GREY)), *ANCILLARY]
JPEG_SEGMENTS, SCAN = jpeg_segments(encoded(GREY, "JPEG"))


def rearranged(parts: list[Part]) -> st.SearchStrategy[list[Part]]:
    """The parts in any order, some of them twice or not at all, some with another body."""
    changed = st.builds(lambda part, body: (part[0], body), st.sampled_from(parts), st.binary())
    return st.lists(st.one_of(st.sampled_from(parts), changed), min_size=1, max_size=12)


@bounded
@given(NUMBERS, NUMBERS, st.binary(min_size=5, max_size=5))
def test_a_png_header_of_any_size_and_kind(width: int, height: int, kind: bytes) -> None:
    for size in ((width, height), (GREY.shape[1], GREY.shape[0])):
        header = struct.pack(">II", *size) + kind
        survives(png_of([(b"IHDR", header), *PNG_CHUNKS[1:]]))


@bounded
@given(rearranged(PNG_CHUNKS))
def test_png_chunks_in_any_order(chunks: list[Part]) -> None:
    survives(png_of([PNG_CHUNKS[0], *chunks]))
    survives(png_of(chunks))


@bounded
@given(st.binary(max_size=3000), st.integers(0, 9))
def test_png_rows_that_inflate_to_anything(rows: bytes, level: int) -> None:
    data = zlib.compress(rows, level)
    survives(png_of([PNG_CHUNKS[0], (b"IDAT", data), (b"IEND", b"")]))


@bounded
@given(rearranged(JPEG_SEGMENTS))
def test_jpeg_segments_in_any_order(segments: list[Part]) -> None:
    survives(jpeg_of(segments, SCAN))


@bounded
@given(st.integers(0xC0, 0xCF), st.integers(0, 255), NUMBERS, NUMBERS, st.binary(max_size=12))
def test_a_jpeg_frame_of_any_size_and_kind(
    marker: int, depth: int, width: int, height: int, components: bytes
) -> None:
    frame = struct.pack(">BHHB", depth, height & 0xFFFF, width & 0xFFFF, len(components) // 3)
    kept = [part for part in JPEG_SEGMENTS if not 0xC0 <= part[0][1] <= 0xC2]
    survives(jpeg_of([*kept, (bytes([0xFF, marker]), frame + components)], SCAN))


SHORTS = st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF))
DECIMALS = st.sampled_from(["0", "-1", "1e308", "-1e308", "1e-308", "0.5", "65536", "1\\2", ""])
ODD: dict[str, st.SearchStrategy[Any]] = {
    "Rows": SHORTS,
    "Columns": SHORTS,
    "BitsAllocated": SHORTS,
    "BitsStored": SHORTS,
    "HighBit": SHORTS,
    "PixelRepresentation": SHORTS,
    "SamplesPerPixel": SHORTS,
    "PlanarConfiguration": SHORTS,
    "PixelPaddingValue": SHORTS,
    "NumberOfFrames": DECIMALS,
    "WindowCenter": DECIMALS,
    "WindowWidth": DECIMALS,
    "RescaleSlope": DECIMALS,
    "RescaleIntercept": DECIMALS,
    "VOILUTFunction": st.sampled_from(["LINEAR", "SIGMOID", "LINEAR_EXACT", "", "X"]),
    "PhotometricInterpretation": st.sampled_from(
        ["MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL_422", "", "X"]
    ),
    "PixelData": st.binary(max_size=4000).map(lambda data: data + b"\0" * (len(data) % 2)),
}
WRONG = st.dictionaries(st.sampled_from(sorted(ODD)), st.none(), min_size=1, max_size=4).flatmap(
    lambda names: st.fixed_dictionaries({name: ODD[name] for name in names})
)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@bounded
@given(WRONG)
def test_dicom_elements_of_any_value(syntax: Any, wrong: dict[str, Any]) -> None:
    dataset = dicom_dataset(GREY.astype(np.uint16) * 16, bits=12)
    for keyword, value in wrong.items():
        setattr(dataset, keyword, value)
    survives(dicom_bytes(dataset, syntax))
