"""The burnt-in overlay by its pixels: boxes where they belong, labels inside, a panel below."""

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor, ImageDraw

from cxr_contracts import Finding, FindingProbability, Region, level_of
from cxr_gateway.core.schemas import Box, DicomMetadata, ModelRole, Priority, UsedModel
from cxr_gateway.rendering import FINDING_COLOURS, overlay_scale, render_image, render_overlay
from cxr_gateway.rendering.boxes import Style, draw_boxes, place_label
from cxr_gateway.rendering.colours import PANEL, PRIORITY_COLOURS, display_name
from cxr_gateway.rendering.corners import Corners, corners_of
from cxr_gateway.rendering.text import cut, face, printable, wrap
from support.archives import a_study, a_triage
from support.images import png, radiograph_like

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MID = np.full((1024, 1024), 100, np.uint8)
MODELS = [
    UsedModel(role=ModelRole(role), name=name, version="1.2.3", sha256="0" * 64)
    for role, name in (("ood", "ood-a"), ("classifier", "reader-b"), ("detector", "finder-c"))
]
Pixels = npt.NDArray[np.uint8]


def box(region: Region, x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
    return Box(
        finding=region, score=0.5, detector_score=0.5, classifier_probability=None,
        x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max,
    )  # fmt: skip


def probability(finding: Finding, value: float, possible: float = 0.5) -> FindingProbability:
    return FindingProbability(
        finding=finding, probability=value, level=level_of(value, possible, 0.9),
        possible_threshold=possible, likely_threshold=0.9,
    )  # fmt: skip


TOP = [
    probability(Finding.PLEURAL_THICKENING, 0.75),
    probability(Finding.PNEUMOTHORAX, 0.25),
    probability(Finding.CARDIOMEGALY, 0.0),
]
URGENT = a_triage(Priority.URGENT, reason="Pneumothorax is likely.")


def overlay_png(grey: Pixels = MID, **given: Any) -> bytes:
    options: dict[str, Any] = {
        "boxes": [], "findings": TOP, "triage": URGENT, "models": MODELS,
        "received_at": RECEIVED,
    }  # fmt: skip
    return render_overlay(grey, **(options | given))


def pixels(png: bytes) -> Pixels:
    image = Image.open(io.BytesIO(png))
    assert image.mode == "RGB"
    return np.asarray(image)


def rgb(colour: str) -> tuple[int, ...]:
    return ImageColor.getrgb(colour)


def is_colour(drawn: Pixels, colour: str) -> npt.NDArray[np.bool_]:
    return np.asarray((drawn == np.array(rgb(colour))).all(axis=-1))


def test_the_image_is_the_image_itself() -> None:
    grey = radiograph_like()
    image = Image.open(io.BytesIO(render_image(grey)))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), grey)


def test_without_boxes_the_radiograph_above_the_panel_is_untouched() -> None:
    grey = radiograph_like(800, 700)
    drawn = pixels(overlay_png(grey))
    assert drawn.shape[1] == 800
    assert drawn.shape[0] > 700
    assert np.array_equal(drawn[:700], np.repeat(grey[..., None], 3, axis=2))
    assert tuple(drawn[700, 0]) == rgb(PANEL)


def test_a_box_is_a_frame_of_three_pixels_just_inside_its_corners() -> None:
    drawn = pixels(overlay_png(boxes=[box(Region.MASS, 300, 400, 500, 700)]))
    mass, black, radiograph = rgb(FINDING_COLOURS["Mass"]), (0, 0, 0), (100, 100, 100)
    row = [tuple(drawn[550, x]) for x in (298, 299, 300, 302, 303, 304)]
    assert row == [radiograph, black, mass, mass, black, radiograph]
    row = [tuple(drawn[550, x]) for x in (495, 496, 497, 499, 500, 501)]
    assert row == [radiograph, black, mass, mass, black, radiograph]
    column = [tuple(drawn[y, 450]) for y in (695, 696, 697, 699, 700, 701)]
    assert column == [radiograph, black, mass, mass, black, radiograph]
    assert tuple(drawn[401, 450]) == mass
    assert tuple(drawn[550, 400]) == radiograph


