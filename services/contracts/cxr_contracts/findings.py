"""The one vocabulary of findings, and how each data set spells it.

`Finding` is what a classifier answers. Its members are the fourteen labels of NIH ChestX-ray14
(Wang et al., CVPR 2017), spelled as NIH spells them. `Region` is what a detector draws; its members
are the union of NIH's eight boxed labels and ChestX-Det's thirteen (Lian et al. 2021).

Both are open: a model may be trained with labels of its own, and `Finding("Stent")` is a `Finding`
like another, only no member. So `set(Finding)` are the known ones, and who means a known one asks
for it there. Compare with `==`: two of one own name are not one object.
"""

import re
from enum import StrEnum
from typing import Any, Self, TypeVar

from pydantic import GetJsonSchemaHandler

# Of a label of one's own. It becomes a part of file names, URLs and codes.
LABEL_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,47}$"
_LABEL = re.compile(LABEL_PATTERN.removesuffix("$"))


class _OpenVocabulary(StrEnum):
    """Names of which the members are the known ones."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            return None
        name = str(value)  # of the other vocabulary's type, perhaps
        own = str.__new__(cls, name)
        own._name_ = own._value_ = name
        return own

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        made = handler(schema)
        shown = handler.resolve_ref_schema(made)
        shown.pop("enum", None)
        shown["pattern"], shown["examples"] = LABEL_PATTERN, [one.value for one in cls]
        shown["description"] = (
            f"{cls.__doc__} The published models know those of the examples; a model that was "
            "trained with labels of its own answers with those."
        )
        return made


_Vocabulary = TypeVar("_Vocabulary", bound=_OpenVocabulary)


class Finding(_OpenVocabulary):
    """A finding of the classifier."""

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


class Region(_OpenVocabulary):
    """A kind of box of the detector."""

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


class Level(StrEnum):
    """How strong the evidence for a finding is, by the operating points of its model."""

    LIKELY = "likely"  # it reaches the rule-in point
    POSSIBLE = "possible"  # it reaches the screening point
    UNLIKELY = "unlikely"  # neither


# The order in which findings are shown.
_STRONGEST_FIRST = (Level.LIKELY, Level.POSSIBLE, Level.UNLIKELY)


def level_of(probability: float, possible_threshold: float, likely_threshold: float) -> Level:
    """The level of a finding; a threshold is reached by a probability that equals it."""
    if probability >= likely_threshold:
        return Level.LIKELY
    return Level.POSSIBLE if probability >= possible_threshold else Level.UNLIKELY


def evidence_order(level: Level, probability: float) -> tuple[int, float]:
    """What findings are sorted by everywhere: the strongest level first, then the likeliest."""
    return _STRONGEST_FIRST.index(level), -probability


# Spellings that differ from ours. Everything else is spelled as above, with a space
# allowed for the underscore (ChestX-Det writes "Pleural Thickening").
_OTHER_SPELLINGS = {
    "Infiltrate": "Infiltration",  # NIH's BBox_List_2017.csv
}
# What the data sets write where there is no finding; not a member of either vocabulary.
NO_FINDING = "No Finding"


def parse_finding(text: str) -> Finding:
    """The finding that a data set means by `text`; ValueError if it is none of the fourteen."""
    return _known(Finding, text)


def parse_region(text: str) -> Region:
    """The kind of box that a data set means by `text`; ValueError if it is in no vocabulary."""
    return _known(Region, text)


def parse_label(text: str) -> Finding:
    """The label, known or of one's own, that a table means by `text`.

    Raises:
        ValueError: it is no name of a label; the message says what is allowed.
    """
    name = _normalised(text)
    if not _LABEL.fullmatch(name):
        raise ValueError(
            f"{text.strip()!r} is no name of a label: a letter, then up to 47 letters, digits, "
            "spaces, _ or -"
        )
    return Finding(name)


def finding_of_region(region: Region) -> Finding | None:
    """The classifier's finding of the same name; None for a known region that NIH does not label.

    A diffuse nodule is a nodule to NIH's labels, which know no finer kind.
    """
    if region == Region.DIFFUSE_NODULE:
        return Finding.NODULE
    if region in set(Region) and region.value not in set(Finding):
        return None
    return Finding(region.value)


def _known(vocabulary: type[_Vocabulary], text: str) -> _Vocabulary:
    name = _normalised(text)
    if name not in set(vocabulary):
        known = ", ".join(sorted(vocabulary))
        raise ValueError(f"{name!r} is not a valid {vocabulary.__name__}: none of {known}")
    return vocabulary(name)


def _normalised(text: str) -> str:
    name = text.strip().replace(" ", "_")
    return _OTHER_SPELLINGS.get(name, name)
