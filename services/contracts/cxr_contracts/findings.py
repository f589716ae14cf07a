"""The one vocabulary of findings, and how each data set spells it.

`Finding` is what the classifier answers: the fourteen labels of NIH ChestX-ray14
(Wang et al., CVPR 2017), spelled as NIH spells them. `Region` is what the detector
draws: the union of NIH's eight boxed labels and ChestX-Det's thirteen (Lian et al. 2021).
"""

from enum import StrEnum


class Finding(StrEnum):
    """A finding of the classifier; the order is the order of its outputs."""

    ATELECTASIS = "Atelectasis"
    CARDIOMEGALY = "Cardiomegaly"
    EFFUSION = "Effusion"
    INFILTRATION = "Infiltration"
    MASS = "Mass"
    NODULE = "Nodule"
    PNEUMONIA = "Pneumonia"
    PNEUMOTHORAX = "Pneumothorax"
    CONSOLIDATION = "Consolidation"
    EDEMA = "Edema"
    EMPHYSEMA = "Emphysema"
    FIBROSIS = "Fibrosis"
    PLEURAL_THICKENING = "Pleural_Thickening"
    HERNIA = "Hernia"


class Region(StrEnum):
    """A kind of box of the detector; the order is the order of its classes."""

    ATELECTASIS = "Atelectasis"
    CALCIFICATION = "Calcification"
    CARDIOMEGALY = "Cardiomegaly"
    CONSOLIDATION = "Consolidation"
    DIFFUSE_NODULE = "Diffuse_Nodule"
    EFFUSION = "Effusion"
    EMPHYSEMA = "Emphysema"
    FIBROSIS = "Fibrosis"
    FRACTURE = "Fracture"
    INFILTRATION = "Infiltration"
    MASS = "Mass"
    NODULE = "Nodule"
    PLEURAL_THICKENING = "Pleural_Thickening"
    PNEUMONIA = "Pneumonia"
    PNEUMOTHORAX = "Pneumothorax"


# Spellings that differ from ours. Everything else is spelled as above, with a space
# allowed for the underscore (ChestX-Det writes "Pleural Thickening").
_OTHER_SPELLINGS = {
    "Infiltrate": "Infiltration",  # NIH's BBox_List_2017.csv
}
# What the data sets write where there is no finding; not a member of either vocabulary.
NO_FINDING = "No Finding"


def parse_finding(text: str) -> Finding:
    """The finding that a data set means by `text`; ValueError if it is none of the fourteen."""
    return Finding(_normalised(text))


def parse_region(text: str) -> Region:
    """The kind of box that a data set means by `text`; ValueError if it is in no vocabulary."""
    return Region(_normalised(text))


def finding_of_region(region: Region) -> Finding | None:
    """The classifier's finding of the same name; None for a region that NIH does not label.

    A diffuse nodule is a nodule to NIH's labels, which know no finer kind.
    """
    if region is Region.DIFFUSE_NODULE:
        return Finding.NODULE
    try:
        return Finding(region.value)
    except ValueError:
        return None


def _normalised(text: str) -> str:
    name = text.strip().replace(" ", "_")
    return _OTHER_SPELLINGS.get(name, name)
