"""What a tuning would change: thresholds from the scores of a site's last images."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_gateway.analysis.triage_model import TriageThresholds, thresholds_at
from cxr_gateway.core.errors import BadInput
from cxr_gateway.core.schemas import Priority

# With fewer the threshold of a tenth is a guess.
LEAST_IMAGES = 200


@dataclass(frozen=True)
class ScoredStudy:
    """A stored study: its scores by the triage model in use, and the priority that it was given."""

    score: float
    same_day_score: float
    priority: Priority


@dataclass(frozen=True)
class Tuning:
    """What would hold, beside what holds, over the same images."""

    n_images: int
    before: TriageThresholds
    after: TriageThresholds
    shares_before: dict[Priority, float]
    shares_after: dict[Priority, float]
    n_changed: int


def scored_studies(results: Iterable[str], model_sha256: str) -> list[ScoredStudy]:
    """The stored results, as JSON, that this triage model has scored."""
    found = []
    for text in results:
        triage: dict[str, Any] | None = json.loads(text)["triage"]
        if triage and triage["model"] and triage["model"]["sha256"] == model_sha256:
            scores = triage["score"], triage["same_day_score"]
            found.append(ScoredStudy(*scores, Priority(triage["priority"])))
    return found


def planned(
    studies: Sequence[ScoredStudy],
    before: TriageThresholds,
    alert_budget: float,
    soon_budget: float,
) -> Tuning:
    """The thresholds that these budgets mean on these studies, and what they would change.

    Raises:
        BadInput: there are fewer studies than `LEAST_IMAGES`.
    """
    if len(studies) < LEAST_IMAGES:
        raise BadInput(
            f"{len(studies)} stored studies have a score of the triage model in use, and a "
            f"tuning needs {LEAST_IMAGES}; nothing was changed."
        )
    scores = np.array([(study.score, study.same_day_score) for study in studies])
    after = thresholds_at(
        lambda same_day, share: float(np.quantile(scores[:, int(same_day)], 1.0 - share)),
        alert_budget,
        soon_budget,
    )
    would_be = [after.priority(study.score, study.same_day_score) for study in studies]
    now = [before.priority(study.score, study.same_day_score) for study in studies]
    changed = sum(
        study.priority is not priority for study, priority in zip(studies, would_be, strict=True)
    )
    return Tuning(len(studies), before, after, _shares(now), _shares(would_be), changed)


def _shares(priorities: Sequence[Priority]) -> dict[Priority, float]:
    return {priority: priorities.count(priority) / len(priorities) for priority in Priority}


def described(tuning: Tuning) -> str:
    """The change as an operator reads it in a terminal."""
    lines = [
        f"{tuning.n_images} images scored by the triage model in use.",
        "",
        "                       now    tuned",
        _row("urgent from", tuning.before.urgent, tuning.after.urgent, ".4f"),
        _row("soon from", tuning.before.soon, tuning.after.soon, ".4f"),
    ]
    lines += [
        _row(priority.value, tuning.shares_before[priority], tuning.shares_after[priority], ".1%")
        for priority in Priority
    ]
    lines += [
        "",
        f"{tuning.n_changed} of these stored studies would have another priority. They keep theirs;"
        " new studies get the tuned thresholds.",
    ]
    return "\n".join(lines)


def _row(name: str, before: float, after: float, form: str) -> str:
    return f"{name:<16} {before:>9{form}} {after:>8{form}}"
