"""Decoding PNG and JPEG: what is taken, what is refused, and that the limits come first."""

import contextlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cxr_serving.errors import PayloadTooLarge, Unprocessable, UnsupportedMedia
from cxr_serving.imaging import UPRIGHT, ImageLimits, decode_grey, grey_of_16_bit
from support.images import encoded, png, png_header_of, radiograph_like

GREY = radiograph_like()


def test_a_grey_png_comes_out_pixel_for_pixel() -> None:
    decoded = decode_grey(encoded(GREY))
    assert np.array_equal(decoded.grey, GREY)
    assert (decoded.width, decoded.height, decoded.format) == (120, 100, "png")
    assert decoded.orientation == UPRIGHT


def test_a_grey_jpeg_comes_out_nearly_so() -> None:
    decoded = decode_grey(encoded(GREY, "JPEG", quality=95))
    assert decoded.format == "jpeg"
    assert np.abs(decoded.grey.astype(int) - GREY).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_colour_file_of_a_grey_image_is_that_image(kind: str) -> None:
    grey = decode_grey(encoded(GREY, kind)).grey.astype(int)
    from_colour = decode_grey(encoded(Image.fromarray(GREY).convert("RGB"), kind)).grey
    assert np.abs(grey - from_colour).max() <= 3


def test_a_palette_of_greys_is_the_image_that_it_spells() -> None:
    decoded = decode_grey(encoded(Image.fromarray(GREY).convert("P")))
    assert np.array_equal(decoded.grey, GREY)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_white_is_white_at_every_depth(bits: int) -> None:
    white = (1 << bits) - 1
    values = np.linspace(0, white, 64 * 64).reshape(64, 64).round().astype(np.uint16)
    decoded = decode_grey(encoded(values))
    assert (decoded.grey.min(), decoded.grey.max()) == (0, 255)
    assert np.abs(decoded.grey - values / white * 255).max() <= 0.51


def test_an_all_black_16_bit_image_stays_black() -> None:
    assert grey_of_16_bit(np.zeros((4, 4), np.uint16)).max() == 0


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(3, np.rot90(GREY, 2)), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY)), (2, GREY[:, ::-1])],
)
def test_a_rotation_that_exif_asks_for_is_carried_out(
    orientation: int, turned: npt.NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_grey(encoded(GREY, "PNG", exif=exif))
    assert np.array_equal(decoded.grey, turned)
    assert decoded.orientation == orientation


def animated() -> bytes:
    frames = [Image.fromarray(radiograph_like(seed=seed)) for seed in range(3)]
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])


def with_alpha(mode: str) -> bytes:
    return encoded(Image.fromarray(GREY).convert(mode))


def in_colour(kind: str) -> bytes:
    return encoded(np.dstack([GREY, GREY // 2, 255 - GREY]), kind)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (png()[: len(png()) // 2], "truncated"),
        (png()[:20], "truncated"),
        (encoded(GREY, "JPEG")[:400], "truncated"),
        (animated(), "animated"),
        (with_alpha("LA"), "alpha"),
        (with_alpha("RGBA"), "alpha"),
        (encoded(Image.fromarray(GREY), "PNG", transparency=0), "transparent"),
        (encoded(Image.fromarray(GREY > 150)), "1 bit"),
        (in_colour("PNG"), "a colour image"),
        (in_colour("JPEG"), "a colour image"),
        (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "CMYK"),
        (png(16, 16), "32 a side"),
        (png(40, 1000), "times as long"),
    ],
)
def test_what_is_broken_or_not_acceptable_is_named(data: bytes, words: str) -> None:
    with pytest.raises((Unprocessable, UnsupportedMedia), match=words):
        decode_grey(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a" + bytes(50), "a GIF image"),
        (encoded(GREY, "TIFF"), "a TIFF image"),
        (encoded(GREY, "BMP"), "a BMP image"),
        (encoded(GREY, "WEBP"), "a WebP image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"<html>", "an HTML page"),
        (b"just text", "a text file"),
        (bytes(range(1, 200)), "of an unknown kind"),
    ],
)
def test_another_kind_of_file_is_named_whatever_it_is_called(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedMedia, match=words) as refusal:
        decode_grey(data)
    assert "PNG and JPEG" in refusal.value.detail


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    # Decoding it would end in a 422: hardly any of the pixels that it claims are there.
    with pytest.raises(PayloadTooLarge, match=r"3600\.0 megapixels"):
        decode_grey(png_header_of(60_000, 60_000))


def test_the_pixel_limit_is_a_limit_and_not_less() -> None:
    limits = ImageLimits(max_pixels=120 * 100)
    assert decode_grey(png(120, 100), limits).width == 120
    with pytest.raises(PayloadTooLarge):
        decode_grey(png(121, 100), limits)


def test_a_text_bomb_in_a_png_is_not_inflated() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 80_000_000, zip=True)
    assert np.array_equal(decode_grey(encoded(GREY, "PNG", pnginfo=info)).grey, GREY)


PNG, JPEG = png(64, 48), encoded(radiograph_like(64, 48), "JPEG")


@settings(max_examples=300, deadline=None)
@given(
    original=st.sampled_from([PNG, JPEG]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12),
    length=st.integers(1, 4000),
)
def test_no_damage_ends_in_anything_but_an_image_or_a_refusal(
    original: bytes, edits: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(original)
    for place, value in edits:
        data[place % len(data)] = value
    # Any other exception than a refusal fails the test.
    with contextlib.suppress(PayloadTooLarge, UnsupportedMedia, Unprocessable):
        decoded = decode_grey(bytes(data[:length]), ImageLimits(max_pixels=1_000_000))
        assert decoded.grey.dtype == np.uint8
        assert decoded.grey.ndim == 2
