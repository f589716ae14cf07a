"""How soon a person should look, what decided it, and the sentence that says so.

With a triage model for the two models that answered, two scores decide (`triage_model`). Without
one, or where a service is missing, the evidence levels do, by one table. `cxr-gateway docs triage`
writes both down; a test compares. The priorities order a worklist. They follow what the findings
usually mean for a patient in an emergency department.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxr_contracts import (
    Finding,
    FindingProbability,
    Level,
    ModelIdentity,
    Region,
    TriageManifest,
    finding_of_region,
)
from cxr_gateway.analysis.triage_model import Scored, TriageInUse, TriageModels
from cxr_gateway.core.schemas import (
    Box,
    MeasuredPriority,
    Priority,
    ThresholdsFrom,
    Triage,
    TriageCause,
    TriageRule,
    TriageStatus,
)
from cxr_gateway.core.settings import DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET


class Evidence(StrEnum):
    """What a rule looks at."""

    LIKELY = "likely"
    POSSIBLE = "possible"
    BOX = "box"
    UNREAD = "unread"


@dataclass(frozen=True)
class Rule:
    """A line of the table: this evidence for one of these names means this priority."""

    priority: Priority
    evidence: Evidence
    names: tuple[Finding | Region, ...]


IMMEDIATE = (Finding.PNEUMOTHORAX, Finding.EDEMA)
SAME_DAY = (
    Finding.PNEUMONIA,
    Finding.CONSOLIDATION,
    Finding.EFFUSION,
    Finding.MASS,
    Finding.NODULE,
    Finding.ATELECTASIS,
    Finding.INFILTRATION,
)
_MARKED = (
    Region.PNEUMOTHORAX,
    Region.FRACTURE,
    Region.PNEUMONIA,
    Region.CONSOLIDATION,
    Region.EFFUSION,
    Region.MASS,
    Region.NODULE,
    Region.DIFFUSE_NODULE,
)
# In the order in which they are tried; the first that applies decides.
TABLE = (
    Rule(Priority.URGENT, Evidence.LIKELY, IMMEDIATE),
    Rule(Priority.SOON, Evidence.LIKELY, SAME_DAY),
    Rule(Priority.SOON, Evidence.POSSIBLE, IMMEDIATE),
    Rule(Priority.SOON, Evidence.BOX, _MARKED),
    Rule(Priority.SOON, Evidence.UNREAD, ()),
)
# Without the classifier nobody contradicts the detector, so the most dangerous box is believed.
UNCONTRADICTED = Rule(Priority.URGENT, Evidence.BOX, (Region.PNEUMOTHORAX,))
_NO_CLASSIFIER = "The classifier did not answer, so no finding is ruled out."
_NOT_LOOKED_FOR = "The classifier does not look for {}, so nothing of it is ruled out."
_NOTHING_RULED_OUT = (
    "A service did not answer, or the classifier looks for no immediate finding: nothing is ruled "
    "out."
)
_NO_DETECTOR = "The detector did not answer, so no region was looked for."
_MOST_DECIMALS = 6


def triage_by_score(
    scored: Scored,
    in_use: TriageInUse,
    findings: Sequence[FindingProbability],
    boxes: Sequence[Box],
) -> Triage:
    """The priority of a study by its scores, and why.

    Args:
        scored: what the triage model made of the image.
        in_use: the model and its thresholds.
        findings: all fourteen.
        boxes: those of the study, the deciding one among them.
    """
    thresholds = in_use.thresholds
    cause = _scored_cause(scored, findings, boxes)
    return Triage(
        priority=scored.priority,
        score=scored.score,
        same_day_score=scored.same_day_score,
        urgent_threshold=thresholds.urgent,
        soon_threshold=thresholds.soon,
        cause=cause,
        model=in_use.model.used,
        reason=" ".join([*_beyond_usual(cause), _score_sentence(scored, in_use)]),
    )


def triage(
    findings: Sequence[FindingProbability], boxes: Sequence[Box], *, detector_answered: bool
) -> Triage:
    """The priority of a study by evidence levels, and why: at least one service has read it.

    Args:
        findings: all of the classifier's, the strongest first, or none if it did not answer.
        boxes: highest score first.
        detector_answered: whether an absence of boxes means anything.
    """
    notes = [] if findings else [_NO_CLASSIFIER]
    if findings and (unseen := [x for x in IMMEDIATE if x not in {y.finding for y in findings}]):
        notes.append(_NOT_LOOKED_FOR.format(" and ".join(map(_shown, unseen))))
    if not detector_answered:
        notes.append(_NO_DETECTOR)
    for rule in TABLE if findings else (UNCONTRADICTED, *TABLE):
        if rule.evidence is Evidence.UNREAD:
            if notes:
                return _by_levels(rule.priority, None, notes)
        elif rule.evidence is Evidence.BOX:
            for index, box in enumerate(boxes):
                if box.finding in rule.names:
                    cause = _box_cause(index, box, findings, usual=None)
                    return _by_levels(rule.priority, cause, [_box_sentence(box, findings), *notes])
        else:
            for row in findings:
                if row.finding in rule.names and _has(rule.evidence, row):
                    cause = _finding_cause(row, usual=None)
                    return _by_levels(rule.priority, cause, [_finding_sentence(row), *notes])
    nothing = (
        "No immediate finding is possible, none of the same day is likely, and no region that "
        "matters is marked."
    )
    return _by_levels(Priority.ROUTINE, None, [nothing])


def behind_others(triage: Triage | None) -> Triage | None:
    """The triage of a radiograph that was taken long ago: routine, and what it would be now."""
    if triage is None or triage.priority is Priority.ROUTINE:
        return triage
    reason = f"Chosen by a screening of older radiographs; by its scores {triage.priority}."
    update = {"priority": Priority.ROUTINE, "reason": f"{reason} {triage.reason}"}
    return triage.model_copy(update=update)


def _by_levels(priority: Priority, cause: TriageCause | None, sentences: Sequence[str]) -> Triage:
    return Triage(
        priority=priority,
        score=None,
        same_day_score=None,
        urgent_threshold=None,
        soon_threshold=None,
        cause=cause,
        model=None,
        reason=" ".join(sentences),
    )


def _has(evidence: Evidence, row: FindingProbability) -> bool:
    levels = {Level.LIKELY} if evidence is Evidence.LIKELY else {Level.LIKELY, Level.POSSIBLE}
    return row.level in levels


def _finding_cause(row: FindingProbability, usual: float | None) -> TriageCause:
    return TriageCause(
        finding=row.finding,
        region=None,
        value=row.probability,
        usual=usual,
        level=row.level,
        box=None,
    )


def _box_cause(
    index: int, box: Box, findings: Sequence[FindingProbability], usual: float | None
) -> TriageCause:
    same = finding_of_region(box.finding)
    return TriageCause(
        finding=same,
        region=box.finding,
        value=box.detector_score,
        usual=usual,
        level=next((row.level for row in findings if row.finding == same), None),
        box=index,
    )


def _scored_cause(
    scored: Scored, findings: Sequence[FindingProbability], boxes: Sequence[Box]
) -> TriageCause | None:
    if (term := scored.term) is None:
        return None
    if term.region is None:
        row = next(row for row in findings if row.finding == term.finding)
        return _finding_cause(row, term.usual)
    index = next(
        index
        for index, box in enumerate(boxes)
        if (box.finding, box.detector_score) == (term.region, scored.value)
    )
    return _box_cause(index, boxes[index], findings, term.usual)


def _beyond_usual(cause: TriageCause | None) -> list[str]:
    """What is said of the answer that decided by a score."""
    if cause is None or cause.usual is None:
        return []
    value, usual = _told_apart(cause.value, cause.usual)
    if cause.region is None:
        return [f"{_shown(cause.finding)} has a probability of {value}, where {usual} is usual."]
    marked = _shown(cause.region)
    return [f"The detector marks {marked} with its own score of {value}, where {usual} is usual."]


def _finding_sentence(row: FindingProbability) -> str:
    threshold = row.likely_threshold if row.level is Level.LIKELY else row.possible_threshold
    value, reached = _told_apart(row.probability, threshold)
    return f"{_shown(row.finding)} is {row.level}: its probability of {value} reaches {reached}."


def _box_sentence(box: Box, findings: Sequence[FindingProbability]) -> str:
    marked, score = _shown(box.finding), f"{box.detector_score:.3f}"
    same = finding_of_region(box.finding)
    for row in findings:
        if row.finding == same and row.level is Level.UNLIKELY:
            value, possible = _told_apart(row.probability, row.possible_threshold)
            return (
                f"The detector marks {marked} with its own score of {score}, though the classifier "
                f"calls it unlikely: a probability of {value}, below {possible}."
            )
    return f"The detector marks {marked} with its own score of {score}."


def _score_sentence(scored: Scored, in_use: TriageInUse) -> str:
    thresholds = in_use.thresholds
    score, urgent = _told_apart(scored.score, thresholds.urgent)
    same_day, soon = _told_apart(scored.same_day_score, thresholds.soon)
    if scored.priority is Priority.URGENT:
        return (
            f"The probability of an immediate finding is {score}; from {urgent} on a study is "
            "urgent."
        )
    if scored.priority is Priority.SOON:
        return (
            f"The probability of a finding to be read the same day is {same_day}; from {soon} on a "
            "study is soon."
        )
    return (
        f"The probability of an immediate finding is {score} (urgent from {urgent}), that of one "
        f"to be read the same day {same_day} (soon from {soon})."
    )


def _told_apart(value: float, other: float) -> tuple[str, str]:
    """Two numbers with as many decimals as tell them apart, three or more."""
    for decimals in range(3, _MOST_DECIMALS + 1):
        texts = f"{value:.{decimals}f}", f"{other:.{decimals}f}"
        if value == other or texts[0] != texts[1]:
            break
    return texts


def _shown(name: Finding | Region | None) -> str:
    return name.value.replace("_", " ") if name else ""


def triage_status(
    models: TriageModels, classifier: ModelIdentity | None, detector: ModelIdentity | None
) -> TriageStatus:
    """How priorities are decided by the networks that are there now."""
    model, detail = models.described(classifier, detector)
    site = models.site(model) if model else None
    thresholds = models.thresholds_of(model) if model else None
    alert, soon = models.alert_budget, models.soon_budget
    if site is not None:
        alert, soon = site.alert_budget, site.soon_budget
    origin = ThresholdsFrom.SITE if site else ThresholdsFrom.REFERENCE
    as_measured = (alert, soon) == (DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET)
    return TriageStatus(
        model=model.used if model else None,
        detail=detail,
        immediate=list(IMMEDIATE),
        same_day=list(SAME_DAY),
        alert_budget=alert,
        soon_budget=soon,
        urgent_threshold=thresholds.urgent if thresholds else None,
        soon_threshold=thresholds.soon if thresholds else None,
        thresholds_from=origin if model else None,
        tuned_at=site.set_at if site else None,
        tuned_on=site.n_images if site else None,
        measured=_measured(model.manifest) if model and as_measured else [],
    )


def _measured(manifest: TriageManifest) -> list[MeasuredPriority]:
    rows = {(row.name, row.subset): row for row in manifest.metrics if row.split == "test"}
    found = []
    for priority in Priority:
        immediate = rows.get(("precision_immediate", priority.value))
        same_day = rows.get(("precision_same_day", priority.value))
        if immediate is not None and same_day is not None:
            found.append(
                MeasuredPriority(
                    priority=priority,
                    n_called=immediate.n,
                    n_immediate=immediate.n_positive or 0,
                    n_same_day=same_day.n_positive or 0,
                )
            )
    return found


def rules() -> list[TriageRule]:
    """The table as the API tells it, a line per finding."""
    lines = [
        TriageRule(priority=rule.priority, finding=finding, rule=text)
        for rule, names in _lines()
        for finding, text in names
    ]
    nothing = TriageRule(priority=Priority.ROUTINE, finding=None, rule="Nothing of the above.")
    return [*lines, nothing]


def _lines() -> Iterator[tuple[Rule, list[tuple[Finding | None, str]]]]:
    for rule in (UNCONTRADICTED, *TABLE):
        if not rule.names:
            yield rule, [(None, _NOTHING_RULED_OUT)]
            continue
        yield rule, [(_finding_of(name), _rule_text(rule, name)) for name in rule.names]


def _finding_of(name: Finding | Region) -> Finding | None:
    return name if isinstance(name, Finding) else finding_of_region(name)


def _rule_text(rule: Rule, name: Finding | Region) -> str:
    shown = _shown(name)
    if rule.evidence in (Evidence.LIKELY, Evidence.POSSIBLE):
        return f"{shown} is {rule.evidence}."
    if rule is UNCONTRADICTED:
        return f"{shown}: the detector marks a region, and the classifier did not answer."
    return f"{shown}: the detector marks a region, whatever the classifier says."


_HEAD = """\
# How urgent a study is

