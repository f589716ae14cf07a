"""Our profiles of FHIR R4, in `docs/fhir`: every kind of study meets them, and they can fail."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cxr_contracts import Finding
from cxr_gateway.core.schemas import DicomMetadata
from cxr_gateway.exports import fhir
from cxr_gateway.exports.dicom.codes import FINDINGS, LOCAL, REGIONS, Coding
from support.archived_studies import ID, KINDS, study
from support.fhir_profiles import FILES, Profiles, Resource, elements, read_profiles, values

_SCHEMA = json.loads((Path(__file__).parent / "schemas/fhir-r4.schema.json").read_text())
_DEFINITIONS: dict[str, Any] = _SCHEMA["definitions"]
_BASE = "https://cxr.example.org/fhir/R4"
_DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in FILES}
PROFILES = read_profiles()
PATIENT = DicomMetadata.model_validate(
    dict.fromkeys(DicomMetadata.model_fields)
    | {"patient_id": "4711", "accession_number": "A1", "study_date": "2026-01-02"}
    | {"study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.3.4"}
)
_FORMS: tuple[fhir.Form, ...] = ("collection", "transaction")


def made(kind: str, patient: DicomMetadata) -> list[Resource]:
    """The report, and the bundle in both forms, as they are sent."""
    one = study(**KINDS[kind], patient=patient)
    sent = [fhir.report(one), *(fhir.bundle(one, _BASE, form=form) for form in _FORMS)]
    return [json.loads(json.dumps(resource)) for resource in sent]


def everything() -> list[Resource]:
    """Every resource of every kind of study."""
    roots = [one for kind in KINDS for one in made(kind, PATIENT)]
    return roots + [
        one
        for root in roots
        for one in (*root.get("contained", []), *(e["resource"] for e in root.get("entry", [])))
    ]


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_each_is_valid_by_the_schema(name: str) -> None:
    document = _DOCUMENTS[name]
    schema = {"$ref": f"#/definitions/{document['resourceType']}", "definitions": _DEFINITIONS}
    assert list(jsonschema.Draft6Validator(schema).iter_errors(document)) == []
    assert name == f"{document['resourceType']}-{document['id']}"


def test_every_element_is_one_of_the_standard_and_explained() -> None:
    def of_schema(definition: Any, names: list[str]) -> bool:
        definition = definition.get("items", definition)
        if "$ref" in definition:
            definition = _DEFINITIONS[definition["$ref"].rpartition("/")[2]]
        if "oneOf" in definition:
            return any(of_schema(one, names) for one in definition["oneOf"])
        if not names:
            return True
        name, *others = names
        stem = name.removesuffix("[x]")
        return any(
            of_schema(inner, others)
            for key, inner in definition.get("properties", {}).items()
            if key == name or (name != stem and key.startswith(stem) and key[len(stem)].isupper())
        )

    for profile in PROFILES.structures.values():
        for element in elements(profile):
            kind, *names = element["path"].split(".")
            assert kind == profile["type"]
            assert of_schema(_DEFINITIONS[kind], names), element["id"]
            assert element["short"].endswith("."), element["id"]


@pytest.mark.parametrize("patient", [study().patient, PATIENT], ids=["unknown", "known"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_study_meets_the_profiles(kind: str, patient: DicomMetadata) -> None:
    for root in made(kind, patient):
        assert PROFILES.violations(root) == []


def test_a_label_of_a_models_own_meets_them() -> None:
    [some, *_] = study().findings
    own = some.model_copy(update={"finding": Finding("Scoliosis")})
    assert PROFILES.violations(fhir.bundle(study(findings=[own]), _BASE)) == []


def test_what_must_be_supported_is_given() -> None:
    resources = everything()
    for url, profile in PROFILES.structures.items():
        claiming = [one for one in resources if url in one["meta"]["profile"]]
        if profile["kind"] == "complex-type":
            claiming = [one["imagingStudy"][0] for one in resources if "imagingStudy" in one]
        for element in elements(profile):
            if element.get("mustSupport"):
                assert any(values(profile, element["id"], one) for one in claiming), element["id"]


def test_r5_claims_no_profile_of_r4() -> None:
    assert "urn:cxr:profile" not in json.dumps(fhir.bundle(study(), _BASE, "5.0"))
    assert "urn:cxr:profile" not in json.dumps(fhir.report(study(), "5.0"))


def test_the_codes_are_those_of_the_models() -> None:
    def listed(table: dict[Any, Coding]) -> set[tuple[str, str]]:
        return {(one.value, one.meaning) for one in table.values() if one.scheme != LOCAL}

    def said(concepts: list[Resource]) -> set[tuple[str, str]]:
        return {(one["code"], one["display"]) for one in concepts}

    for name, table in (("finding", FINDINGS), ("region", REGIONS)):
        includes = _DOCUMENTS[f"ValueSet-{name}"]["compose"]["include"]
        concepts = [one for include in includes for one in include.get("concept", [])]
        assert said(concepts) == listed(table)
        assert {"system": "urn:cxr:coding"} in includes
    own = {one for one in (*FINDINGS.values(), *REGIONS.values()) if one.scheme == LOCAL}
    system = _DOCUMENTS["CodeSystem-coding"]
    assert said(system["concept"]) == {(one.value, one.meaning) for one in own}


# Which rule is broken, in which resource (or the bundle) and where, by which value; None removes.
# The first observation is of a finding, the last a box.
BROKEN: list[tuple[str, str, str, Any]] = [
    ("DiagnosticReport.meta.security", "DiagnosticReport", "meta security", None),
    ("DiagnosticReport.status", "DiagnosticReport", "status", "final"),
    ("DiagnosticReport.category", "DiagnosticReport", "category 0 coding 0 code", "LAB"),
    ("DiagnosticReport.performer", "DiagnosticReport", "performer", [{"display": "It"}]),
    ("DiagnosticReport.effective[x]", "DiagnosticReport", "effectivePeriod", {"start": "2026"}),
    (
        "DiagnosticReport.imagingStudy: Reference.identifier.system",
        *("DiagnosticReport", "imagingStudy 0 identifier system", None),
    ),
    (
        "DiagnosticReport.result",
        *("DiagnosticReport", "result 0 reference", f"Device/{ID}-classifier"),
    ),
    ("DiagnosticReport.result", "DiagnosticReport", "result 0 reference", "Observation/1"),
    ("Observation.status", "Observation", "status", "final"),
    ("Observation.code", "Observation", "code coding 0 code", "22298006"),
    ("Observation.interpretation", "Observation", "interpretation 0 coding 0 code", "H"),
    ("Observation.value[x].value", "Observation", "valueQuantity value", 1.2),
    ("Observation.component", "Observation", "component 0 code text", "Somewhere"),
    ("Observation.component:left", "last Observation", "component 0 code text", "Right edge"),
    (
        "Observation.component:top.value[x].value",
        *("last Observation", "component 1 valueQuantity value", -1),
    ),
    ("Bundle.entry:observation.resource.meta.security", "Observation", "meta security", None),
    ("Device.identifier.value", "Device", "identifier 0 value", None),
    ("Provenance.agent.type", "Provenance", "agent 0 type coding 0 code", "author"),
    ("Provenance.reason", "Provenance", "reason", None),
    ("Bundle.type", "Bundle", "type", "batch"),
    ("Bundle.entry:provenance", "Bundle", "entry -1", None),
    ("Bundle.entry", "Bundle", "entry -1 resource resourceType", "Patient"),
    ("Patient.meta.profile", "Bundle", "entry -1 resource resourceType", "Patient"),
    ("Bundle.entry:device.resource", "Device", "meta profile", ["urn:cxr:profile:finding"]),
    ("Device.meta.profile", "Device", "meta profile", ["urn:cxr:profile:finding"]),
]


@pytest.mark.parametrize(("rule", "kind", "place", "value"), BROKEN)
def test_a_broken_rule_is_found_with_its_path(
    rule: str, kind: str, place: str, value: object
) -> None:
    root = made("abnormal", PATIENT)[1]
    resources = [root, *(entry["resource"] for entry in root["entry"])]
    which, _, kind = kind.rpartition(" ")
    found = [one for one in resources if one["resourceType"] == kind]
    inside: Any = found[-1 if which else 0]
    *names, last = [int(name) if name.lstrip("-").isdigit() else name for name in place.split()]
    for name in names:
        inside = inside[name]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    said = PROFILES.violations(root)
    assert [text for text in said if text.startswith(f"{rule}: ")], said


def test_a_contained_observation_is_held_to_its_profile() -> None:
    [root, *_] = made("abnormal", PATIENT)
    root["contained"][0].pop("interpretation")
    assert PROFILES.violations(root) == ["Observation.interpretation: there are 0"]


UNKNOWN: list[Resource] = [
    {"constraint": [{"key": "cxr-1", "severity": "error", "human": "Something."}]},
    {"maxLength": 3},
    {"binding": {"strength": "extensible", "valueSet": "urn:cxr:value-set:finding"}},
    {"slicing": {"rules": "open", "discriminator": [{"type": "pattern", "path": "code"}]}},
    {"slicing": {"rules": "closed", "discriminator": [{"type": "exists", "path": "code"}]}},
    {"type": [{"code": "Reference", "aggregation": ["contained"]}]},
    {"type": [{"code": "string"}, {"code": "Quantity"}]},
    {"path": "Observation.other"},
]


@pytest.mark.parametrize("feature", UNKNOWN, ids=lambda feature: str(*feature))
def test_a_feature_that_is_not_interpreted_is_refused(feature: Resource) -> None:
    profile = deepcopy(_DOCUMENTS["StructureDefinition-finding"])
    elements(profile)[0].update(feature)
    with pytest.raises(ValueError, match="not interpreted"):
        Profiles([profile])


def test_a_value_set_that_is_not_interpreted_is_refused() -> None:
    values_ = deepcopy(_DOCUMENTS["ValueSet-finding"])
    values_["compose"]["include"][0]["filter"] = [{"property": "concept", "op": "is-a"}]
    with pytest.raises(ValueError, match="not interpreted"):
        Profiles([values_])
