"""JPEG 2000 in DICOM: cut files and headers that would cost a decoder gigabytes are refused."""

import io
import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from cxr_gateway.imaging import read_upload
from cxr_gateway.imaging.jpeg2000 import j2k_stream_frame
from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.codestream import jpeg_stream_frame
from support.dicom_images import compressed_dicom, dicom_bytes, dicom_dataset, sample
from support.images import radiograph_like

RADIOGRAPH = (radiograph_like(128, 128).astype(np.uint16) * 16).astype(np.uint16)
COD, SOT, SOD = b"\xff\x52\x00\x0c", b"\xff\x90\x00\x0a", b"\xff\x93"


@lru_cache
def stream() -> bytes:
    """`RADIOGRAPH` as a JPEG 2000 codestream of one tile."""
    ds = pydicom.dcmread(io.BytesIO(compressed_dicom(RADIOGRAPH, JPEG2000Lossless, bits=12)))
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    assert frame.count(SOT) == 1
    assert frame.count(COD) == 1
    return frame.rstrip(b"\x00")


def in_dicom(codestream: bytes, rows: int = 128, columns: int = 128) -> bytes:
    ds = dicom_dataset(RADIOGRAPH, bits=12, Rows=rows, Columns=columns)
    ds.PixelData = encapsulate([codestream])
    ds["PixelData"].is_undefined_length = True
    return dicom_bytes(ds, JPEG2000Lossless)


def resized(side: int, tile: int) -> bytearray:
    data = bytearray(stream())
    struct.pack_into(">IIIIII", data, 8, side, side, 0, 0, tile, tile)
    return data


def with_layers() -> bytearray:
    data = bytearray(stream())
    struct.pack_into(">H", data, data.index(COD) + 6, 65_535)
    return data


def with_small_blocks() -> bytearray:
    data = resized(4000, 4000)
    at = data.index(COD)
    data[at + 10] = data[at + 11] = 0  # 4 x 4, the smallest that the standard knows
    return data


def with_small_precincts() -> bytearray:
    """An 800-byte file of this kind took OpenJPEG 29 s and 9 GB."""
    data = resized(4000, 4000)
    at = data.index(COD)
    levels = data[at + 9]
    data[at + 4] |= 1
    data[at + 2 : at + 4] = struct.pack(">H", 12 + levels + 1)
    data[at + 14 : at + 14] = bytes([0x00]) + bytes([0x11]) * levels
    return data


def with_coding_style_in_its_tile() -> bytearray:
    data = bytearray(stream())
    style = data[data.index(COD) :][:14]
    at = data.index(SOD)
    data[at:at] = style
    return data


BOMBS: dict[str, tuple[Callable[[], bytearray], str]] = {
    "tiles": (lambda: resized(4000, 16), "62500 tiles; at most 4096"),
    "layers": (with_layers, "65535 layers and . levels; at most 256"),
    "blocks": (with_small_blocks, "cut into 1000... blocks; at most 250000"),
    "precincts": (with_small_precincts, "cut into 16000000 blocks; at most 250000"),
    "style": (with_coding_style_in_its_tile, "changes its coding style within a tile"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_header_of_absurdly_many_parts_is_refused_before_it_is_decoded(name: str) -> None:
    make, words = BOMBS[name]
    with pytest.raises(Unprocessable, match=words):
        j2k_stream_frame(bytes(make()))


def test_a_refused_codestream_is_refused_as_an_upload_too() -> None:
    with pytest.raises(Unprocessable, match="cut into"):
        read_upload(in_dicom(bytes(with_small_precincts()), 4000, 4000))


def test_a_tile_part_whose_length_is_left_open_is_read() -> None:
    data = bytearray(stream())
    struct.pack_into(">I", data, data.index(SOT) + 6, 0)
    open_ended = read_upload(in_dicom(bytes(data)))
    np.testing.assert_array_equal(open_ended.grey, read_upload(in_dicom(stream())).grey)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_codestream_is_no_half_image(share: float) -> None:
    whole = stream()
    with pytest.raises(Unprocessable, match="truncated"):
        read_upload(in_dicom(whole[: int(share * len(whole))]))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_jpeg_ls_codestream_is_no_half_image(share: float) -> None:
    ds = pydicom.dcmread(io.BytesIO(sample("MR_small_jpeg_ls_lossless.dcm")))
    assert ds.file_meta.TransferSyntaxUID == JPEGLSLossless
    whole = get_frame(ds.PixelData, 0, number_of_frames=1)
    assert jpeg_stream_frame(whole).width == 64
    with pytest.raises(Unprocessable, match="truncated"):
        jpeg_stream_frame(whole[: int(share * len(whole))])
