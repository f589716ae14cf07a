"""A box on the displayed image is mapped back onto the very pixels that the file stores."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cxr_gateway.core.schemas import Box, ImageMetadata
from cxr_gateway.exports.stored_pixels import box_in_stored_pixels
from cxr_gateway.imaging import read_upload
from support.dicom_images import dicom
from support.images import encoded

FULL: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
# Columns, rows: a bright field on a dark image, off every axis of symmetry.
FIELD = (40, 24, 88, 40)


def marked(rows: int = 120, columns: int = 160) -> npt.NDArray[np.uint8]:
    grey = np.full((rows, columns), 30, np.uint8)
    left, top, right, bottom = FIELD
    grey[top:bottom, left:right] = 220
    return grey


def box_around_the_bright(grey: npt.NDArray[np.uint8]) -> Box:
    ys, xs = np.nonzero(grey > 125)
    return Box.model_validate(
        {
            "finding": "Mass",
            "score": 0.5,
            "detector_score": 0.5,
            "classifier_probability": None,
            "x_min": xs.min(),
            "y_min": ys.min(),
            "x_max": xs.max() + 1,
            "y_max": ys.max() + 1,
        }
    )


def mapped_back(data: bytes) -> tuple[tuple[float, ...], ImageMetadata]:
    image = read_upload(data)
    return box_in_stored_pixels(box_around_the_bright(image.grey), image.metadata), image.metadata


@pytest.mark.parametrize("spacing", [("1", "1"), ("2", "1"), ("1", "2"), ("0.15", "0.1")], ids=str)
@pytest.mark.parametrize(
    "orientation",
    [
        ["L", "F"],
        ["R", "F"],
        ["L", "H"],
        ["R", "H"],
        ["F", "L"],
        ["H", "L"],
        ["F", "R"],
        ["H", "R"],
    ],
    ids="".join,
)
def test_out_of_every_orientation_and_shape_of_pixels(
    orientation: list[str], spacing: tuple[str, str]
) -> None:
    data = dicom(marked(), PatientOrientation=orientation, PixelSpacing=list(spacing), **FULL)
    found, image = mapped_back(data)
    assert image.stored is not None
    assert (image.stored.columns, image.stored.rows) == (160, 120)
    assert found == pytest.approx(FIELD, abs=1.0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_out_of_every_turn_that_exif_asks_for(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found, image = mapped_back(encoded(Image.fromarray(marked()), kind, exif=exif))
    assert image.stored is not None
    assert image.stored.orientation == orientation
    assert found == pytest.approx(FIELD, abs=1.0)


def test_a_box_beyond_the_edge_ends_at_it() -> None:
    image = read_upload(dicom(marked(), **FULL)).metadata
    box = box_around_the_bright(marked()).model_copy(update={"x_max": 999.0, "y_min": -5.0})
    assert box_in_stored_pixels(box, image)[1:3] == (0.0, 160.0)
