"""What every data set says of a radiograph, whatever its layout."""

from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import Finding


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One labelled radiograph.

    `patient` is unique over all data sets together. `age_years` is -1, `sex` and `view` are empty
    where the data set does not say. `synthetic` marks an image that a generator made: such an
    image is never validated or tested on.
    """

    name: str
    path: Path
    patient: str
    findings: frozenset[Finding]
    age_years: int
    sex: str
    view: str
    synthetic: bool = False
