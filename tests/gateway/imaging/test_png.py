"""PNG: what the pixels become by numbers, and what is refused with which words."""

import struct
import tracemalloc
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin

from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.imaging import NO_PATIENT, Limits, read_upload
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unprocessable, UnsupportedMedia
from support.images import encoded, png_header_of, radiograph_like

GREY = radiograph_like()
COLOUR = np.stack([GREY, np.roll(GREY, 30, 0), np.roll(GREY, 30, 1)], axis=2)


def chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """`data` with one more chunk right behind IHDR."""
    return data[:33] + chunk(name, content) + data[33:]


def png_of(colour_type: int, bit_depth: int, pixels: bytes, side: int = 64) -> bytes:
    """A PNG written by hand from filtered rows: kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", side, side, bit_depth, colour_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(pixels)),
            chunk(b"IEND", b""),
        )
    )


def test_an_8_bit_grey_png_comes_out_pixel_for_pixel_and_cannot_be_changed() -> None:
    decoded = read_upload(encoded(GREY))
    assert np.array_equal(decoded.grey, GREY)
    assert decoded.grey.dtype == np.uint8
    assert decoded.grey.flags.c_contiguous
    assert not decoded.grey.flags.writeable
    assert (decoded.metadata.width, decoded.metadata.height) == (120, 100)
    assert (decoded.metadata.source, decoded.metadata.view) == (ImageSource.PNG, None)
    assert decoded.patient == NO_PATIENT
    assert decoded.refused is None


def test_an_interlaced_png_gives_the_same_pixels() -> None:
    # Adam7 written by hand: seven passes over an even image.
    side = 32
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    grey = (np.arange(side * side, dtype=np.uint32).reshape(side, side) * 7 % 256).astype(np.uint8)
    rows = b"".join(
        b"\x00" + row.tobytes()
        for x, y, dx, dy in (*passes, (0, 1, 1, 2))
        for row in grey[y::dy, x::dx]
    )
    head, end = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header), chunk(b"IEND", b"")
    assert np.array_equal(read_upload(head + chunk(b"IDAT", zlib.compress(rows)) + end).grey, grey)
    with pytest.raises(Unprocessable, match="incomplete: 33 bytes"):
        read_upload(head + chunk(b"IDAT", zlib.compress(rows[:-33])) + end)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_16_bit_grey_is_scaled_by_the_bits_that_are_used(bits: int) -> None:
    white = (1 << bits) - 1
    values = np.linspace(0, white, 64 * 64).reshape(64, 64).round().astype(np.uint16)
    grey = read_upload(encoded(values)).grey
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert np.abs(grey - values / white * 255).max() <= 0.51


def test_burnt_in_letters_at_full_white_do_not_darken_a_12_bit_radiograph() -> None:
    values = np.full((100, 100), 2048, np.uint16)
    values[0, :5] = 65535
    grey = read_upload(encoded(values)).grey
    assert grey[50, 50] == 128
    assert grey[0, 0] == 255


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_grey_image_in_a_colour_or_palette_file_is_that_image(mode: str) -> None:
    image = Image.fromarray(GREY).convert("RGB" if mode == "RGB" else "L")
    if mode == "P":
        image = image.convert("P")
    assert np.array_equal(read_upload(encoded(image)).grey, GREY)


def test_a_slight_tint_is_taken_as_luma() -> None:
    red, blue = np.clip(GREY.astype(int) + 4, 0, 255), np.clip(GREY.astype(int) - 4, 0, 255)
    tinted = np.stack([red, GREY, blue], axis=2).astype(np.uint8)
    expected = np.rint(tinted @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(read_upload(encoded(tinted)).grey - expected).max() <= 1


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (2, GREY[:, ::-1]),
        (3, np.rot90(GREY, 2)),
        (4, GREY[::-1]),
        (5, GREY.T),
        (6, np.rot90(GREY, -1)),
        (7, np.rot90(GREY, 2).T),
        (8, np.rot90(GREY)),
    ],
)
def test_an_exif_rotation_is_carried_out(orientation: int, turned: npt.NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = read_upload(encoded(GREY, exif=exif))
    assert np.array_equal(decoded.grey, turned)
    assert (decoded.metadata.height, decoded.metadata.width) == turned.shape
    assert decoded.grey.flags.c_contiguous


def test_a_broken_exif_block_does_not_make_a_radiograph_unreadable() -> None:
    data = with_chunk(encoded(GREY), b"eXIf", b"II*\x00\xff\xff\xff\xff garbage")
    assert np.array_equal(read_upload(data).grey, GREY)


def animated() -> bytes:
    frames = [Image.fromarray(radiograph_like(seed=seed)) for seed in range(3)]
    return encoded(frames[0], save_all=True, append_images=frames[1:])


def damaged_pixels() -> bytes:
    data = bytearray(encoded(GREY))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    return bytes(data)


REFUSED: dict[str, tuple[bytes, type[ServiceError], str]] = {
    "alpha": (encoded(Image.fromarray(GREY).convert("LA")), UnsupportedMedia, "alpha channel"),
    "colour alpha": (encoded(Image.fromarray(GREY).convert("RGBA")), UnsupportedMedia, "alpha"),
    "transparent grey": (encoded(GREY, transparency=0), UnsupportedMedia, "tRNS"),
    "animation": (animated(), UnsupportedMedia, "APNG"),
    "16-bit colour": (png_of(2, 16, bytes(64 * 385)), Unprocessable, "16-bit colour"),
    "bilevel": (encoded(Image.fromarray(GREY > 150)), Unprocessable, r"1 bit\(s\) of grey"),
    "cut in the pixels": (encoded(GREY)[:4000], Unprocessable, "truncated within its IDAT"),
    "cut in the header": (encoded(GREY)[:20], Unprocessable, "does not start with IHDR"),
    "without an end": (encoded(GREY)[:-12], Unprocessable, "before its IEND"),
    "flipped bits": (damaged_pixels(), Unprocessable, "CRC of its IDAT is wrong"),
    "too few rows": (png_of(0, 8, bytes(65 * 63)), Unprocessable, "incomplete: 65 bytes"),
    "tiny": (encoded(radiograph_like(31, 40)), Unprocessable, "at least 32 a side"),
    "a ribbon": (encoded(radiograph_like(400, 64)), Unprocessable, "5 times as long"),
    "no size": (png_header_of(0, 64), Unprocessable, "0 x 64 pixels"),
}


def test_a_colour_photograph_is_no_error_but_no_radiograph() -> None:
    decoded = read_upload(encoded(COLOUR))
    assert decoded.refused is not None
    assert decoded.refused.startswith("The PNG is a colour image")
    assert decoded.grey.shape == COLOUR.shape[:2]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_radiograph_is_refused_by_name(name: str) -> None:
    data, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        read_upload(data)


def test_black_rows_at_the_end_are_an_image_too() -> None:
    grey = GREY.copy()
    grey[60:] = 0
    assert np.array_equal(read_upload(encoded(grey)).grey, grey)
    deep = np.zeros((64, 64), np.uint16)
    deep[0] = 4095
    assert read_upload(encoded(deep)).grey[0, 0] == 255


def test_a_bomb_of_a_header_is_refused_with_memory_flat() -> None:
    data = png_header_of(100_000, 60_000)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match=r"6000\.0 megapixels; at most 50") as refusal:
            read_upload(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.value.extensions == {"max_pixels": 50_000_000}
    assert peak < 1_000_000


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"IDAT", b"IEND"])
def test_a_critical_chunk_out_of_place_is_refused(name: bytes) -> None:
    """A second header, above all: decoders obey the last, limits were held against the first."""
    data = encoded(GREY)
    second = struct.pack(">IIBBBBB", 120, 16_000_000, 8, 0, 0, 0, 0)
    content = {b"IHDR": second, b"PLTE": bytes(768)}.get(name, b"")
    last = b"" if name == b"IEND" else data[-12:]
    stray = chunk(b"IDAT", b"") + chunk(b"PLTE", bytes(3)) if name == b"IDAT" else b""
    at = 33 if name in (b"IHDR", b"IEND") else len(data) - 12
    with pytest.raises(Unprocessable, match="out of place"):
        read_upload(data[:at] + stray + chunk(name, content) + data[at:-12] + last)


def test_the_limits_are_reached_and_not_passed() -> None:
    limits = Limits(max_pixels=120 * 100, max_bytes=len(encoded(GREY)))
    assert read_upload(encoded(GREY), limits=limits).metadata.width == 120
    with pytest.raises(PayloadTooLarge, match="MB"):
        read_upload(encoded(GREY) + b"\x00", limits=limits)
    with pytest.raises(PayloadTooLarge, match="megapixels"):
        read_upload(encoded(radiograph_like(121, 100)), limits=Limits(max_pixels=120 * 100))


@pytest.mark.parametrize("chunk_name", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_bomb_in_an_ancillary_chunk_is_never_inflated(chunk_name: bytes) -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    head = b"name\x00\x01\x00\x00\x00" if chunk_name == b"iTXt" else b"name\x00\x00"
    data = with_chunk(encoded(GREY), chunk_name, head + bomb)
    tracemalloc.start()
    try:
        assert np.array_equal(read_upload(data).grey, GREY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_a_huge_text_chunk_and_bytes_after_the_end_change_nothing() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 5_000_000)
    data = encoded(GREY, pnginfo=info) + bytes(1000)
    assert np.array_equal(read_upload(data).grey, GREY)


def test_a_file_of_a_million_empty_chunks_is_refused() -> None:
    data = encoded(GREY)
    many = data[:33] + chunk(b"teST", b"") * 100_001 + data[33:]
    with pytest.raises(Unprocessable, match="more than 100000 chunks"):
        read_upload(many)
