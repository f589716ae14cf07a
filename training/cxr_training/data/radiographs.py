"""What every data set says of a radiograph, whatever its layout."""

from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import NO_FINDING, Finding, parse_finding


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One labelled radiograph.

    `patient` is unique over all data sets together. `age_years` is -1, `sex` and `view` are empty
    where the data set does not say. `synthetic` marks an image that a generator made: such an
    image is never validated or tested on. Of the findings in `unknown` nobody said whether they
    are there: such an image only trains, too, and is silent about them.
    """

    name: str
    path: Path
    patient: str
    findings: frozenset[Finding]
    age_years: int
    sex: str
    view: str
    synthetic: bool = False
    unknown: frozenset[Finding] = frozenset()


def parse_findings(text: str) -> frozenset[Finding]:
    """The findings of a field like `Mass|Effusion`; none for `No Finding`.

    Raises:
        ValueError: a name outside the vocabulary, or a finding beside `No Finding`.
    """
    labels = text.split("|")
    if NO_FINDING not in labels:
        return frozenset(parse_finding(label) for label in labels)
    if len(labels) > 1:
        raise ValueError(f"{text!r} names a finding beside {NO_FINDING!r}")
    return frozenset()
