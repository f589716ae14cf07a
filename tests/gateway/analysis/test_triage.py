"""Triage: the table, the sentences, and what is never done in silence."""

from pathlib import Path

import pytest

from cxr_contracts import Finding, FindingProbability, Region
from cxr_gateway.analysis import triage as table
from cxr_gateway.analysis.triage import STRONG_FACTOR, TABLE, triage
from cxr_gateway.core.schemas import Box, Priority

RANK = [Priority.URGENT, Priority.SOON, Priority.ROUTINE]


def findings(**given: float) -> list[FindingProbability]:
    return [
        FindingProbability(
            finding=finding,
            probability=(probability := given.get(finding.name.lower(), 0.01)),
            threshold=0.2,
            positive=probability >= 0.2,
        )
        for finding in Finding
    ]


def marked(region: Region, score: float = 0.6, rescored: float | None = None) -> Box:
    return Box(
        finding=region,
        score=score if rescored is None else rescored,
        detector_score=score,
        classifier_probability=None,
        x_min=0,
        y_min=0,
        x_max=1,
        y_max=1,
    )


@pytest.mark.parametrize(
    ("finding", "priority"),
    [
        (Finding.PNEUMOTHORAX, Priority.SOON),
        (Finding.EDEMA, Priority.SOON),
        (Finding.PNEUMONIA, Priority.ROUTINE),
        (Finding.HERNIA, Priority.ROUTINE),
        (Finding.CARDIOMEGALY, Priority.ROUTINE),
    ],
)
def test_a_positive_finding_has_the_priority_of_its_line(
    finding: Finding, priority: Priority
) -> None:
    result = triage(findings(**{finding.name.lower(): 0.2}), [], detector_answered=True)
    assert result.priority is priority
    name = finding.value.replace("_", " ")
    assert result.reason == (
        f"{name} is positive: its probability of 0.200 reaches the threshold of 0.200."
    )


@pytest.mark.parametrize(
    ("finding", "priority"),
    [
        (Finding.PNEUMOTHORAX, Priority.URGENT),
        (Finding.EDEMA, Priority.URGENT),
        (Finding.PNEUMONIA, Priority.SOON),
        (Finding.MASS, Priority.SOON),
        (Finding.EFFUSION, Priority.SOON),
    ],
)
def test_a_strongly_positive_finding_comes_earlier(finding: Finding, priority: Priority) -> None:
    strong = STRONG_FACTOR * 0.2
    result = triage(findings(**{finding.name.lower(): strong}), [], detector_answered=True)
    assert result.priority is priority
    assert f"is strongly positive: its probability of {strong:.3f} is at least" in result.reason
    weaker = triage(findings(**{finding.name.lower(): strong - 0.01}), [], detector_answered=True)
    assert RANK.index(weaker.priority) == RANK.index(priority) + 1


def test_every_finding_has_a_line_of_its_own_for_being_positive() -> None:
    named = [
        name for rule in TABLE if rule.evidence is table.Evidence.POSITIVE for name in rule.names
    ]
    assert sorted(named) == sorted(Finding)


def test_the_lines_are_ordered_by_urgency_so_none_lowers_another() -> None:
    ranks = [RANK.index(rule.priority) for rule in TABLE]
    assert ranks == sorted(ranks)


def test_the_finding_furthest_beyond_its_threshold_speaks_and_the_others_are_named() -> None:
    result = triage(findings(mass=0.6, pneumonia=0.9, nodule=0.7), [], detector_answered=True)
    assert result.reason.startswith("Pneumonia is strongly positive: its probability of 0.900")
    assert result.reason.endswith("The same goes for Nodule, Mass.")


def test_everything_found_of_the_deciding_priority_is_said() -> None:
    result = triage(findings(mass=0.9, pneumothorax=0.2), [], detector_answered=True)
    assert result.priority is Priority.SOON
    assert result.reason.startswith("Mass is strongly positive")
    assert result.reason.endswith("reaches the threshold of 0.200.")
    assert "Pneumothorax is positive" in result.reason


@pytest.mark.parametrize("region", [Region.FRACTURE, Region.PNEUMOTHORAX, Region.DIFFUSE_NODULE])
def test_a_box_that_the_classifier_does_not_confirm_is_soon(region: Region) -> None:
    result = triage(findings(), [marked(region)], detector_answered=True)
    assert result.priority is Priority.SOON
    assert f"The detector marks {region.value.replace('_', ' ')} with a score of 0.60" in (
        result.reason
    )


def test_a_box_against_the_classifier_says_what_the_classifier_thinks() -> None:
    result = triage(findings(mass=0.1), [marked(Region.MASS)], detector_answered=True)
    assert "though the classifier's probability of 0.100 is below the threshold of 0.200" in (
        result.reason
    )


def test_a_box_of_little_weight_leaves_the_study_routine() -> None:
    result = triage(findings(), [marked(Region.CALCIFICATION)], detector_answered=True)
    assert result.priority is Priority.ROUTINE


def test_without_the_classifier_a_study_is_at_least_soon_and_says_why() -> None:
    result = triage([], [], detector_answered=True)
    assert result.priority is Priority.SOON
    assert result.reason == "The classifier did not answer, so no finding is ruled out."


def test_without_the_classifier_a_marked_pneumothorax_is_urgent() -> None:
    result = triage([], [marked(Region.PNEUMOTHORAX)], detector_answered=True)
    assert result.priority is Priority.URGENT
    assert "The detector marks Pneumothorax" in result.reason
    assert "The classifier did not answer" in result.reason


def test_without_the_detector_the_reason_says_that_no_region_was_looked_for() -> None:
    result = triage(findings(), [], detector_answered=False)
    assert result.priority is Priority.ROUTINE
    assert result.reason.endswith("The detector did not answer, so no region was looked for.")


def test_the_written_table_is_the_one_that_is_used() -> None:
    written = Path(__file__).parents[3] / "docs/triage.md"
    assert written.read_text(encoding="utf-8") == table.markdown(), (
        "run python -m cxr_gateway.analysis.triage > docs/triage.md"
    )


def test_the_api_tells_every_line_of_the_table() -> None:
    told = [(rule.priority, rule.rule) for rule in table.rules()]
    assert len(told) == len(set(told)) == sum(max(1, len(rule.names)) for rule in TABLE) + 1


def test_a_rescored_box_speaks_with_its_score() -> None:
    result = triage(
        findings(nodule=0.1), [marked(Region.NODULE, 0.6, rescored=0.31)], detector_answered=True
    )
    assert result.reason.startswith("The detector marks Nodule with a score of 0.31, though")
