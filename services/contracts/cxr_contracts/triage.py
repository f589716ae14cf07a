"""`manifest.json` of a triage model: how soon a person should look, from what two networks say.

It is fitted for the answers of one classifier and one detector and means nothing for others, so it
names both by the sha256 of their weights. It holds two scores: the probability of an immediate
finding, and that of one that should be read the same day. Thresholds are not part of it: they
follow from the share of images that a site wants to be called urgent or soon, by `quantiles`.
"""

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr_contracts.findings import Finding, Region
from cxr_contracts.inference import ModelIdentity, Probability, Sha256
from cxr_contracts.manifest import MetricRow

# What a region's term sees where no such box reaches this score: so a faint box and none are alike,
# however low the score down to which boxes were asked for.
NO_BOX_SCORE = 0.05
# A probability of one would leave nothing to the other terms.
_MOST = 1 - 1e-9


class _Strict(BaseModel):
    # A misspelt key in a manifest must not fall back to a default in silence.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TriageTerm(_Strict):
    """One answer that raises a score, by -weight * log(1 - value).

    `value` is the calibrated probability of `finding`, or the detector's own score of the best box
    of `region`, `NO_BOX_SCORE` at least.
    """

    finding: Finding | None
    region: Region | None
    # Never negative: an image is not the less urgent, the likelier a finding is.
    weight: float = Field(ge=0)
    usual: Probability = Field(description="The median of `value` over the images of the fit.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.finding is None) == (self.region is None):
            raise ValueError("a term names either a finding or a region")
        return self

    def excess(self, value: float) -> float:
        """How much more than its usual value `value` adds to -log(1 - score)."""
        return self.weight * (math.log1p(-min(self.usual, _MOST)) - math.log1p(-min(value, _MOST)))


class TriageScore(_Strict):
    """The probability that an image shows one of `findings`: 1 - product of (1 - value)^weight.

    With weights of one, that is the probability of at least one of several independent events.
    """

    findings: list[Finding] = Field(min_length=1)
    terms: list[TriageTerm] = Field(min_length=1)
    quantiles: list[Probability] = Field(
        min_length=101,
        description="Of the score over the images of the fit, evenly spaced, lowest first.",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.quantiles != sorted(self.quantiles):
            raise ValueError("the quantiles do not ascend")
        return self

    def score(self, probabilities: Mapping[Finding, float], boxes: Mapping[Region, float]) -> float:
        """The score of one image, 0..1.

        Args:
            probabilities: of every finding that a term names.
            boxes: the detector's own score of the best box of each region; those without are left
                out.
        """
        none_of_them = sum(
            term.weight * math.log1p(-min(term_value(term, probabilities, boxes), _MOST))
            for term in self.terms
        )
        return -math.expm1(none_of_them)

    def threshold(self, share: float) -> float:
        """The score that `share` (0..1) of the images of the fit reach."""
        place = (1.0 - share) * (len(self.quantiles) - 1)
        low = min(int(place), len(self.quantiles) - 2)
        step = self.quantiles[low + 1] - self.quantiles[low]
        return self.quantiles[low] + (place - low) * step


def term_value(
    term: TriageTerm, probabilities: Mapping[Finding, float], boxes: Mapping[Region, float]
) -> float:
    """What `term` sees of an image; see `TriageScore.score` for the arguments."""
    if term.finding is not None:
        return probabilities[term.finding]
    best = boxes.get(term.region, 0.0) if term.region is not None else 0.0
    return max(best, NO_BOX_SCORE)


class TriageData(_Strict):
    """The patients of the fit."""

    split: str = Field(description="E.g. `validation`.")
    split_sha256: Sha256 = Field(description="Of the split file: patient and split, a line each.")
    n_images: int = Field(gt=0)
    n_patients: int = Field(gt=0)


class TriageFit(_Strict):
    """How the constants came about."""

    command: str
    commit: str
    form: str = Field(description="Which of the forms that were compared this is.")
    folds: int = Field(ge=2, description="Patients' folds behind every figure.")


class TriageManifest(_Strict):
    """A published triage model's own description of itself."""

    schema_version: Literal[1]
    role: Literal["triage"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    classifier: ModelIdentity = Field(description="Whose probabilities it was fitted to.")
    detector: ModelIdentity = Field(description="Whose scores it was fitted to.")
    immediate: TriageScore
    same_day: TriageScore = Field(description="Of an immediate or a same-day finding.")
    data: TriageData
    fit: TriageFit
    metrics: list[MetricRow] = Field(
        description="`subset` is a kind of image, or a priority at the default budgets."
    )