@pytest.mark.parametrize(("width", "height"), [(512, 400), (1024, 900), (3000, 4000), (4000, 2500)])
def test_boxes_and_radiograph_scale_alike(width: int, height: int) -> None:
    grey = np.full((height, width), 100, np.uint8)
    corners = (width * 0.5, height * 0.5, width * 0.75, height * 0.8)
    drawn = pixels(overlay_png(grey, boxes=[box(Region.EFFUSION, *corners)]))
    scale = overlay_scale(width, height)
    rows, columns = np.nonzero(is_colour(drawn[: round(height * scale)], "#5588bb"))
    assert columns.min() == round(corners[0] * scale)
    assert columns.max() == round(corners[2] * scale) - 1
    assert rows.max() == round(corners[3] * scale) - 1
    assert max(round(width * scale), round(height * scale)) <= 2048
    assert drawn.shape[1] == round(width * scale) >= 640


@pytest.mark.parametrize(
    "corners",
    [(0, 0, 60, 60), (980, 0, 1024, 40), (0, 990, 50, 1024), (970, 980, 1024, 1024),
     (0, 0, 1024, 1024), (500, 500, 500.4, 500.4), (0, 0, 2000, 2000)],
)  # fmt: skip
def test_a_label_stays_inside_the_radiograph_wherever_its_box_is(
    corners: tuple[float, ...],
) -> None:
    canvas = Image.new("RGB", (1024, 1024))
    style = Style(line_px=3, pad_px=5, font=face(17))
    boxes = [box(Region.PLEURAL_THICKENING, *corners)]
    ((x_min, y_min, x_max, y_max),) = draw_boxes(
        ImageDraw.Draw(canvas), boxes, 1.0, canvas.size, style
    )
    assert 0 <= x_min < x_max <= 1024
    assert 0 <= y_min < y_max <= 1024
    label = is_colour(np.asarray(canvas)[y_min:y_max, x_min:x_max], "#009988")
    assert label.mean() > 0.4


def test_labels_of_boxes_on_top_of_each_other_do_not_cover_each_other() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(4):
        taken.append(place_label((120, 24), (300, 300, 420, 420), (1024, 1024), taken))
    for index, one in enumerate(taken):
        for other in taken[:index]:
            assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or (
                other[1] >= one[3]
            )  # fmt: skip


def test_the_strongest_box_lies_on_top() -> None:
    same = (300, 300, 600, 600)
    drawn = pixels(overlay_png(boxes=[box(Region.MASS, *same), box(Region.NODULE, *same)]))
    assert tuple(drawn[450, 301]) == rgb(FINDING_COLOURS["Mass"])


def test_the_panel_carries_the_priority_and_bars_as_long_as_the_probabilities() -> None:
    panel = pixels(overlay_png())[1024:]
    chip, _ = PRIORITY_COLOURS[Priority.URGENT]
    assert is_colour(panel, chip).sum() > 800
    lengths = {}
    for finding in TOP:
        bar = is_colour(panel, FINDING_COLOURS[finding.finding.value])
        lengths[finding.finding] = int(bar.any(axis=0).sum())
    assert lengths[Finding.CARDIOMEGALY] == 0
    # The tick of the threshold, and a dark line on both sides of it, interrupt the longer bar.
    ratio = (lengths[Finding.PLEURAL_THICKENING] + 5) / lengths[Finding.PNEUMOTHORAX]
    assert ratio == pytest.approx(3, abs=0.1)


