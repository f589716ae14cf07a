"""A study as FHIR R4 and R5: valid by the standard's own schema, and what it says.

`schemas/fhir-r4.schema.json` is the part of HL7's JSON schema of R4 (4.0.1, CC0) that is used.
"""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pydicom
import pytest
from fhir.resources import get_fhir_model_class
from pydantic import ValidationError

from cxr_contracts import Finding
from cxr_gateway.core.schemas import DicomMetadata, StudyStatus
from cxr_gateway.exports import fhir
from cxr_gateway.exports.dicom.results import Result, make_result
from cxr_gateway.imaging.decoders import InProcessDecoder
from cxr_serving.errors import NotFound
from support.archived_studies import ID, KINDS, original, stored, study

_SCHEMA = json.loads((Path(__file__).parent / "schemas/fhir-r4.schema.json").read_text())
_BASE = "https://cxr.example.org/fhir/R4"
PATIENT = DicomMetadata(
    patient_id="4711",
    issuer_of_patient_id=None,
    name="Zoë Müller",
    birth_date="1950-02-03",
    sex="F",
    accession_number="A1",
    study_date="2026-01-02",
    study_instance_uid="1.2.3",
    sop_instance_uid="1.2.3.4",
)


def errors(resource: dict[str, Any]) -> list[str]:
    """What the schema of the resource's own type finds wrong."""
    schema = {"$ref": f"#/definitions/{resource['resourceType']}", **_SCHEMA}
    del schema["oneOf"]
    validator = jsonschema.Draft6Validator(schema)
    return [
        f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(resource)
    ]


def r5_errors(resource: dict[str, Any]) -> list[str]:
    """What the models of `fhir.resources`, which are R5's, find wrong."""
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as error:
        return [str(one)[:200] for one in error.errors()]
    return []


