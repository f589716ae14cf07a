"""Files put together rightly from wrong parts: lengths and check sums hold, sense does not.

Bytes changed at random rarely get past a check sum; these always do.
"""

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from support.dicom_images import dicom_bytes, dicom_dataset
from support.images import encoded, radiograph_like
from support.structures import Part, jpeg_of, jpeg_segments, png_chunks, png_of
from support.surviving import bounded, survives

# Nonsense is written on purpose, and pydicom says so.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
GREY = radiograph_like(48, 40)
NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))


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


_PACKED = bytes(imagecodecs.packbits_encode(GREY.tobytes()))
RUN_LENGTHS = struct.pack("<16L", 1, 64, *[0] * 14) + _PACKED + bytes(len(_PACKED) % 2)
STREAMS = {
    JPEG2000Lossless: bytes(imagecodecs.jpeg2k_encode(GREY, level=0, codecformat="j2k")),
    JPEGLSLossless: bytes(imagecodecs.jpegls_encode(GREY)),
    JPEGLosslessSV1: bytes(imagecodecs.jpeg_encode(GREY, lossless=True, predictor=1)),
    JPEGBaseline8Bit: bytes(imagecodecs.jpeg_encode(GREY)),
    RLELossless: RUN_LENGTHS,
}
# A piece of the codestream from one place to another, or anything else.
PIECES = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 600), st.integers(0, 2000)),
        st.binary(max_size=64),
        st.just((0, 100_000)),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: syntax.name)
@bounded
@given(PIECES, st.sampled_from([b"", bytes(8), bytes.fromhex("feffdde000000000")]), WRONG)
def test_compressed_pixels_in_any_items(
    syntax: Any, pieces: list[Any], end: bytes, wrong: dict[str, Any]
) -> None:
    stream, items = STREAMS[syntax], b""
    for piece in pieces:
        content = piece if isinstance(piece, bytes) else stream[piece[0] : piece[1]]
        items += b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content
    dataset = dicom_dataset(GREY)
    for keyword, value in wrong.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = items
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    survives(dicom_bytes(dataset, syntax)[:-8] + end)
