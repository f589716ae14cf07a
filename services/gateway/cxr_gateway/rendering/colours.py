"""The one table of colours: a colour for each finding, the same on the page and in the images.

Chosen by search over 1,893 saturated colours for the largest smallest CIEDE2000 distance between
any two of the seventeen, under normal sight and under simulated protanopia, deuteranopia and
tritanopia (Machado et al. 2009); luminance is bounded so that black letters on them, and they on
a radiograph, keep contrast. A test recomputes distances and contrast. Names are always written
beside the colour: seventeen colours alone would be too many for anybody.
"""

from typing import Final

from cxr_contracts import Finding, Region
from cxr_gateway.core.schemas import Priority

FINDING_COLOURS: Final[dict[str, str]] = {
    "Atelectasis": "#88ffff",
    "Calcification": "#aaffcc",
    "Cardiomegaly": "#aa55ff",
    "Consolidation": "#ff9900",
    "Diffuse_Nodule": "#ccaa77",
    "Edema": "#aaccff",
    "Effusion": "#5588bb",
    "Emphysema": "#66aabb",
    "Fibrosis": "#aa7755",
    "Fracture": "#00ccaa",
    "Hernia": "#aa99ee",
    "Infiltration": "#dddd88",
    "Mass": "#ff0088",
    "Nodule": "#ff99aa",
    "Pleural_Thickening": "#009988",
    "Pneumonia": "#aaff00",
    "Pneumothorax": "#ff2211",
}

# Fill and letters of the priority's chip; the word itself is always written on it.
PRIORITY_COLOURS: Final[dict[Priority, tuple[str, str]]] = {
    Priority.URGENT: ("#ff5a4f", "#000000"),
    Priority.SOON: ("#ffb224", "#000000"),
    Priority.ROUTINE: ("#5fd0a5", "#000000"),
}

PANEL = "#0b0f14"
PANEL_LINE = "#2a3440"
TEXT = "#f2f5f8"
TEXT_MUTED = "#a9b4c0"
TRACK = "#27303a"
NOTE = "#ffb224"


def colour_of(finding: Finding | Region) -> str:
    """`#rrggbb` of a finding."""
    known = FINDING_COLOURS.get(finding.value)
    if known is not None:
        return known
    # A label of one's own has one of the colours, always the same; the page chooses alike.
    palette = sorted(FINDING_COLOURS.values())
    return palette[sum(map(ord, finding.value)) % len(palette)]


def display_name(finding: Finding | Region) -> str:
    """A finding's name as a person writes it."""
    return finding.value.replace("_", " ").capitalize()
