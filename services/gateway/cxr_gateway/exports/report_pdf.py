"""A report as one page, A4: whose it is, the image with its boxes, the text, models, who signed."""

import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from PIL import Image, ImageDraw

from cxr_gateway.archive.reviews import ReviewRecord
from cxr_gateway.core.schemas import Study
from cxr_gateway.imaging import GreyImage, Limits
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.rendering.boxes import Style, draw_boxes
from cxr_gateway.rendering.text import face, printable

# What was accepted once can be printed later, whatever the limits are by then.
_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40)
_IMAGE_PX = 1400
_LINE_PX = 4
_DASH_PX, _GAP_PX = 14, 9
_LETTER_PX = 36
_HANGUL = "HYGothic-Medium"
# Hangul's syllables and letters, and what a Korean text has beside them: ideographs, their marks.
_KOREAN = re.compile(r"([\u1100-\u11ff\u3000-\u303f\u3130-\u318f\u4e00-\u9fff\uac00-\ud7a3]+)")
_READER = (255, 255, 255)
_TITLES = {
    "examination": "Examination",
    "comparison": "Comparison",
    "findings": "Findings",
    "impression": "Impression",
}
_RESEARCH = "Research use only. Not a medical device."


@dataclass(frozen=True)
class Printed:
    """The version that is printed; `sections` by name, plain text."""

    version: int
    is_last: bool
    signed: bool
    name: str
    at: datetime
    sections: Mapping[str, str]


def report_pdf(
    study: Study,
    content: bytes,
    reviews: Sequence[ReviewRecord],
    printed: Printed,
    decoder: Decoder,
) -> bytes:
    """The page as a PDF; long text is set smaller until all of it fits.

    Args:
        study: as analysed.
        content: its original file.
        reviews: what stands of its review: rejected boxes are not drawn, readers' own are.
        printed: the version.
        decoder: by which the file is decoded.
    """
    # It takes a moment to import, and most gateways print nothing.
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Frame, KeepInFrame

    _use_fonts()
    width, height = A4
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4, pageCompression=1)
    canvas.setTitle(f"Report {study.id}, version {printed.version}")
    canvas.setAuthor(printed.name)
    canvas.setSubject(_RESEARCH)
    margin = 15 * mm
    inner = width - 2 * margin
    head = Frame(margin, height - 42 * mm, inner, 30 * mm, *[0] * 4)
    head.addFromList([KeepInFrame(inner, 30 * mm, _head(study, printed), mode="shrink")], canvas)
    grey = decoder.decode(io.BytesIO(content), _LIMITS).grey
    _place_image(canvas, _drawn(study, grey, reviews), (margin, height - 154 * mm, inner, 110 * mm))
    room = height - 154 * mm - 26 * mm - 4 * mm
    body = Frame(margin, 26 * mm, inner, room, *[0] * 4)
    body.addFromList([KeepInFrame(inner, room, _body(printed), mode="shrink")], canvas)
    foot = Frame(margin, 8 * mm, inner, 17 * mm, *[0] * 4)
    foot.addFromList([KeepInFrame(inner, 17 * mm, _foot(study, printed), mode="shrink")], canvas)
    canvas.showPage()
    canvas.save()
    return stream.getvalue()


def _use_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    if "Vera" not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))
        pdfmetrics.registerFont(TTFont("Vera-Bold", "VeraBd.ttf"))
        pdfmetrics.registerFontFamily("Vera", normal="Vera", bold="Vera-Bold")
        # Not in the file: a reader of PDFs has its own face for Korean, which no gateway needs.
        pdfmetrics.registerFont(UnicodeCIDFont(_HANGUL))


def _paragraph(text: str, size: float = 9.5, *, bold: bool = False, space: float = 0) -> Any:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    font = "Vera-Bold" if bold else "Vera"
    style = ParagraphStyle("p", fontName=font, fontSize=size, leading=size * 1.3, spaceBefore=space)
    # A person's text is text, never markup.
    lines = [_marked(line) for line in text.split("\n")]
    return Paragraph("<br/>".join(lines), style)


