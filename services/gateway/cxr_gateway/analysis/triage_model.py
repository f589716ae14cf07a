"""Triage by score: two probabilities from both services' answers, and thresholds on a budget.

The constants come from manifests that training wrote (`cxr triage fit`), each for one classifier
and one detector. The thresholds follow from the share of radiographs that is to be urgent or soon:
among those of the fit, or among a site's own (`cxr-gateway triage tune`).
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from cxr_contracts import (
    NO_BOX_SCORE,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ModelIdentity,
    Region,
    TriageScore,
    TriageTerm,
    term_value,
)
from cxr_gateway.analysis.triage_folder import TriageModel, read_triage_models
from cxr_gateway.archive.triage_thresholds import SiteThresholds
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.schemas import Priority
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_SCORE_DECIMALS = 6
# What holds where there is no triage model.
_OTHERWISE = "evidence levels decide on the priority"


@dataclass(frozen=True)
class TriageThresholds:
    """From which scores on a study is urgent, and soon; see `Triage` for the scores."""

    urgent: float
    soon: float

    def priority(self, score: float, same_day_score: float) -> Priority:
        """The priority of a study with these scores; it rises with both."""
        if score >= self.urgent:
            return Priority.URGENT
        return Priority.SOON if same_day_score >= self.soon else Priority.ROUTINE


def thresholds_at(
    share_reached: Callable[[bool, float], float], alert_budget: float, soon_budget: float
) -> TriageThresholds:
    """The thresholds of two budgets.

    Args:
        share_reached: the score that a share of radiographs reaches: of the same-day score if
            True, else of the immediate one.
        alert_budget: the share that is to be urgent, 0..1.
        soon_budget: the further share that is to be soon.
    """

    def threshold(same_day: bool, share: float) -> float:
        # A budget of nothing or of everything means that, also for scores beyond all known ones.
        if share <= 0.0:
            return 1.0
        return 0.0 if share >= 1.0 else round(share_reached(same_day, share), _SCORE_DECIMALS)

    return TriageThresholds(
        threshold(False, alert_budget), threshold(True, min(1.0, alert_budget + soon_budget))
    )


@dataclass(frozen=True)
class Scored:
    """What a triage model makes of one image.

    `term` is the one that raised the deciding score most beyond the usual, and `value` what it saw;
    None for routine. `box` is the detector's, of a region's term.
    """

    score: float
    same_day_score: float
    priority: Priority
    term: TriageTerm | None
    value: float
    box: DetectedBox | None


@dataclass(frozen=True)
class TriageInUse:
    """A triage model with the thresholds that hold for it now."""

    model: TriageModel
    thresholds: TriageThresholds

    def scored(self, findings: Sequence[FindingProbability], detected: DetectResponse) -> Scored:
        """The scores of an image that both services read.

        Args:
            findings: all fourteen.
            detected: every box that was asked for, those below their thresholds included.
        """
        said = {row.finding: row.probability for row in findings}
        best = best_boxes(detected)
        scores = {region: box.score for region, box in best.items()}
        manifest = self.model.manifest
        # The zero turns one that is negative into a plain one.
        score = round(manifest.immediate.score(said, scores), _SCORE_DECIMALS) + 0.0
        same_day = round(manifest.same_day.score(said, scores), _SCORE_DECIMALS) + 0.0
        priority = self.thresholds.priority(score, same_day)
        term = None
        if priority is not Priority.ROUTINE:
            urgent = priority is Priority.URGENT
            term = _cause(manifest.immediate if urgent else manifest.same_day, said, scores)
        return Scored(
            score,
            same_day,
            priority,
            term,
            term_value(term, said, scores) if term else 0.0,
            best[term.region] if term and term.region else None,
        )


def best_boxes(detected: DetectResponse) -> dict[Region, DetectedBox]:
    """The box of each region that the detector is surest of."""
    best: dict[Region, DetectedBox] = {}
    for box in detected.boxes:
        if box.finding not in best or box.score > best[box.finding].score:
            best[box.finding] = box
    return best


def _cause(
    score: TriageScore, said: Mapping[Finding, float], scores: Mapping[Region, float]
) -> TriageTerm | None:
    """The term that adds most beyond what is usual, of those that somebody answered something for.

    A region without a box, or with one so faint that it counts as none, is no answer.
    """
    answered = [
        term
        for term in score.terms
        if term.region is None or scores.get(term.region, 0.0) > NO_BOX_SCORE
    ]
    return max(answered, key=lambda term: term.excess(term_value(term, said, scores)), default=None)


LookUp = Callable[[], Awaitable[Mapping[str, SiteThresholds]]]


class TriageModels:
    """All triage models of an installation, with the budgets and what the site set itself.

    Args:
        models: at most one for each pair of networks.
        alert_budget: the share of radiographs that is to be urgent, 0 to 1.
        soon_budget: the further share that is to be soon.
    """

    def __init__(
        self, models: Sequence[TriageModel], alert_budget: float, soon_budget: float
    ) -> None:
        self.alert_budget, self.soon_budget = alert_budget, soon_budget
        self._models = list(models)
        self._missed: set[tuple[str, str]] = set()
        self._site: Mapping[str, SiteThresholds] = {}

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[TriageModel]:
        return iter(self._models)

    @property
    def min_score(self) -> float | None:
        """Down to which score boxes have to be asked for; None without a model."""
        return NO_BOX_SCORE if len(self) else None

    def of(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> TriageInUse | None:
        """The model for the two networks that answered, with its thresholds.

        None if one of them is missing, or if none was fitted to them: the latter is logged when it
        first happens to a pair.
        """
        if classifier is None or detector is None:
            return None
        model = self._find(classifier, detector)
        if model is not None:
            return TriageInUse(model, self.thresholds_of(model))
        pair = (classifier.sha256, detector.sha256)
        if len(self) and pair not in self._missed:
            self._missed.add(pair)
            _LOG.warning(
                "no triage model for these models",
                extra={"classifier": _named(classifier), "detector": _named(detector)},
            )
        return None

    def described(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> tuple[TriageModel | None, str]:
        """What holds for the networks that are there now, and a sentence of it."""
        if not len(self):
            return None, f"No triage model is installed; {_OTHERWISE}."
        if classifier is None or detector is None:
            return None, f"An inference service does not answer; {_OTHERWISE}."
        found = self._find(classifier, detector)
        models = f"classifier {_named(classifier)} and detector {_named(detector)}"
        if found is None:
            return None, f"None of those installed was fitted to {models}; {_OTHERWISE}."
        return found, f"Fitted to {models}."

    def _find(self, classifier: ModelIdentity, detector: ModelIdentity) -> TriageModel | None:
        pair = (classifier.sha256, detector.sha256)
        return next((one for one in self._models if one.pair == pair), None)

    def thresholds_of(self, model: TriageModel) -> TriageThresholds:
        """Those that the site set for it; else those of the budgets on the fit's radiographs."""
        if (site := self.site(model)) is not None:
            return TriageThresholds(site.urgent, site.soon)
        return reference_thresholds(model, self.alert_budget, self.soon_budget)

    def use(self, site: Mapping[str, SiteThresholds]) -> None:
        """Take over what the site set, by the sha256 of the model's manifest."""
        if dict(site) != dict(self._site):
            self._site = dict(site)
            if len(self):
                _LOG.info("the thresholds of triage changed", extra={"site": len(site)})

    def site(self, model: TriageModel) -> SiteThresholds | None:
        """What the site set for a model; None where the reference's thresholds hold."""
        return self._site.get(model.sha256)

    @asynccontextmanager
    async def kept_current(self, look_up: LookUp, interval_s: float) -> AsyncIterator[None]:
        """Look up what the site set, now and again and again; without a model there is nothing."""
        if not len(self):
            yield
            return

        async def refresh() -> None:
            try:
                self.use(await look_up())
            except ServiceError as error:
                # What held goes on.
                extra = {"detail": error.detail}
                _LOG.warning("thresholds of triage could not be looked up", extra=extra)

        await refresh()
        failure = "thresholds of triage could not be looked up"
        async with in_background(partial(repeat, refresh, interval_s, failure, at_once=False)):
            yield


def reference_thresholds(
    model: TriageModel, alert_budget: float, soon_budget: float
) -> TriageThresholds:
    """The thresholds of two budgets on the radiographs of the fit."""
    manifest = model.manifest
    return thresholds_at(
        lambda same_day, share: (manifest.same_day if same_day else manifest.immediate).threshold(
            share
        ),
        alert_budget,
        soon_budget,
    )


def load_triage_models(settings: GatewaySettings) -> TriageModels:
    """Those of the settings' folder, with their budgets; raises as `read_triage_models`."""
    found = read_triage_models(settings.triage_dir)
    return TriageModels(found, settings.alert_budget, settings.soon_budget)


def _named(model: ModelIdentity) -> str:
    return f"{model.name} {model.version} ({model.sha256[:12]})"
