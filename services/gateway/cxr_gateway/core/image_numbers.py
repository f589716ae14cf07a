"""The numbers of one image that drift is computed from, stored beside its study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cxr_contracts import NUMBERS, Finding, FindingProbability
from cxr_gateway.core.schemas import Gate, ImageMetadata

# A file may say anything of its view; what is frontal has two.
_VIEWS = ("PA", "AP")
# A PNG or JPEG file says nothing of its view; then there is nothing to compare.
UNKNOWN_VIEW = "unknown"


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Of a grey image, as `imaging.statistics.measure` computes them.

    Attributes:
        mean_grey: 0 black to 255 white.
        contrast: the grey values' standard deviation, 0 to 127.5.
        sharpness: the mean step from one pixel to the next beside and below it, in the middle of
            the image, in standard deviations of the grey values there; 0 for a blank image.
    """

    mean_grey: float
    contrast: float
    sharpness: float


def week_of(moment: datetime) -> str:
    """The ISO week in UTC, e.g. `2026-W47`."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def view_of(view: str | None) -> str:
    """`PA`, `AP`, `other`, or `UNKNOWN_VIEW` where the file is silent."""
    if not view:
        return UNKNOWN_VIEW
    return view if view in _VIEWS else "other"


def numbers_of(
    image: ImageMetadata,
    gate: Gate,
    measures: ImageStatistics,
    findings: Sequence[FindingProbability],
) -> list[float | None]:
    """In the order of `NUMBERS`; None for what the gate or the classifier did not say."""
    said: Mapping[Finding, float] = {row.finding: row.probability for row in findings}
    known: dict[str, float | None] = {
        "ood_score": None if gate.score is None else round(gate.score, 6),
        "width": image.width,
        "height": image.height,
        **asdict(measures),
        **{finding.value: said.get(finding) for finding in Finding},
    }
    return [known[name] for name in NUMBERS]
