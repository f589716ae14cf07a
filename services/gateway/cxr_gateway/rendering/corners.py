"""Whose image it is, and which, in its upper corners, as the page shows it."""

from dataclasses import dataclass

from PIL import ImageDraw

from cxr_gateway.core.schemas import Study
from cxr_gateway.rendering.text import cut, face, printable

_LETTERS = "#ffffff"
_EDGE = "#000000"
_LINE = 1.3


@dataclass(frozen=True, slots=True)
class Corners:
    """The lines of the two upper corners, from the top."""

    left: tuple[str, ...]
    right: tuple[str, ...]


def corners_of(study: Study) -> Corners:
    """What the file says of the patient and of the study; of a file that says nothing, its name."""
    patient = study.patient
    born = f"born {patient.birth_date}" if patient.birth_date else None
    left = (
        _read_aloud(patient.name),
        patient.patient_id,
        ", ".join(filter(None, (born, patient.sex))),
    )
    right = (
        patient.study_date,
        " · ".join(filter(None, (study.image.view, patient.accession_number))),
        f"#{study.id[-6:]}",
    )
    nobody = (study.file_name or "No name", "no patient in the file")
    return Corners(tuple(filter(None, left)) or nobody, tuple(filter(None, right)))


def draw_corners(
    draw: ImageDraw.ImageDraw, corners: Corners, size: tuple[int, int], letter_px: int
) -> None:
    """Draw `corners` on a radiograph of `size`, width and height in pixels; dark around, to be
    read on bone, too. A line that is longer than half the width is cut.
    """
    font, margin = face(letter_px), letter_px
    room = size[0] / 2 - 1.5 * margin
    sides = ((corners.left, margin, "la"), (corners.right, size[0] - margin, "ra"))
    for lines, x, anchor in sides:
        for index, line in enumerate(lines):
            place = (x, margin // 2 + round(index * _LINE * letter_px))
            text = cut(printable(line), font, room)
            # As thick as a letter's own stroke.
            edge = max(1, letter_px // 8)
            draw.text(place, text, _LETTERS, font, anchor, stroke_width=edge, stroke_fill=_EDGE)


def _read_aloud(name: str | None) -> str:
    """A person's name as DICOM writes it, `FAMILY^GIVEN=...`, in its Latin letters: the first."""
    family, *given = [part.strip() for part in (name or "").partition("=")[0].split("^")]
    return ", ".join(filter(None, (family, " ".join(filter(None, given)))))
