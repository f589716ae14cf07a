"""Triage: levels by one table, scores by a fitted model, the cause, and the sentence."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    Level,
    ModelIdentity,
    Region,
    level_of,
)
from cxr_gateway.analysis import triage as table
from cxr_gateway.analysis.merge import Prediction, predict
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY, triage
from cxr_gateway.analysis.triage_model import TriageInUse
from cxr_gateway.core.schemas import Box, Priority, Triage
from support.triage_models import a_score, in_use

RANK = [Priority.ROUTINE, Priority.SOON, Priority.URGENT]
POSSIBLE, LIKELY = 0.2, 0.6
MODEL = ModelIdentity(name="m", version="1", sha256="ab" * 32)
probabilities = st.floats(0, 1).map(lambda value: round(value, 6))
answers = st.fixed_dictionaries(dict.fromkeys(Finding, probabilities))
box_scores = st.dictionaries(st.sampled_from(Region), probabilities, max_size=4)


def rows(said: dict[Finding, float]) -> list[FindingProbability]:
    return [
        FindingProbability(
            finding=finding,
            probability=said.get(finding, 0.01),
            level=level_of(said.get(finding, 0.01), POSSIBLE, LIKELY),
            possible_threshold=POSSIBLE,
            likely_threshold=LIKELY,
        )
        for finding in Finding
    ]


def findings(**given: float) -> list[FindingProbability]:
    found = rows({Finding[name.upper()]: value for name, value in given.items()})
    return sorted(found, key=lambda row: -row.probability)


def marked(region: Region, score: float = 0.6, shown: float | None = None) -> Box:
    return Box(
        finding=region,
        score=score if shown is None else shown,
        detector_score=score,
        classifier_probability=None,
        x_min=0,
        y_min=0,
        x_max=1,
        y_max=1,
    )


def detected(scores: dict[Region, float], *, shown: bool = True) -> DetectResponse:
    boxes = [
        DetectedBox(
            finding=region, score=score, above_threshold=shown, x_min=0, y_min=0, x_max=9, y_max=9
        )
        for region, score in scores.items()
    ]
    return DetectResponse(model=MODEL, image=ImageSize(width=9, height=9), boxes=boxes)


def predicted(
    said: dict[Finding, float],
    boxes: dict[Region, float] | None = None,
    model: TriageInUse | None = None,
    **more: Any,
) -> Prediction:
    classified = ClassifyResponse(model=MODEL, findings=rows(said), cams=[])
    return predict(classified, detected(boxes or {}, **more), model)


def by_score(said: dict[Finding, float], boxes: dict[Region, float] | None = None) -> Triage:
    result = predicted(said, boxes, in_use()).triage
    assert result is not None
    return result


# --- by levels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("finding", Finding)
@pytest.mark.parametrize("level", Level)
def test_a_finding_of_a_level_has_the_priority_of_its_line(finding: Finding, level: Level) -> None:
    value = {Level.LIKELY: LIKELY, Level.POSSIBLE: POSSIBLE, Level.UNLIKELY: 0.199}[level]
    result = triage(findings(**{finding.name.lower(): value}), [], detector_answered=True)
    expected = Priority.ROUTINE
    if finding in IMMEDIATE and level is not Level.UNLIKELY:
        expected = Priority.URGENT if level is Level.LIKELY else Priority.SOON
    elif finding in SAME_DAY and level is Level.LIKELY:
        expected = Priority.SOON
    assert result.priority is expected
    if expected is Priority.ROUTINE:
        assert result.cause is None
    else:
        assert result.cause is not None
        assert (result.cause.finding, result.cause.value, result.cause.level) == (
            finding,
            value,
            level,
        )
        name = finding.value.replace("_", " ")
        assert result.reason == (
            f"{name} is {level}: its probability of {value:.3f} reaches {value:.3f}."
        )
    assert (result.score, result.urgent_threshold, result.model) == (None, None, None)


def test_of_several_the_strongest_of_the_first_line_that_applies_is_the_cause() -> None:
    result = triage(findings(mass=0.9, edema=0.7, pneumothorax=0.65), [], detector_answered=True)
    assert result.priority is Priority.URGENT
    assert result.cause is not None
    assert result.cause.finding is Finding.EDEMA


def test_likely_of_the_same_day_comes_before_possible_of_the_immediate() -> None:
    result = triage(findings(mass=0.7, pneumothorax=0.3), [], detector_answered=True)
    assert result.priority is Priority.SOON
    assert result.reason.startswith("Mass is likely")


def test_a_marked_region_is_soon_and_its_box_is_the_cause() -> None:
    boxes = [marked(Region.CALCIFICATION, 0.9), marked(Region.MASS, 0.5, shown=0.8)]
    result = triage(findings(mass=0.1), boxes, detector_answered=True)
    assert result.priority is Priority.SOON
    assert result.cause is not None
    assert (result.cause.region, result.cause.finding) == (Region.MASS, Finding.MASS)
    assert (result.cause.box, result.cause.value, result.cause.level) == (1, 0.5, Level.UNLIKELY)
    assert result.reason == (
        "The detector marks Mass with its own score of 0.500, though the classifier calls it "
        "unlikely: a probability of 0.100, below 0.200."
    )


def test_a_region_that_does_not_matter_is_routine() -> None:
    result = triage(findings(), [marked(Region.CALCIFICATION)], detector_answered=True)
    assert (result.priority, result.cause) == (Priority.ROUTINE, None)


def test_a_fracture_has_no_finding_and_a_diffuse_nodule_is_one() -> None:
    for region, finding in ((Region.FRACTURE, None), (Region.DIFFUSE_NODULE, Finding.NODULE)):
        result = triage(findings(), [marked(region)], detector_answered=True)
        assert result.cause is not None
        assert (result.cause.finding, result.cause.region) == (finding, region)


def test_without_the_classifier_nothing_is_ruled_out() -> None:
    result = triage([], [], detector_answered=True)
    assert (result.priority, result.cause) == (Priority.SOON, None)
    assert result.reason == "The classifier did not answer, so no finding is ruled out."


def test_without_the_classifier_a_pneumothorax_that_is_marked_is_urgent() -> None:
    result = triage([], [marked(Region.PNEUMOTHORAX)], detector_answered=True)
    assert result.priority is Priority.URGENT
    assert result.cause is not None
    assert (result.cause.region, result.cause.level) == (Region.PNEUMOTHORAX, None)
    assert "classifier did not answer" in result.reason


def test_without_the_detector_a_study_is_at_least_soon() -> None:
    result = triage(findings(), [], detector_answered=False)
    assert (result.priority, result.cause) == (Priority.SOON, None)
    assert result.reason == "The detector did not answer, so no region was looked for."
    urgent = triage(findings(edema=0.9), [], detector_answered=False)
    assert urgent.priority is Priority.URGENT
    assert urgent.reason.endswith("no region was looked for.")


def test_a_triage_model_does_not_decide_where_a_service_is_missing() -> None:
    classified = ClassifyResponse(model=MODEL, findings=rows({}), cams=[])
    model = in_use(urgent=0.0)
    without_detector = predict(classified, None, model)
    without_classifier = predict(None, detected({}), model)
    for result in (without_detector.triage, without_classifier.triage):
        assert result is not None
        assert (result.priority, result.score) == (Priority.SOON, None)


# --- by score ----------------------------------------------------------------------------------


def test_a_finding_that_makes_a_study_urgent_is_its_cause_and_stands_in_the_sentence() -> None:
    result = by_score({Finding.EDEMA: 0.9, Finding.PNEUMOTHORAX: 0.3, Finding.MASS: 0.95})
    assert result.priority is Priority.URGENT
    # 1 - (1 - 0.9) (1 - 0.3) (1 - 0.05): the region without a box counts for a faint one.
    assert result.score == pytest.approx(1 - 0.1 * 0.7 * 0.95)
    assert result.cause is not None
    assert (result.cause.finding, result.cause.region) == (Finding.EDEMA, None)
    assert (result.cause.value, result.cause.usual, result.cause.level) == (0.9, 0.05, "likely")
    assert result.reason == (
        "Edema has a probability of 0.900, where 0.050 is usual. The probability of an immediate "
        "finding is 0.933; from 0.900 on a study is urgent."
    )


def test_the_other_score_decides_on_soon_and_names_another_cause() -> None:
    result = by_score({Finding.MASS: 0.7, Finding.EDEMA: 0.1})
    assert result.priority is Priority.SOON
    assert result.cause is not None
    assert result.cause.finding is Finding.MASS
    assert "to be read the same day is 0.7" in result.reason


def test_routine_has_scores_and_no_cause() -> None:
    result = by_score({})
    assert (result.priority, result.cause) == (Priority.ROUTINE, None)
    assert result.score is not None
    assert result.reason.startswith("The probability of an immediate finding is 0.0")


def test_a_box_that_decides_is_in_the_study_even_if_it_is_below_its_threshold() -> None:
    prediction = predicted({}, {Region.PNEUMOTHORAX: 0.95}, in_use(), shown=False)
    assert prediction.triage is not None
    cause = prediction.triage.cause
    assert cause is not None
    assert (cause.region, cause.finding, cause.box) == (
        Region.PNEUMOTHORAX,
        Finding.PNEUMOTHORAX,
        0,
    )
    assert [box.detector_score for box in prediction.boxes] == [0.95]
    assert prediction.triage.reason.startswith(
        "The detector marks Pneumothorax with its own score of 0.950, where 0.050 is usual."
    )
    # Where it decides on nothing it is not shown.
    assert predicted({}, {Region.FRACTURE: 0.95}, in_use(), shown=False).boxes == []


def test_numbers_that_differ_are_written_so_that_they_differ() -> None:
    model = in_use(urgent=0.9009, soon=0.95)
    prediction = predicted({Finding.EDEMA: 0.8946}, None, model)
    assert prediction.triage is not None
    assert prediction.triage.priority is Priority.ROUTINE
    assert "is 0.90087 (urgent from 0.90090)" in prediction.triage.reason


def test_a_region_nobody_marked_is_no_cause() -> None:
    model = in_use(urgent=0.0, immediate=a_score((Finding.EDEMA,), Region.PNEUMOTHORAX))
    prediction = predicted({Finding.EDEMA: 0.0}, {Region.PNEUMOTHORAX: 0.01}, model)
    assert prediction.triage is not None
    assert prediction.triage.cause is not None
    assert prediction.triage.cause.finding is Finding.EDEMA


# --- whatever is answered ----------------------------------------------------------------------


@given(probabilities, probabilities, probabilities)
def test_levels_rise_with_the_probability(low: float, high: float, threshold: float) -> None:
    order = [Level.UNLIKELY, Level.POSSIBLE, Level.LIKELY]
    points = threshold, min(1.0, 2 * threshold)
    found = [order.index(level_of(value, *points)) for value in sorted((low, high))]
    assert found == sorted(found)


@pytest.mark.parametrize("model", [None, in_use(0.5, 0.6)], ids=["levels", "score"])
@given(said=answers, boxes=box_scores, finding=st.sampled_from(Finding), more=probabilities)
def test_no_higher_probability_lowers_a_priority(
    model: TriageInUse | None,
    said: dict[Finding, float],
    boxes: dict[Region, float],
    finding: Finding,
    more: float,
) -> None:
    before = predicted(said, boxes, model).triage
    after = predicted(said | {finding: max(said[finding], more)}, boxes, model).triage
    assert before is not None
    assert after is not None
    assert RANK.index(after.priority) >= RANK.index(before.priority)


@given(said=answers, boxes=box_scores, shown=st.booleans(), with_model=st.booleans())
def test_the_cause_is_an_answer_of_the_study_and_the_sentence_has_its_numbers(
    said: dict[Finding, float], boxes: dict[Region, float], shown: bool, with_model: bool
) -> None:
    prediction = predicted(said, boxes, in_use(0.5, 0.6) if with_model else None, shown=shown)
    result = prediction.triage
    assert result is not None
    cause = result.cause
    assert (cause is None) == (result.priority is Priority.ROUTINE)
    if cause is None:
        return
    if cause.region is None:
        assert cause.box is None
        [row] = [row for row in prediction.findings if row.finding is cause.finding]
        assert (cause.value, cause.level) == (row.probability, row.level)
    else:
        assert cause.box is not None
        box = prediction.boxes[cause.box]
        assert (box.finding, box.detector_score) == (cause.region, cause.value)
    numbers = [float(text) for text in re.findall(r"\d\.\d+", result.reason)]
    facts = [cause.value, cause.usual, result.score, result.same_day_score]
    facts += [result.urgent_threshold, result.soon_threshold, POSSIBLE, LIKELY]
    facts += [row.probability for row in prediction.findings]
    known = [fact for fact in facts if fact is not None]
    assert numbers
    assert all(min(abs(number - fact) for fact in known) <= 5e-4 for number in numbers)
    assert min(abs(number - cause.value) for number in numbers) <= 5e-4


@given(said=answers, boxes=box_scores)
def test_findings_are_ordered_by_level_then_probability(
    said: dict[Finding, float], boxes: dict[Region, float]
) -> None:
    found = predicted(said, boxes).findings
    order = [Level.LIKELY, Level.POSSIBLE, Level.UNLIKELY]
    keys = [(order.index(row.level), -row.probability) for row in found]
    assert keys == sorted(keys)


# --- the table ---------------------------------------------------------------------------------


def test_the_document_is_the_code_written_down() -> None:
    page = Path(__file__).parents[3] / "docs/triage.md"
    assert page.read_text() == table.markdown(), "run: make generate"


def test_the_api_tells_the_same_lines_as_the_document() -> None:
    text = table.markdown()
    assert all(f"| {rule.priority} | {rule.rule} |" in text for rule in table.rules())
