"""The panel below the image: priority and reason, three findings, models, time, the warning."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from PIL import ImageDraw

from cxr_contracts import FindingProbability, Level
from cxr_gateway.core.schemas import Triage, UsedModel
from cxr_gateway.rendering.boxes import Rectangle
from cxr_gateway.rendering.colours import (
    NOTE,
    PANEL,
    PANEL_LINE,
    PRIORITY_COLOURS,
    TEXT,
    TEXT_MUTED,
    TRACK,
    colour_of,
    display_name,
)
from cxr_gateway.rendering.text import cut, face, in_percent, percent, printable, wrap

WARNING = "Research use. Not a medical device."
_MAX_REASON_LINES = 3
_MAX_NOTE_LINES = 2
_ROWS = 3


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel says; see `render_overlay` for the fields."""

    findings: Sequence[FindingProbability]
    triage: Triage | None
    models: Sequence[UsedModel]
    received_at: datetime
    note: str | None


def panel_findings(
    findings: Sequence[FindingProbability], triage: Triage | None
) -> list[FindingProbability]:
    """Those that the panel shows: what decided on the priority, then the strongest others."""
    cause = triage.cause.finding if triage and triage.cause else None
    return sorted(findings, key=lambda row: row.finding != cause)[:_ROWS]


@dataclass(frozen=True, slots=True)
class _Measures:
    """Lengths in pixels, all from one unit: 1 at a radiograph 1024 pixels wide."""

    margin: int
    gap: int
    body: int
    small: int
    row: int

    @classmethod
    def of(cls, unit: float) -> "_Measures":
        body = max(13, round(19 * unit))
        return cls(
            margin=max(10, round(24 * unit)),
            gap=max(6, round(12 * unit)),
            body=body,
            small=max(11, round(14 * unit)),
            row=round(body * 1.75),
        )


def panel_height(panel: Panel, unit: float) -> int:
    """Pixels that the panel needs below a radiograph 1024 * `unit` pixels wide."""
    sizes = _Measures.of(unit)
    note = _MAX_NOTE_LINES * _line(sizes.small) + sizes.gap if panel.note else 0
    foot = 2 * _line(sizes.small) + sizes.gap
    body = (_ROWS * sizes.row) + _line(sizes.small) + sizes.gap
    return 2 * sizes.margin + body + note + foot


def draw_panel(draw: ImageDraw.ImageDraw, panel: Panel, area: Rectangle, unit: float) -> None:
    """Draw `panel` into `area`, which is `panel_height` pixels high."""
    sizes = _Measures.of(unit)
    left, right = area[0] + sizes.margin, area[2] - sizes.margin
    top = area[1] + sizes.margin
    middle = left + round((right - left) * 0.46)
    _draw_triage(draw, panel.triage, (left, top, middle - sizes.gap, top), sizes)
    _draw_findings(draw, panel.findings, (middle + sizes.gap, top, right, top), sizes)
    y = top + _ROWS * sizes.row + _line(sizes.small) + sizes.gap
    if panel.note:
        font = face(sizes.small)
        for line in wrap(printable(panel.note), font, right - left, _MAX_NOTE_LINES):
            draw.text((left, y), line, fill=NOTE, font=font)
            y += _line(sizes.small)
    _draw_foot(draw, panel, (left, y, right, area[3] - sizes.margin), sizes)


