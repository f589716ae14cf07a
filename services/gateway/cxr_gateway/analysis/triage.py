"""How soon a person should look: one table, and the sentence that names the line which applied.

`python -m cxr_gateway.analysis.triage > docs/triage.md` writes the table down; a test holds both together.
The priorities order a worklist. They follow what the findings usually mean for a patient in an
emergency department; no rule lowers what another one raised.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxr_contracts import Finding, FindingProbability, Region, finding_of_region
from cxr_gateway.core.schemas import Box, Priority, Triage, TriageRule

# An operating point is where sensitivity and specificity balance, finding by finding; with
# fourteen findings most healthy films reach one of them. A priority above the ordinary needs
# more: this many times the operating threshold. docs/results/triage holds what follows from it.
STRONG_FACTOR = 2.0


class Evidence(StrEnum):
    """What a rule looks at."""

    STRONG = "strong"
    POSITIVE = "positive"
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
_CHRONIC = (
    Finding.CARDIOMEGALY,
    Finding.EMPHYSEMA,
    Finding.FIBROSIS,
    Finding.PLEURAL_THICKENING,
    Finding.HERNIA,
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
    Rule(Priority.URGENT, Evidence.STRONG, IMMEDIATE),
    Rule(Priority.SOON, Evidence.STRONG, SAME_DAY),
    Rule(Priority.SOON, Evidence.POSITIVE, IMMEDIATE),
    Rule(Priority.SOON, Evidence.BOX, _MARKED),
    Rule(Priority.SOON, Evidence.UNREAD, ()),
    Rule(Priority.ROUTINE, Evidence.POSITIVE, (*SAME_DAY, *_CHRONIC)),
)
# Without the classifier nobody contradicts the detector, so the most dangerous box is believed.
UNCONTRADICTED = Rule(Priority.URGENT, Evidence.BOX, (Region.PNEUMOTHORAX,))


def triage(
    findings: Sequence[FindingProbability], boxes: Sequence[Box], *, detector_answered: bool
) -> Triage:
    """The priority of a study that at least one reader has read, and why.

    Args:
        findings: all fourteen, or none if the classifier did not answer.
        boxes: highest ranking score first.
        detector_answered: whether an absence of boxes means anything.
    """
    table = TABLE if findings else (UNCONTRADICTED, *TABLE)
    notes = []
    if not findings:
        notes.append("The classifier did not answer, so no finding is ruled out.")
    if not detector_answered:
        notes.append("The detector did not answer, so no region was looked for.")
    for rule in table:
        sentences = _sentences(rule, findings, boxes)
        if sentences is not None:
            also = _further(rule, table, findings)
            return Triage(priority=rule.priority, reason=" ".join([*sentences, *also, *notes]))
    nothing = "No finding reaches its threshold, and no region that matters is marked."
    return Triage(priority=Priority.ROUTINE, reason=" ".join([nothing, *notes]))


def _further(
    applied: Rule, table: Sequence[Rule], findings: Sequence[FindingProbability]
) -> list[str]:
    """What else the classifier found that means the same priority."""
    others = [
        rule
        for rule in table
        if rule is not applied
        and rule.priority is applied.priority
        and rule.evidence in (Evidence.STRONG, Evidence.POSITIVE)
    ]
    return [sentence for rule in others for sentence in _sentences(rule, findings, ()) or []]


def _sentences(
    rule: Rule, findings: Sequence[FindingProbability], boxes: Sequence[Box]
) -> list[str] | None:
    """Sentences if the rule applies (none where a note says it all); None if it does not."""
    if rule.evidence is Evidence.UNREAD:
        return None if findings else []
    if rule.evidence is Evidence.BOX:
        marked = [box for box in boxes if box.finding in rule.names]
        return [_of_box(marked[0], findings)] if marked else None
    matching = [row for row in findings if row.finding in rule.names and _has(rule.evidence, row)]
    if not matching:
        return None
    # The one that is furthest beyond its own operating point speaks first.
    matching.sort(key=lambda row: row.probability - row.threshold, reverse=True)
    sentences = [_of_finding(rule.evidence, matching[0])]
    if len(matching) > 1:
        others = ", ".join(_shown(row.finding) for row in matching[1:])
        sentences.append(f"The same goes for {others}.")
    return sentences


def _has(evidence: Evidence, row: FindingProbability) -> bool:
    factor = STRONG_FACTOR if evidence is Evidence.STRONG else 1.0
    return row.positive and row.probability >= factor * row.threshold


def _of_finding(evidence: Evidence, row: FindingProbability) -> str:
    name, numbers = _shown(row.finding), f"{row.probability:.3f}"
    if evidence is Evidence.STRONG:
        return (
            f"{name} is strongly positive: its probability of {numbers} is at least "
            f"{STRONG_FACTOR:g} times the threshold of {row.threshold:.3f}."
        )
    return (
        f"{name} is positive: its probability of {numbers} reaches "
        f"the threshold of {row.threshold:.3f}."
    )


def _of_box(box: Box, findings: Sequence[FindingProbability]) -> str:
    kind = "score" if box.rescored_score is None else "rescored score"
    sentence = f"The detector marks {_shown(box.finding)} with a {kind} of {box.ranking_score:.2f}"
    same = finding_of_region(box.finding)
    for row in findings:
        if row.finding is same and not row.positive:
            return (
                f"{sentence}, though the classifier's probability of {row.probability:.3f} "
                f"is below the threshold of {row.threshold:.3f}."
            )
    return f"{sentence}."


def _shown(name: Finding | Region) -> str:
    return name.value.replace("_", " ")


def rules() -> list[TriageRule]:
    """The table as the API tells it, a line per finding."""
    return [
        TriageRule(priority=rule.priority, finding=finding, rule=text)
        for rule, names in _lines()
        for finding, text in names
    ]


def _lines() -> Iterator[tuple[Rule, list[tuple[Finding | None, str]]]]:
    for rule in (UNCONTRADICTED, *TABLE):
        if not rule.names:
            yield rule, [(None, "The classifier did not answer; nothing is ruled out.")]
            continue
        yield rule, [(_finding_of(name), _rule_text(rule, name)) for name in rule.names]


def _finding_of(name: Finding | Region) -> Finding | None:
    return name if isinstance(name, Finding) else finding_of_region(name)


def _rule_text(rule: Rule, name: Finding | Region) -> str:
    shown = _shown(name)
    if rule.evidence is Evidence.POSITIVE:
        return f"{shown}: the probability reaches its operating threshold."
    if rule.evidence is Evidence.STRONG:
        return (
            f"{shown}: the probability is {STRONG_FACTOR:g} times its operating threshold or more."
        )
    if rule is UNCONTRADICTED:
        return f"{shown}: the detector marks a region, and the classifier did not answer."
    return f"{shown}: the detector marks a region, whatever the classifier says."


_HEAD = """\
# How urgent a study is

