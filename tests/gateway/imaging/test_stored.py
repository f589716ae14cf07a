"""The greys of the file itself: nothing of them is lost, and where the image's window lies."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.uid import RLELossless

from cxr_gateway.core.schemas import SpacingSource
from cxr_gateway.imaging import Limits, StoredImage, read_upload
from cxr_gateway.imaging.decoders import InProcessDecoder, WorkerDecoder
from cxr_gateway.imaging.stored import read_stored
from cxr_gateway.rendering.cache import windowed
from support.dicom_images import compressed_dicom, dicom
from support.images import encoded, radiograph_like

LIMITS = Limits()
# 0..4095 in 64 x 64 pixels, row by row: the value of pixel (y, x) is 64 y + x.
TWELVE = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def stored(values: npt.NDArray[Any], **tags: Any) -> StoredImage:
    return read_stored(dicom(values, **tags), limits=LIMITS)


@pytest.mark.parametrize(
    ("orientation", "sided"),
    [(["L", "F"], True), (["R", "F"], True), (["F", "L"], True), (["A", "F"], False), ([], False)],
)
def test_whether_the_file_says_its_sides_is_told(orientation: list[str], sided: bool) -> None:
    tags = {"PatientOrientation": orientation} if orientation else {}
    assert stored(TWELVE, bits=12, ViewPosition="PA", **tags).greys.sided is sided


def test_every_stored_value_is_there_and_the_window_is_told() -> None:
    found = stored(TWELVE, bits=12, WindowCenter=1000, WindowWidth=501)
    assert np.array_equal(found.values, TWELVE)
    assert found.values.dtype == np.uint16
    greys = found.greys
    assert (greys.bits, greys.darkest, greys.brightest) == (12, 0, 4095)
    # LINEAR: black at 1000 - 0.5 - 250, white at 1000 - 0.5 + 250.
    assert greys.black == pytest.approx(749.5)
    assert greys.white == pytest.approx(1249.5)


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 1000, "WindowWidth": 501},
        {},
        {"RescaleSlope": 0.25, "RescaleIntercept": -100},
        {"photometric": "MONOCHROME1"},
        {"RescaleSlope": -1, "RescaleIntercept": 4095},
        {"RescaleSlope": -1, "RescaleIntercept": 4095, "photometric": "MONOCHROME1"},
        {"PatientOrientation": ["R", "F"]},
        {"PixelPaddingValue": 0},
        {"PixelSpacing": [0.2, 0.1]},
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_their_own_window_gives_the_image_as_it_is_displayed(
    tags: dict[str, Any], signed: bool
) -> None:
    tags = dict(tags)
    photometric = tags.pop("photometric", None)
    if photometric:
        tags["PhotometricInterpretation"] = photometric
    values = TWELVE.astype(np.int16) - 2048 if signed else TWELVE
    file = dicom(values, bits=12, **tags)
    found = read_stored(file, limits=LIMITS)
    shown = windowed(found.values, found.greys.black, found.greys.white)
    displayed = read_upload(file).grey
    assert shown.shape == displayed.shape
    assert np.abs(shown.astype(int) - displayed).max() <= 1
    assert len(np.unique(found.values)) > 2000


def test_a_curve_is_told_by_the_line_through_its_middle() -> None:
    found = stored(TWELVE, bits=12, WindowCenter=2048, WindowWidth=1000, VOILUTFunction="SIGMOID")
    assert found.greys.black < 2048 - 500 < 2048 + 500 < found.greys.white
    assert (found.greys.black + found.greys.white) / 2 == pytest.approx(2048, abs=2)


def test_16_bits_of_a_png_are_kept_and_8_stay_as_they_are() -> None:
    deep = read_stored(encoded(TWELVE), limits=LIMITS)
    assert np.array_equal(deep.values, TWELVE)
    assert (deep.greys.bits, deep.greys.black, deep.greys.white) == (12, 0, 4095)
    assert deep.greys.spacing is None
    grey = radiograph_like(120, 100)
    shallow = read_stored(encoded(grey), limits=LIMITS)
    assert np.array_equal(shallow.values, grey)
    assert (shallow.greys.black, shallow.greys.white) == (0, 255)


@pytest.mark.parametrize(
    ("tags", "mm", "source"),
    [
        ({}, None, None),
        ({"PixelSpacing": [0.15, 0.15]}, 0.15, SpacingSource.CALIBRATED),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, 0.2, SpacingSource.DETECTOR),
        (
            {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]},
            0.2,
            SpacingSource.DETECTOR,
        ),
        (
            {"PixelSpacing": [0.17, 0.17], "ImagerPixelSpacing": [0.2, 0.2]},
            0.17,
            SpacingSource.CALIBRATED,
        ),
        ({"PixelSpacing": [0.3, 0.1]}, 0.1, SpacingSource.CALIBRATED),
        ({"PixelSpacing": [0.1, 0.3]}, 0.1, SpacingSource.CALIBRATED),
        ({"PixelSpacing": [0, 0]}, None, None),
    ],
)
def test_the_size_of_a_pixel_is_told_where_the_file_says_it(
    tags: dict[str, Any], mm: float | None, source: SpacingSource | None
) -> None:
    spacing = stored(TWELVE, bits=12, **tags).greys.spacing
    if spacing is None:
        assert mm is None
    else:
        assert spacing.mm == pytest.approx(mm)
        assert spacing.source is source


def test_a_worker_tells_the_same_as_the_gateway_itself() -> None:
    worker = WorkerDecoder(1, memory_bytes=4_000_000_000, cpu_s=20)
    try:
        files = (
            dicom(TWELVE, bits=12, ImagerPixelSpacing=[0.2, 0.2]),
            compressed_dicom(TWELVE, RLELossless, bits=12),
            encoded(TWELVE),
            encoded(radiograph_like(120, 100), "JPEG"),
        )
        for file in files:
            far = worker.stored(io.BytesIO(file), LIMITS)
            near = InProcessDecoder().stored(io.BytesIO(file), LIMITS)
            assert np.array_equal(far.values, near.values)
            assert far.greys == near.greys
            assert np.array_equal(
                worker.decode(io.BytesIO(file), LIMITS).grey, read_upload(file).grey
            )
    finally:
        worker.close()