def bundled(**changed: Any) -> dict[str, list[dict[str, Any]]]:
    """The bundle's resources by their type."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in fhir.bundle(study(**changed), _BASE)["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


@pytest.mark.parametrize("patient", [study().patient, PATIENT], ids=["unknown", "known"])
@pytest.mark.parametrize("kind", KINDS)
def test_report_and_bundle_are_valid_by_the_schema(kind: str, patient: DicomMetadata) -> None:
    made = study(**KINDS[kind], patient=patient)
    alone = json.loads(json.dumps(fhir.report(made)))
    assert errors(alone) == []
    assert [errors(one) for one in alone["contained"]] == [[]] * len(alone["contained"])
    bundle = json.loads(json.dumps(fhir.bundle(made, _BASE)))
    assert errors(bundle) == []
    for entry in bundle["entry"]:
        assert errors(entry["resource"]) == []


@pytest.mark.parametrize("patient", [study().patient, PATIENT], ids=["unknown", "known"])
@pytest.mark.parametrize("kind", KINDS)
def test_report_and_bundle_are_valid_as_r5(kind: str, patient: DicomMetadata) -> None:
    made = study(**KINDS[kind], patient=patient)
    forms: tuple[fhir.Form, ...] = ("collection", "transaction")
    for form in forms:
        bundle = json.loads(json.dumps(fhir.bundle(made, _BASE, "5.0", form)))
        assert r5_errors(bundle) == []
        for entry in bundle["entry"]:
            assert r5_errors(entry["resource"]) == [], entry["resource"]
    assert r5_errors(json.loads(json.dumps(fhir.report(made, "5.0")))) == []


def test_a_transaction_puts_each_resource_under_its_own_id() -> None:
    made = json.loads(json.dumps(fhir.bundle(study(), _BASE, form="transaction")))
    assert errors(made) == []
    for entry in made["entry"]:
        path = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        assert entry["request"] == {"method": "PUT", "url": path}
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", entry["resource"]["id"])


def test_in_r5_a_box_is_a_region_and_the_heat_map_an_explanation() -> None:
    made = fhir.bundle(study(patient=PATIENT), _BASE, "5.0")
    resources = [entry["resource"] for entry in made["entry"]]
    selections = [one for one in resources if one["resourceType"] == "ImagingSelection"]
    codes = [one["code"]["coding"][0]["code"] for one in selections]
    assert codes == ["111030", "111030", "130401"]
    [region] = selections[0]["instance"][0]["imageRegion2D"]
    assert region["regionType"] == "polyline"
    assert region["coordinate"] == [10, 20, 40.5, 20, 40.5, 50.25, 10, 50.25, 10, 20]
    assert selections[0]["instance"][0]["uid"] == PATIENT.sop_instance_uid
    derived = {
        one["id"]: [from_.get("reference") for from_ in one.get("derivedFrom", [])]
        for one in resources
        if one["resourceType"] == "Observation"
    }
    assert f"ImagingSelection/{ID}-region-1" in derived[f"{ID}-box-1"]
    assert f"ImagingSelection/{ID}-heat-map" in derived[f"{ID}-finding-mass"]
    image = make_result(stored(study()), original(), Result.HEAT_MAP, InProcessDecoder()).content
    heat_map = selections[2]["instance"][0]["uid"]
    assert heat_map == pydicom.dcmread(BytesIO(image)).SOPInstanceUID


def test_the_schema_would_find_an_error() -> None:
    assert errors({**fhir.report(study()), "status": "sure"})
    assert errors({**fhir.report(study()), "findings": []})
    assert r5_errors({**fhir.report(study(), "5.0"), "findings": []})


def test_every_reference_leads_to_a_resource() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["reference"]] if "reference" in value else []
            return own + [one for inner in value.values() for one in references(inner)]
        return (
            [one for inner in value for one in references(inner)] if isinstance(value, list) else []
        )

    alone = fhir.report(study())
    ids = {f"#{one['id']}" for one in alone["contained"]}
    assert references(alone)
    # `#` alone is the container: it has no other name there (ref-1).
    assert set(references(alone)) <= ids | {"#"}
    # What is contained is referred to, or refers to the container (dom-3).
    unnamed = [one for one in alone["contained"] if f"#{one['id']}" not in references(alone)]
    assert ["#" in references(one) for one in unnamed] == [True] * len(unnamed)
    bundle = fhir.bundle(study(), _BASE)
    there = {entry["fullUrl"].removeprefix(f"{_BASE}/") for entry in bundle["entry"]}
    assert len(there) == len(bundle["entry"])
    assert set(references(bundle)) <= there


def test_a_finding_has_its_probability_and_what_it_means() -> None:
    resources = bundled()
    findings = [one for one in resources["Observation"] if "finding" in one["id"]]
    assert len(findings) == len(Finding)
    said = {
        one["code"]["text"]: (
            one["valueQuantity"]["value"],
            one["interpretation"][0]["coding"][0]["code"],
        )
        for one in findings
    }
    assert said["Mass"] == (0.72, "POS")
    assert said["Pneumothorax"] == (0.05, "NEG")
    boxes = [one for one in resources["Observation"] if "box" in one["id"]]
    assert [c["valueQuantity"]["value"] for c in boxes[0]["component"]] == [10, 20, 40.5, 50.25]


def test_it_is_labelled_as_a_machines_and_never_final() -> None:
    resources = bundled()
    [report] = resources["DiagnosticReport"]
    assert report["status"] == "preliminary"
    for one in (report, *resources["Observation"]):
        assert one["meta"]["security"][0]["code"] == "AIAST"
    [provenance] = resources["Provenance"]
    assert len(provenance["target"]) == 1 + len(resources["Observation"])
    names = [one["deviceName"][0]["name"] for one in resources["Device"]]
    assert names == ["ood-cxr", "lite0-nih14", "fused-both"]
    assert bundled(**KINDS["partial"])["DiagnosticReport"][0]["status"] == "partial"


def test_patient_and_study_are_named_as_the_file_names_them() -> None:
    [report] = bundled(patient=PATIENT)["DiagnosticReport"]
    assert report["subject"]["identifier"]["value"] == "4711"
    assert report["basedOn"][0]["identifier"]["value"] == "A1"
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3"
    assert report["effectiveDateTime"] == "2026-01-02"


def test_a_rejected_study_says_why_and_a_failed_one_has_no_report() -> None:
    [report] = bundled(**KINDS["rejected"])["DiagnosticReport"]
    assert "The image is blank." in report["conclusion"]
    assert "result" not in report
    with pytest.raises(NotFound):
        fhir.report(study(status=StudyStatus.FAILED))
