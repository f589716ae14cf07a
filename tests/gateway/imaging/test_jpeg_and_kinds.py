"""JPEG by numbers and refusals, and the files that are neither PNG nor JPEG nor DICOM."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.imaging import read_upload
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unprocessable, UnsupportedMedia
from support.images import encoded, radiograph_like

GREY = radiograph_like()
COLOUR = np.stack([GREY, np.roll(GREY, 30, 0), np.roll(GREY, 30, 1)], axis=2)
JPEG = encoded(GREY, "JPEG", quality=95)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_grey_jpeg_comes_out_as_pillow_decodes_it(progressive: bool) -> None:
    data = encoded(GREY, "JPEG", quality=95, progressive=progressive)
    decoded = read_upload(data)
    assert np.abs(decoded.grey.astype(int) - GREY).max() < 12
    assert (decoded.metadata.source, decoded.metadata.width) == (ImageSource.JPEG, 120)
    assert not decoded.grey.flags.writeable


def test_a_grey_image_in_a_colour_jpeg_is_its_luma() -> None:
    data = encoded(Image.fromarray(GREY).convert("RGB"), "JPEG", quality=95)
    assert np.abs(read_upload(data).grey.astype(int) - GREY).max() < 12


def test_a_jpeg_that_stores_rgb_itself_is_read_too() -> None:
    data = encoded(Image.fromarray(GREY).convert("RGB"), "JPEG", quality=95, keep_rgb=True)
    assert np.abs(read_upload(data).grey.astype(int) - GREY).max() < 12


@pytest.mark.parametrize(
    ("orientation", "turned"), [(3, np.rot90(GREY, 2)), (6, np.rot90(GREY, -1)), (5, GREY.T)]
)
def test_an_exif_rotation_of_a_jpeg_is_carried_out(
    orientation: int, turned: npt.NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = read_upload(encoded(GREY, "JPEG", quality=95, exif=exif)).grey
    assert grey.shape == turned.shape
    assert np.abs(grey.astype(int) - turned).max() < 12


def with_frame(data: bytes, *, code: int = 0xC0, at: int = 0, value: bytes = b"") -> bytes:
    """`data` with another frame code, or other bytes in the frame header."""
    start = data.index(b"\xff\xc0")
    changed = bytearray(data)
    changed[start + 1] = code
    changed[start + 4 + at : start + 4 + at + len(value)] = value
    return bytes(changed)


SCAN = JPEG[JPEG.index(b"\xff\xda") : -2]
REFUSED: dict[str, tuple[bytes, type[ServiceError], str]] = {
    "CMYK": (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), UnsupportedMedia, "CMYK"),
    "cut in the scan": (JPEG[: len(JPEG) // 2], Unprocessable, "end marker is missing"),
    "cut in the header": (JPEG[:60], Unprocessable, "truncated"),
    "three bytes": (JPEG[:3], Unprocessable, "JPEG"),
    "no scan": (JPEG[:2] + b"\xff\xd9", Unprocessable, "before its first scan"),
    "lossless": (with_frame(JPEG, code=0xC3), Unprocessable, "lossless or hierarchical"),
    "12 bits": (with_frame(JPEG, value=b"\x0c"), Unprocessable, "12 bits a sample"),
    "two components": (with_frame(JPEG, at=5, value=b"\x02"), Unprocessable, "2 components"),
    "no rows": (with_frame(JPEG, at=1, value=b"\x00\x00"), Unprocessable, "120 x 0 pixels"),
    "bomb": (with_frame(JPEG, at=1, value=b"\xff\xff\xff\xff"), PayloadTooLarge, "4294.8 mega"),
    "many scans": (JPEG[:-2] + SCAN * 120 + JPEG[-2:], Unprocessable, "more than 40 scans"),
    "tiny": (encoded(radiograph_like(20, 20), "JPEG"), Unprocessable, "at least 32 a side"),
    "a ribbon": (encoded(radiograph_like(64, 400), "JPEG"), Unprocessable, "5 times as long"),
}  # fmt: skip


@pytest.mark.parametrize("keep_rgb", [False, True])
def test_a_colour_photograph_is_no_error_but_no_radiograph(keep_rgb: bool) -> None:
    decoded = read_upload(encoded(Image.fromarray(COLOUR), "JPEG", keep_rgb=keep_rgb))
    assert decoded.refused is not None
    assert decoded.refused.startswith("The JPEG is a colour image")


@pytest.mark.parametrize("name", REFUSED)
def test_a_jpeg_that_is_no_radiograph_is_refused_by_name(name: str) -> None:
    data, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        read_upload(data)


KINDS = {
    "an empty file": b"",
    "a GIF image": encoded(GREY, "GIF"),
    "a TIFF image": encoded(GREY, "TIFF"),
    "a BMP image": encoded(GREY, "BMP"),
    "a WebP image": encoded(GREY, "WEBP"),
    "a bare JPEG 2000 image": encoded(GREY, "JPEG2000"),
    "a PDF document": b"%PDF-1.7\n",
    "a ZIP archive": b"PK\x03\x04" + bytes(60),
    "an HTML page": b"\n<!DOCTYPE html><html></html>",
    "an XML or SVG document": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a text file": "Herz und Lunge unauffällig".encode(),
    "a file of zero bytes": bytes(1000),
    "the first bytes of a PNG": b"\x89PNG",
    "a file of an unknown kind": bytes(range(1, 255)),
    "an HEIC image": b"\x00\x00\x00\x18ftypheic" + bytes(40),
    "a NIfTI volume": bytes(344) + b"n+1\x00",
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_named_with_what_is_accepted(kind: str) -> None:
    with pytest.raises(UnsupportedMedia, match=kind) as refusal:
        read_upload(KINDS[kind])
    assert "Accepted are PNG, JPEG and DICOM" in refusal.value.detail
