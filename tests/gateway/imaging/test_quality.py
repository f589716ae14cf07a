"""What is out of the ordinary in an image is measured and said; an ordinary one is left alone."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cxr_gateway.imaging.quality import measure_quality
from support.images import EXAMPLES, example_image

Grey = npt.NDArray[np.uint8]
ORDINARY = [path.stem.removeprefix("synthetic-") for path in sorted(EXAMPLES.glob("*.png"))]
CHEST = example_image("no-finding")


def resized(grey: Grey, side: int, how: Image.Resampling = Image.Resampling.LANCZOS) -> Grey:
    return np.asarray(Image.fromarray(grey).resize((side, side), how))


def as_jpeg(grey: Grey, quality: int) -> Grey:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def turned(degrees: float) -> Grey:
    image = Image.fromarray(CHEST)
    return np.asarray(image.rotate(-degrees, Image.Resampling.BILINEAR, fillcolor=20))


@pytest.mark.parametrize("of", ORDINARY)
def test_an_ordinary_radiograph_is_not_warned_of(of: str) -> None:
    quality = measure_quality(example_image(of))
    assert quality.warnings == []
    assert quality.unreadable is None
    assert (quality.rotation_degrees in range(-20, 21), quality.inverted) == (True, False)


@pytest.mark.parametrize("size", [256, 512, 1024])
@pytest.mark.parametrize(
    "how",
    [
        Image.Resampling.NEAREST,
        Image.Resampling.BILINEAR,
        Image.Resampling.BICUBIC,
        Image.Resampling.LANCZOS,
    ],
)
def test_an_enlarged_thumbnail_is_known_by_its_detail(how: Image.Resampling, size: int) -> None:
    thumbnail = resized(CHEST, 64)
    assert measure_quality(thumbnail).effective_px == 64
    enlarged = measure_quality(resized(thumbnail, size, how))
    assert 55 <= enlarged.effective_px < 120
    assert [said for said in enlarged.warnings if "pixels a side carry detail" in said]


def test_detail_is_counted_along_the_side_that_has_less_of_it() -> None:
    stretched = np.repeat(resized(CHEST, 128), 4, axis=1)
    assert measure_quality(stretched).effective_px in range(110, 129)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda grey: grey // 8 * 8, "levels of grey"),
        (lambda grey: (grey * 0.3).astype(np.uint8), "unusually dark"),
        (lambda grey: 255 - grey // 8, "unusually bright"),
        (lambda grey: np.where(grey < 190, 0, grey), "is black"),
        (lambda grey: np.minimum(grey.astype(int) * 2, 255).astype(np.uint8), "is white"),
        (lambda grey: 255 - grey, "exchanged"),
        (np.rot90, "turned by 270 degrees"),
        (lambda grey: np.rot90(grey, 2), "turned by 180 degrees"),
        (lambda grey: np.rot90(grey, 3), "turned by 90 degrees"),
        (lambda _: turned(30), "lean by about 3"),
        (lambda grey: grey[:, :256], "Only a part of the chest"),
        (lambda grey: as_jpeg(grey, 10), "JPEG"),
    ],
)
def test_what_is_out_of_the_ordinary_is_said(change: Callable[[Grey], Grey], said: str) -> None:
    quality = measure_quality(np.ascontiguousarray(change(CHEST)))
    assert [warning for warning in quality.warnings if said in warning], quality


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (resized(CHEST, 40), "about 40 pixels"),
        (resized(resized(CHEST, 32), 512, Image.Resampling.LANCZOS), "pixels a side carry detail"),
        (CHEST // 32 * 32, "levels of grey"),
        (np.where(CHEST < 240, 0, CHEST), "plain black or white"),
        (np.full((512, 512), 90, np.uint8), "levels of grey that are needed it has 1"),
    ],
)
def test_what_nobody_could_read_has_a_reason(image: Grey, reason: str) -> None:
    quality = measure_quality(image.astype(np.uint8))
    assert quality.unreadable is not None
    assert reason in quality.unreadable or "pixels a side" in quality.unreadable


@pytest.mark.parametrize("shape", [(32, 32), (32, 160), (160, 32), (33, 47), (3000, 2500)])
@pytest.mark.parametrize("value", ["flat", "noise", "black"])
def test_every_image_can_be_measured(shape: tuple[int, int], value: str) -> None:
    image = {
        "flat": np.full(shape, 128, np.uint8),
        "black": np.zeros(shape, np.uint8),
        "noise": np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8),
    }[value]
    quality = measure_quality(image)
    assert 0 <= quality.effective_px <= min(shape)
    assert 1 <= quality.grey_levels <= 256
    assert (quality.unreadable is None) == (value == "noise" and quality.effective_px >= 60)