Written by `make generate` from the code that the gateway uses; do not edit it here.

## Evidence levels

Each finding is `likely`, `possible` or `unlikely`. Likely begins at a rule-in operating point,
possible at a screening point; both are calibrated probabilities in the classifier's manifest, with
what they were measured to mean (`finding_levels` of `GET /api/v1/system`). A model without them has
them derived: possible from its threshold on, likely from twice that. Findings are ordered by level,
then by probability, everywhere; the first three are the top findings.

## With a triage model

Two scores decide, computed from the classifier's findings and the detector's best box of each kind:

- `score`, the probability of an immediate finding: {immediate}.
- `same_day_score`, the probability of one of these or of one to be read the same day: {same_day}.

| priority | when |
|---|---|
| urgent | `score` reaches the urgent threshold. |
| soon | It does not, and `same_day_score` reaches the soon threshold. |
| routine | Neither. |

The thresholds follow from a budget: of the radiographs on which the model was fitted, the share
`CXR_GATEWAY_ALERT_BUDGET` reaches the urgent threshold, and about the further share
`CXR_GATEWAY_SOON_BUDGET` the soon threshold. `cxr-gateway triage tune` fits them to a site's own
last radiographs, for which no labels are needed ([operations](operations.md#the-alert-budget)).

The study's `triage.cause` is the answer that raised the deciding score most beyond its usual value:
a finding with its probability, or a region with its box, which is then among the study's `boxes`
whatever its score. `triage.reason` says it in a sentence, with the same numbers.

## Without one

An imported model may have no triage model fitted to it, and a service may not answer. Then the
levels decide. The rules are tried from the top; the first that applies decides. A region is marked
where its box is among the study's `boxes`.

| priority | when |
|---|---|
"""
_TAIL = f"""\

- A study that one inference service did not answer is `partial`, and at least `{Priority.SOON}`.
  The reason says so.
- A study that neither service answered is `failed` and has no priority. The list shows it behind
  the urgent ones and before all others: it may be urgent.
- An image that is no frontal chest radiograph is `rejected`, has no priority and comes behind the
  routine ones.

## The order of the list

1. Studies that nobody opened within `CXR_GATEWAY_MAX_WAIT_MINUTES`, the oldest first, whatever
   their priority: so none waits for ever.
2. The others by priority, then by `score`, then the newest first.
3. What somebody called done.

What a priority meant on test patients is measured in [results/triage](results/triage/README.md).
The order helps people to choose what to read first. It does not replace reading.
"""


def markdown() -> str:
    """The rules as `docs/triage.md`."""
    head = _HEAD.format(
        immediate=" and ".join(map(_shown, IMMEDIATE)), same_day=", ".join(map(_shown, SAME_DAY))
    )
    rows = [f"| {rule.priority} | {rule.rule} |" for rule in rules()]
    return head + "\n".join(rows) + "\n" + _TAIL