def _marked(line: str) -> str:
    """A line as markup: what the Latin face lacks and the Korean one has is set in that."""
    return "".join(
        f'<font name="{_HANGUL}">{escape(part)}</font>'
        if _KOREAN.match(part)
        else escape(printable(part))
        for part in _KOREAN.split(unicodedata.normalize("NFC", line))
        if part
    )


def _head(study: Study, printed: Printed) -> list[Any]:
    patient = study.patient
    rows = [
        ("Patient", patient.name),
        ("Patient ID", patient.patient_id),
        ("Born", patient.birth_date),
        ("Sex", patient.sex),
        ("Accession", patient.accession_number),
        ("Study date", patient.study_date),
        ("Study", patient.study_instance_uid or study.id),
        ("View", study.image.view),
    ]
    facts = " · ".join(f"{name}: {value}" for name, value in rows if value)
    state = "Signed report" if printed.signed else "DRAFT, not signed"
    newer = "" if printed.is_last else " A later version exists."
    return [
        _paragraph("Chest radiograph report", 15, bold=True),
        _paragraph(
            f"{state}, version {printed.version}.{newer} {_RESEARCH}", 9, bold=True, space=2
        ),
        _paragraph(facts, 9, space=4),
    ]


def _body(printed: Printed) -> list[Any]:
    found = []
    for name, title in _TITLES.items():
        text = printed.sections.get(name, "").strip()
        if text:
            found += [_paragraph(title, 9.5, bold=True, space=6), _paragraph(text)]
    return found


def _foot(study: Study, printed: Printed) -> list[Any]:
    at = printed.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    by = (
        f"Signed by {printed.name}, {at}."
        if printed.signed
        else f"Written by {printed.name}, {at}."
    )
    models = "; ".join(f"{x.role} {x.name} {x.version} ({x.sha256[:12]})" for x in study.models)
    return [
        _paragraph(by, 9, bold=True),
        _paragraph(
            "Coloured boxes are the models'; white dashed ones are a reader's. "
            f"Models: {models}. Study {study.id}.",
            7,
            space=2,
        ),
    ]


def _drawn(study: Study, radiograph: GreyImage, reviews: Sequence[ReviewRecord]) -> Image.Image:
    """The radiograph with the boxes that no reader rejected, and those of readers."""
    grey = Image.fromarray(radiograph)
    scale = _IMAGE_PX / max(grey.size)
    size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
    image = grey.resize(size, Image.Resampling.LANCZOS).convert("RGB")
    judged = {x.target_box for x in reviews if x.verdict in ("rejected", "modified")}
    boxes = [box for index, box in enumerate(study.boxes) if index not in judged]
    draw = ImageDraw.Draw(image)
    letters = face(_LETTER_PX)
    draw_boxes(draw, boxes, scale, size, Style(line_px=_LINE_PX, pad_px=6, font=letters))
    for review in reviews:
        if review.verdict in ("added", "modified") and review.corners and review.label:
            x_min, y_min, x_max, y_max = (scale * value for value in review.corners)
            _dashed(draw, x_min, y_min, x_max, y_max)
            name = review.label.replace("_", " ").capitalize()
            place = (x_min + 6, min(y_max + 4, size[1] - _LETTER_PX - 4))
            draw.text(place, name, _READER, letters, stroke_width=3, stroke_fill=(0, 0, 0))
    return image


def _dashed(
    draw: ImageDraw.ImageDraw, x_min: float, y_min: float, x_max: float, y_max: float
) -> None:
    step = _DASH_PX + _GAP_PX
    for y in (y_min, y_max):
        for n in range(int((x_max - x_min) // step) + 1):
            x = x_min + n * step
            draw.line((x, y, min(x + _DASH_PX, x_max), y), _READER, _LINE_PX)
    for x in (x_min, x_max):
        for n in range(int((y_max - y_min) // step) + 1):
            y = y_min + n * step
            draw.line((x, y, x, min(y + _DASH_PX, y_max)), _READER, _LINE_PX)


def _place_image(canvas: Any, image: Image.Image, room: tuple[float, float, float, float]) -> None:
    from reportlab.lib.utils import ImageReader

    x, y, width, height = room
    # A photograph's compression: the page is to be read, the archive has the radiograph.
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    stream.seek(0)
    canvas.drawImage(ImageReader(stream), x, y, width, height, preserveAspectRatio=True, anchor="c")
