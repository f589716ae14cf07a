"""Secondary captures, which every viewer shows: the summary page, and a heat map."""

import io

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxr_contracts import CamGrid
from cxr_gateway.core.schemas import Study
from cxr_gateway.exports.dicom.codes import finding_code
from cxr_gateway.exports.dicom.identity import (
    contributing,
    equipment,
    finish,
)
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.dicom.uids import SERIES_NUMBERS, uid_of
from cxr_gateway.exports.notice import NOTICE
from cxr_gateway.rendering import render_heatmap
from cxr_gateway.rendering.text import face, printable, wrap

# Legible on a reading monitor, and 5 MB without compression, which every archive takes.
_MAX_WIDTH_PX = 1024


def secondary_capture(study: Study, source: Source, page: bytes) -> bytes:
    """The overlay `page` (PNG) as an image of the source's study; it names nobody.

    Args:
        study: the archived result.
        source: its radiograph.
        page: what `rendering` drew.
    """
    image = _not_wider(Image.open(io.BytesIO(page)).convert("RGB"))
    return _captured(study, source, "sc", image, series="AI summary, research use", derived=NOTICE)


def heat_map(study: Study, source: Source, grey: NDArray[np.uint8], cam: CamGrid) -> bytes:
    """Where the classifier saw evidence for a finding, over the radiograph, with a line of text.

    Args:
        study: the archived result.
        source: its radiograph.
        grey: the radiograph as it is displayed, uint8 [H, W].
        cam: the finding's map.
    """
    radiograph = _not_wider(Image.fromarray(grey).convert("RGBA"))
    colours = Image.open(io.BytesIO(render_heatmap(cam.values, *radiograph.size))).convert("RGBA")
    image = Image.alpha_composite(radiograph, colours).convert("RGB")
    name = finding_code(cam.finding).meaning
    said = f"Evidence of the classifier for {name[:1].lower()}{name[1:]}. {NOTICE}"
    page = _captioned(image, said)
    return _captured(
        study, source, "heat-map", page, series="AI heat map, research use", derived=said
    )


def _not_wider(image: Image.Image) -> Image.Image:
    if image.width <= _MAX_WIDTH_PX:
        return image
    size = _MAX_WIDTH_PX, round(image.height * _MAX_WIDTH_PX / image.width)
    return image.resize(size, Image.Resampling.LANCZOS)


def _captioned(image: Image.Image, text: str) -> Image.Image:
    """The image with a line of white on black below it."""
    font = face(max(10, image.width // 60))
    lines = wrap(printable(text), font, image.width - 8, 4)
    step = round(font.size * 1.4)
    page = Image.new("RGB", (image.width, image.height + step * len(lines) + 8))
    page.paste(image)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((4, image.height + 4 + number * step), line, font=font, fill="white")
    return page


def _captured(
    study: Study, source: Source, what: str, image: Image.Image, *, series: str, derived: str
) -> bytes:
    capture = SCImage.from_ref_dataset(
        source.header,
        pixel_array=np.asarray(image),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=uid_of(study, what, "series"),
        series_number=SERIES_NUMBERS[what],
        sop_instance_uid=uid_of(study, what),
        instance_number=1,
        # The radiograph on the page hangs as usual.
        patient_orientation=("L", "F"),
        contributing_equipment=contributing(study),
        series_description=series,
        **equipment(study),
    )
    capture.BodyPartExamined = "CHEST"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "NO"
    capture.DerivationDescription = derived
    finish(capture, study, source)
    capture.DateOfSecondaryCapture = capture.InstanceCreationDate
    capture.TimeOfSecondaryCapture = capture.InstanceCreationTime
    out = io.BytesIO()
    capture.save_as(out, enforce_file_format=True)
    return out.getvalue()
