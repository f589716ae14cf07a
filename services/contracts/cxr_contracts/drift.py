"""What drift is measured against: the distributions of the validation patients' images.

Training writes `reference.json`, the gateway reads it. Scores of other networks are distributed
otherwise, so a reference names the out-of-distribution (OOD) detector and the classifier by the
sha256 of their weights.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr_contracts.findings import Finding
from cxr_contracts.inference import ModelIdentity, Sha256

REFERENCE_NAME = "reference.json"
# Of the image and the OOD detector; the classifier's follow. Sizes in px, grey values 0..255.
IMAGE_NUMBERS = ("ood_score", "width", "height", "mean_grey", "contrast", "sharpness")
NUMBERS = (*IMAGE_NUMBERS, *(finding.value for finding in Finding))
CATEGORIES = ("source", "view")
STATISTICS = (*IMAGE_NUMBERS, *CATEGORIES, *(finding.value for finding in Finding))


class _Strict(BaseModel):
    # A misspelt key must not fall back to a default in silence.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NumberReference(_Strict):
    """A histogram: bin i holds what is at least edge i - 1 and less than edge i."""

    kind: Literal["number"]
    name: str
    edges: list[float] = Field(min_length=1, description="Inner ones, rising; the ends are open.")
    counts: list[int] = Field(description="One more than there are edges.")

    @model_validator(mode="after")
    def _is_a_histogram(self) -> Self:
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        if not rising or len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"{self.name} is no histogram")
        _refuse_empty(self.name, self.counts)
        return self


class CategoryReference(_Strict):
    """How often each of a few words came."""

    kind: Literal["category"]
    name: str
    categories: list[str] = Field(min_length=1)
    counts: list[int]

    @model_validator(mode="after")
    def _counts_each(self) -> Self:
        if len({*self.categories}) != len(self.categories) or len(self.counts) != len(
            self.categories
        ):
            raise ValueError(f"{self.name} does not count each of its categories once")
        _refuse_empty(self.name, self.counts)
        return self


StatisticReference = Annotated[NumberReference | CategoryReference, Field(discriminator="kind")]


class ReferenceData(_Strict):
    """The patients whose images were analysed."""

    split: str = Field(description="E.g. `validation`.")
    split_sha256: Sha256 = Field(description="Of the split file: patient and split, a line each.")
    n_images: int = Field(gt=0)
    n_accepted: int = Field(gt=0, description="As in distribution; all but the score are of these.")
    n_patients: int = Field(gt=0)


class DriftReference(_Strict):
    """The distributions of every statistic on the images of `data`, as two networks see them."""

    schema_version: Literal[1]
    role: Literal["reference"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    ood: ModelIdentity
    classifier: ModelIdentity
    data: ReferenceData
    command: str
    commit: str
    statistics: list[StatisticReference] = Field(
        description="Each of `STATISTICS` once, but for findings that the classifier does not know "
        "and a view that no image states."
    )

    @model_validator(mode="after")
    def _names_each_statistic_once(self) -> Self:
        kinds = {one.name: one.kind for one in self.statistics}
        due = {name: "category" if name in CATEGORIES else "number" for name in STATISTICS}
        missing = due.keys() - kinds.keys() - {*Finding, *CATEGORIES}
        wrong = missing or kinds.items() - due.items()
        if wrong or len(self.statistics) != len(kinds):
            raise ValueError(
                f"`statistics` must name each of {', '.join(STATISTICS)} once, but for what "
                "the images and the classifier say nothing of"
            )
        return self

    @property
    def models(self) -> tuple[str, str]:
        """The sha256 of the out-of-distribution detector and of the classifier."""
        return self.ood.sha256, self.classifier.sha256


def _refuse_empty(name: str, counts: list[int]) -> None:
    if min(counts) < 0 or not sum(counts):
        raise ValueError(f"{name} counts nothing")