def test_the_foot_says_research_use_and_when_in_utc() -> None:
    here = overlay_png()
    elsewhere = RECEIVED.astimezone(timezone(timedelta(hours=9)))
    later = overlay_png(received_at=RECEIVED + timedelta(seconds=1))
    assert here == overlay_png(received_at=elsewhere)
    changed = np.nonzero((pixels(here) != pixels(later)).any(axis=2))
    assert changed[0].min() > 1024 + 0.8 * (pixels(here).shape[0] - 1024)
    # The warning is drawn at the left of the last line, in the brightest letters.
    last = pixels(here)[-60:, : 1024 // 2]
    assert is_colour(last, "#f2f5f8").sum() > 100


@pytest.mark.parametrize("width", [64, 640, 1024, 2048])
def test_the_longest_texts_fit(width: int) -> None:
    grey = np.full((width, width), 100, np.uint8)
    long = "A reason that goes on and on, with every finding named in it. " * 20
    models = [
        UsedModel(role=ModelRole.CLASSIFIER, name="n" * 200, version="v" * 100, sha256="0" * 64)
        for _ in range(3)
    ]
    drawn = pixels(
        overlay_png(grey, triage=a_triage(Priority.ROUTINE, reason=long), models=models, note=long)
    )
    panel = drawn[round(width * overlay_scale(width, width)) :]
    background = is_colour(panel, PANEL)
    margin = 8
    assert background[:, :margin].all()
    assert background[:, -margin:].all()
    assert background[:margin].all()
    assert background[-margin:].all()


def test_every_name_fits_its_row_at_the_smallest_width() -> None:
    # 640 px: margins, the right 54% of the panel, 42% of that for the name.
    room = (640 - 2 * 15) * 0.54 * 0.42 - 10
    for finding in Finding:
        name = display_name(finding)
        assert cut(name, face(13), room) == name


def test_a_rejected_study_is_drawn_without_a_diagnosis() -> None:
    nothing = overlay_png(triage=None, findings=[], models=[], note="Not a chest radiograph.")
    drawn = pixels(nothing)
    assert np.array_equal(drawn[:1024], np.repeat(MID[..., None], 3, axis=2))
    assert is_colour(drawn[1024:], "#ffb224").sum() > 100
    for fill, _ in PRIORITY_COLOURS.values():
        if fill != "#ffb224":
            assert not is_colour(drawn[1024:], fill).any()


def test_the_same_study_gives_the_same_bytes() -> None:
    grey, boxes = radiograph_like(700, 600), [box(Region.MASS, 10, 10, 200, 200)]
    assert overlay_png(grey, boxes=boxes) == overlay_png(grey.copy(), boxes=list(boxes))
    assert overlay_png(grey, boxes=boxes) != overlay_png(grey)


def test_a_large_radiograph_is_bounded() -> None:
    drawn = pixels(overlay_png(np.zeros((7000, 5000), np.uint8), note="x"))
    assert drawn.shape[1] == round(5000 * 2048 / 7000)
    assert 2048 < drawn.shape[0] < 2048 + 1000


def test_text_is_latin_without_control_characters_and_cut_by_width() -> None:
    assert printable("Müller \u2265 0.5 \u2013 \u592a\u90ce\x00\x1b") == "Müller >= 0.5 - ??  "
    font = face(16)
    assert font.getlength(cut("m" * 500, font, 200)) <= 200
    lines = wrap("word " * 200, font, 150, 3)
    assert len(lines) == 3
    assert max(font.getlength(line) for line in lines) <= 150
    assert lines[-1].endswith("...")
    assert wrap("", font, 150, 3) == []


PATIENT = {
    "patient_id": "4711", "issuer_of_patient_id": None, "name": "Doe^Jane^^Dr=other",
    "birth_date": "1950-01-02", "sex": "F", "accession_number": "A-12",
    "study_date": "2026-03-04", "study_instance_uid": None, "sop_instance_uid": None,
}  # fmt: skip


def test_corners_say_whose_image_it_is_and_which() -> None:
    study = a_study(png())
    study = study.model_copy(
        update={
            "patient": DicomMetadata.model_validate(PATIENT),
            "image": study.image.model_copy(update={"view": "PA"}),
        }
    )
    assert corners_of(study) == Corners(
        ("Doe, Jane Dr", "4711", "born 1950-01-02, F"),
        ("2026-03-04", "PA · A-12", f"#{study.id[-6:]}"),
    )
    unnamed = DicomMetadata.model_validate(dict.fromkeys(PATIENT))
    study = study.model_copy(update={"patient": unnamed, "file_name": "chest.png"})
    assert corners_of(study).left == ("chest.png", "no patient in the file")


def test_corners_are_drawn_in_both_upper_corners_and_nowhere_else() -> None:
    plain = pixels(overlay_png())
    corners = Corners(("Doe, Jane", "4711", "born 1950-01-02, F"), ("2026-03-04", "W" * 200))
    changed = (pixels(overlay_png(corners=corners)) != plain).any(axis=-1)
    rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
    assert rows.max() < 1024 / 10
    assert changed[:, :256].any()
    assert changed[:, -256:].any()
    # A line that is too long is cut where the other corner begins.
    assert not changed[:, 500:524].any()
    assert columns.min() > 0
    assert columns.max() < 1023


def test_corners_are_read_on_white_as_on_black() -> None:
    corners = Corners(("Doe, Jane",), ())
    for level in (0, 255):
        drawn = pixels(overlay_png(np.full((1024, 1024), level, np.uint8), corners=corners))
        assert {0, 255} <= set(np.unique(drawn[:60, :300]))
