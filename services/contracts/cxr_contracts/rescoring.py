"""`manifest.json` of a rescoring: how a box's score and a finding's probability become one.

A rescoring is fitted for the answers of two networks and means nothing for others, so it names both
by the sha256 of their weights.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr_contracts.findings import Finding, Region, finding_of_region
from cxr_contracts.inference import LOWEST_MIN_SCORE, ModelIdentity, Probability, Sha256
from cxr_contracts.manifest import MetricRow


class _Strict(BaseModel):
    # A misspelt key in a manifest must not fall back to a default in silence.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RegionRescoring(_Strict):
    """How the scores of one kind of box are rescored.

    rescored = sigmoid(score_weight * logit(score) + probability_weight * logit(probability)
    + intercept), where `probability` is the classifier's of `finding`.
    """

    region: Region
    finding: Finding | None = Field(
        description="Whose probability is rescored; null where the classifier has no such label."
    )
    # Positive: within one radiograph and kind, the detector's order stays.
    score_weight: float = Field(gt=0)
    # Never negative: a box is not the less likely, the more likely its finding is.
    probability_weight: float = Field(ge=0)
    intercept: float
    threshold: Probability = Field(description="The lowest rescored score that is shown.")
    threshold_rule: str = Field(description="How the threshold was chosen.")
    n_boxes: int = Field(ge=0, description="Drawn boxes of this kind on the patients of the fit.")

    @model_validator(mode="after")
    def _joins_its_own_finding(self) -> Self:
        if self.finding is None and self.probability_weight:
            raise ValueError(f"{self.region.value} weighs a probability and names no finding")
        # The answer shows the probability of the same finding as what the score is made of.
        if self.finding not in (None, finding_of_region(self.region)):
            raise ValueError(f"{self.region.value} cannot be rescored with {self.finding}")
        return self


class RescoringData(_Strict):
    """The patients of the fit."""

    split: str = Field(description="E.g. `validation`.")
    split_sha256: Sha256 = Field(description="Of the split file: patient and split, a line each.")
    n_images: int = Field(gt=0)
    n_patients: int = Field(gt=0)
    n_boxes: int = Field(gt=0)


class RescoringFit(_Strict):
    """How the constants came about."""

    command: str
    commit: str
    form: str = Field(description="Which of the forms that were compared this is.")
    rule_form: str = Field(
        description="Which of them the rule takes; another than `form` if that was asked for."
    )
    folds: int = Field(ge=2, description="Patients' folds behind every figure and threshold.")


class RescoringManifest(_Strict):
    """A published rescoring's own description of itself."""

    schema_version: Literal[1]
    role: Literal["rescoring"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    classifier: ModelIdentity = Field(description="Whose probabilities it was fitted to.")
    detector: ModelIdentity = Field(description="Whose scores it was fitted to.")
    min_score: Probability = Field(
        ge=LOWEST_MIN_SCORE,
        description="Boxes below this score of the detector are not asked for: none of them "
        "reached its rescored threshold.",
    )
    max_boxes: int = Field(gt=0, description="At most so many boxes are shown.")
    regions: list[RegionRescoring] = Field(description="Each kind of box once.")
    data: RescoringData
    fit: RescoringFit
    metrics: list[MetricRow] = Field(
        description="`subset` is the form; `detector` is the detector's own score."
    )

    @model_validator(mode="after")
    def _names_each_region_once(self) -> Self:
        named = [one.region.value for one in self.regions]
        if sorted(named) != sorted(Region):
            missing = sorted(set(Region) - set(named))
            raise ValueError(
                f"`regions` names {len(named)} kinds of box where each of the {len(Region)} is "
                f"due once; missing: {', '.join(missing) or 'none'}"
            )
        return self