Written by `python -m cxr_gateway.analysis.triage > docs/triage.md` from the table that the gateway uses;
do not edit it here. The rules are tried from the top; the first that applies decides, and the
study's `triage.reason` is its sentence, with the finding, its probability and its threshold.
Thresholds are the operating points in the models' manifests (`GET /api/v1/system` names them).
A region is marked where its rescored score reaches its threshold, or, in a study without `rescoring`,
the detector's own score its own.

| priority | when |
|---|---|
"""
_TAIL = f"""\
| {Priority.ROUTINE} | Nothing of the above. |

- A study that one reader could not read is `partial`. Without the classifier it is at least
  `{Priority.SOON}`; without the detector the classifier's findings decide. The reason says so.
- A study that neither reader could read is `failed` and has no priority. The list shows it behind
  the urgent ones and before all others: it may be urgent.
- A picture that is no frontal chest radiograph is `rejected`, has no priority and comes last.
- The list orders by priority, then newest first.

An operating threshold balances sensitivity and specificity finding by finding, so most healthy
films reach one of fourteen; that is why a priority above the ordinary asks for more. How often
each kind of film gets which priority is measured in [results/triage](results/triage/README.md).

The order helps people to choose what to read first. It replaces no reading.
"""


def markdown() -> str:
    """The table as `docs/triage.md`."""
    rows = [f"| {rule.priority} | {rule.rule} |" for rule in rules()]
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


if __name__ == "__main__":
    sys.stdout.write(markdown())