def _draw_triage(
    draw: ImageDraw.ImageDraw, triage: Triage | None, area: Rectangle, sizes: _Measures
) -> None:
    """A chip with the priority, and its reason below it."""
    left, top, right, _ = area
    chip, body = face(sizes.body), face(sizes.small)
    if triage is None:
        draw.text((left, top), "No diagnosis was made", fill=TEXT, font=chip)
        return
    fill, letters = PRIORITY_COLOURS[triage.priority]
    word = triage.priority.value.upper()
    height = round(sizes.body * 1.6)
    width = round(chip.getlength(word)) + 2 * sizes.gap
    draw.rounded_rectangle((left, top, left + width, top + height), radius=height // 4, fill=fill)
    draw.text((left + width / 2, top + height / 2), word, fill=letters, font=chip, anchor="mm")
    y = top + height + sizes.gap // 2
    for line in wrap(printable(in_percent(triage.reason)), body, right - left, _MAX_REASON_LINES):
        draw.text((left, y), line, fill=TEXT, font=body)
        y += _line(sizes.small)


def _draw_findings(
    draw: ImageDraw.ImageDraw,
    findings: Sequence[FindingProbability],
    area: Rectangle,
    sizes: _Measures,
) -> None:
    """A row for each finding: name, a bar with both thresholds as ticks, number and level."""
    left, top, right, _ = area
    body, small = face(sizes.body), face(sizes.small)
    if not findings:
        draw.text((left, top), "No probabilities", fill=TEXT_MUTED, font=body)
        return
    word = small.getlength("  unlikely")
    numbers = body.getlength(">99%") + word
    name_right = left + round((right - left) * 0.42)
    bar = name_right + sizes.gap, right - round(numbers) - sizes.gap
    for index, finding in enumerate(findings[:_ROWS]):
        y = top + index * sizes.row + sizes.row // 2
        colour = TEXT_MUTED if finding.level is Level.UNLIKELY else TEXT
        name = cut(display_name(finding.finding), body, name_right - left)
        draw.text((left, y), name, fill=colour, font=body, anchor="lm")
        _draw_bar(draw, finding, (bar[0], y - sizes.body // 3, bar[1], y + sizes.body // 3))
        draw.text((right, y), finding.level.value, fill=colour, font=small, anchor="rm")
        number = percent(finding.probability)
        draw.text((right - word, y), number, fill=colour, font=body, anchor="rm")
    caption = "calibrated probability; ticks: possible, likely from there on"
    y = top + _ROWS * sizes.row
    text = cut(caption, small, right - left)
    draw.text((right, y), text, fill=TEXT_MUTED, font=small, anchor="ra")


def _draw_bar(draw: ImageDraw.ImageDraw, finding: FindingProbability, area: Rectangle) -> None:
    """The probability as a bar from 0 to 1; a short white tick is possible, a long one likely."""
    left, top, right, bottom = area
    length = right - left
    if length < 8:
        return
    draw.rectangle((left, top, right, bottom), fill=TRACK)
    end = left + round(length * finding.probability)
    if end > left:
        draw.rectangle((left, top, end, bottom), fill=colour_of(finding.finding))
    reach = max(3, (bottom - top) // 4)
    ticks = ((finding.possible_threshold, reach // 2), (finding.likely_threshold, reach))
    for threshold, beyond in ticks:
        tick = left + round(length * threshold)
        draw.rectangle((tick - 2, top - beyond, tick + 2, bottom + beyond), fill=PANEL)
        draw.rectangle((tick - 1, top - beyond, tick + 1, bottom + beyond), fill=TEXT)


def _draw_foot(draw: ImageDraw.ImageDraw, panel: Panel, area: Rectangle, sizes: _Measures) -> None:
    """Models on the left, the warning and the time below them."""
    left, _, right, bottom = area
    font = face(sizes.small)
    y = bottom - 2 * _line(sizes.small)
    draw.line((left, y - sizes.gap // 2, right, y - sizes.gap // 2), fill=PANEL_LINE)
    models = "   ".join(f"{model.role} {model.name} {model.version}" for model in panel.models)
    text = printable(models) or "No model took part"
    draw.text((left, y), cut(text, font, right - left), fill=TEXT_MUTED, font=font)
    y += _line(sizes.small)
    draw.text((left, y), WARNING, fill=TEXT, font=font)
    time = panel.received_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    draw.text((right, y), time, fill=TEXT_MUTED, font=font, anchor="ra")


def _line(size_px: int) -> int:
    return round(size_px * 1.35)
