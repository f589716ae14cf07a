"""A study of models that were trained with labels of nobody else's."""

import json

from cxr_contracts import Finding, FindingProbability, Level, Region
from cxr_gateway.analysis.triage import triage
from cxr_gateway.core.schemas import Priority, Study
from cxr_gateway.exports.dicom.codes import LOCAL, finding_code, region_code
from cxr_gateway.exports.fhir import report
from cxr_gateway.rendering.colours import FINDING_COLOURS, colour_of, display_name
from support.archived_studies import box, study

CLIP = Finding("Metal_clip")


def rows(*findings: Finding) -> list[FindingProbability]:
    return [
        FindingProbability(
            finding=finding,
            probability=0.7,
            level=Level.LIKELY,
            possible_threshold=0.2,
            likely_threshold=0.6,
        )
        for finding in findings
    ]


def test_where_nothing_immediate_is_looked_for_nothing_is_ruled_out() -> None:
    found = triage(rows(CLIP), [], detector_answered=True)
    assert found.priority is Priority.SOON
    assert "does not look for Pneumothorax and Edema" in found.reason


def test_one_of_the_immediate_findings_decides_as_ever_and_the_other_is_named() -> None:
    found = triage(rows(CLIP, Finding.PNEUMOTHORAX), [], detector_answered=True)
    assert found.priority is Priority.URGENT
    assert found.reason.startswith("Pneumothorax is likely")
    assert "does not look for Edema" in found.reason


def test_a_label_without_a_public_code_has_one_of_our_scheme() -> None:
    code = finding_code(CLIP)
    assert (code.value, code.scheme, code.meaning) == ("own-Metal_clip", LOCAL, "Metal clip")
    assert region_code(Region("Metal_clip")) == code
    assert finding_code(Finding.EFFUSION).scheme == "SCT"


def test_a_study_with_own_labels_is_stored_and_read_again() -> None:
    made = study(
        findings=rows(CLIP), top_findings=rows(CLIP), boxes=[box(Region("Ring"), 0.5, 1, 2, 30, 40)]
    )
    again = Study.model_validate_json(made.model_dump_json())
    assert again == made
    assert json.loads(made.model_dump_json())["findings"][0]["finding"] == "Metal_clip"


def test_a_result_in_fhir_carries_it() -> None:
    made = study(findings=rows(CLIP), top_findings=rows(CLIP), boxes=[], heatmaps=[])
    assert '"own-Metal_clip"' in json.dumps(report(made))


def test_own_labels_have_a_colour_and_a_name() -> None:
    assert colour_of(Finding("Stent")) == "#ff99aa"  # as the page's test has it
    assert colour_of(CLIP) in FINDING_COLOURS.values()
    assert display_name(CLIP) == "Metal clip"
