"""Whatever bytes come in: an image or a refusal, and nothing else."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from cxr_gateway.imaging import read_upload
from cxr_serving.errors import Unprocessable, UnsupportedMedia
from support.dicom_images import compressed_dicom, dicom, sample
from support.images import encoded, radiograph_like
from support.surviving import SMALL, bounded, survives

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

GREY = radiograph_like(48, 40)
DEEP = GREY.astype(np.uint16) * 16
WINDOW: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096, "PixelPaddingValue": 0}
VALID = {
    "png": encoded(GREY),
    "deep png": encoded(DEEP),
    "jpeg": encoded(GREY, "JPEG"),
    "implicit": dicom(DEEP, bits=12, syntax=ImplicitVRLittleEndian, **WINDOW),
    "explicit": dicom(DEEP, bits=12, **WINDOW),
    "big endian": dicom(DEEP, bits=12, syntax=ExplicitVRBigEndian),
    "deflated": dicom(DEEP, bits=12, syntax=DeflatedExplicitVRLittleEndian),
    "rle": compressed_dicom(DEEP, RLELossless, bits=12),
    "jpeg 2000": compressed_dicom(DEEP, JPEG2000Lossless, bits=12),
    "jpeg-ls": sample("MR_small_jpeg_ls_lossless.dcm"),
}


@bounded
@given(st.binary(max_size=4096))
@example(b"")
def test_random_bytes(data: bytes) -> None:
    survives(data)


@bounded
@given(
    head=st.sampled_from([data[:n] for data in VALID.values() for n in (12, 40, 140, 400)]),
    tail=st.binary(max_size=2048),
)
def test_the_start_of_a_valid_file_and_then_random_bytes(head: bytes, tail: bytes) -> None:
    survives(head + tail)


@pytest.mark.parametrize("kind", VALID)
@bounded
@given(
    places=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
    keep=st.floats(0.01, 1.0),
    is_cut=st.booleans(),
)
def test_a_valid_file_with_other_bytes_in_it_or_cut(
    kind: str, places: list[tuple[float, int]], keep: float, is_cut: bool
) -> None:
    data = bytearray(VALID[kind])
    for place, value in places:
        data[int(place * len(data))] = value
    survives(bytes(data[: int(keep * len(data))] if is_cut else data))


@pytest.mark.parametrize("kind", ["explicit", "rle", "jpeg 2000", "jpeg-ls", "implicit"])
@bounded
@given(
    places=st.lists(st.tuples(st.integers(128, 900), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_dicom_file_with_other_bytes_in_its_header(
    kind: str, places: list[tuple[int, int]]
) -> None:
    data = bytearray(VALID[kind])
    for place, value in places:
        data[place % len(data)] = value
    survives(bytes(data))


@pytest.mark.parametrize("kind", VALID)
def test_a_valid_file_itself_is_read(kind: str) -> None:
    decoded = read_upload(VALID[kind], limits=SMALL)
    assert np.ptp(decoded.grey) > 50


def test_a_file_cut_at_every_tenth_byte_never_passes_for_the_whole() -> None:
    for kind in ("png", "jpeg", "explicit", "rle"):
        whole = VALID[kind]
        for length in range(0, len(whole) - 10, 10):
            with pytest.raises((UnsupportedMedia, Unprocessable)):
                read_upload(io.BytesIO(whole).read(length), limits=SMALL)
