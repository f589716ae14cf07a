"""A study as FHIR, R4 or R5: a diagnostic report, an observation for each finding and box, models.

Everything is labelled as asserted by artificial intelligence, and preliminary: a person has to say
more before it is final. What the file does not say of patient and study is left out. A model cannot
be the performer of an observation, so it is its device, and the agent of the provenance. R5 has
image selections, too: the region of each box, and the heat map as a visual explanation.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydicom.uid import SecondaryCaptureImageStorage

from cxr_contracts import Finding, FindingProbability, Level
from cxr_gateway.core.schemas import Box, Study, StudyStatus, UsedModel
from cxr_gateway.exports.dicom.codes import (
    IMAGE_REGION,
    LOCAL,
    VISUAL_EXPLANATION,
    Coding,
    finding_code,
    region_code,
)
from cxr_gateway.exports.dicom.uids import uid_of
from cxr_gateway.exports.notice import NOTICE
from cxr_gateway.exports.stored_pixels import box_in_stored_pixels
from cxr_serving.errors import NotFound
from cxr_serving.product import MANUFACTURER

Version = Literal["4.0", "5.0"]
Form = Literal["collection", "transaction"]
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
# How a coding scheme of DICOM is written in FHIR; ours is no registered one.
_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    LOCAL: "urn:cxr:coding",
}
_AI = {
    "system": f"{_TERMINOLOGY}/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
_INTERPRETATIONS = {
    Level.LIKELY: ("POS", "Positive"),
    Level.POSSIBLE: ("IND", "Indeterminate"),
    Level.UNLIKELY: ("NEG", "Negative"),
}
_SECONDARY_CAPTURE = str(SecondaryCaptureImageStorage)
# Of the profiles in `docs/fhir`, which say what an R4 resource holds.
_PROFILE = "urn:cxr:profile"
_DECIMALS = 4
Resource = dict[str, Any]
Refer = Callable[[Resource], Resource]


def media_type(version: Version) -> str:
    """How a resource of this version is labelled."""
    return f"application/fhir+json; fhirVersion={version}"


def report(study: Study, version: Version = "4.0") -> Resource:
    """The diagnostic report with everything that it refers to contained in it.

    Raises:
        NotFound: the study was not analysed yet.
    """

    def local(resource: Resource) -> Resource:
        # The container is no contained resource, and has no name within itself (ref-1).
        is_main = resource["resourceType"] == "DiagnosticReport"
        return {"reference": "#" if is_main else f"#{resource['id']}"}

    main, *others = _resources(study, local, version)
    contained = [_without_label(one) for one in others]
    return {**main, "contained": contained}


def bundle(
    study: Study, base_url: str, version: Version = "4.0", form: Form = "collection"
) -> Resource:
    """The same as resources of their own.

    Args:
        study: the archived result.
        base_url: of this FHIR server, without a slash at the end.
        version: of FHIR.
        form: a collection, or a transaction, which a FHIR server stores: each resource under its
            own id, so that the same result sent again is the same.

    Raises:
        NotFound: the study was not analysed yet.
    """

    def path(resource: Resource) -> str:
        return f"{resource['resourceType']}/{resource['id']}"

    def stored(resource: Resource) -> Resource:
        if form == "collection":
            return {}
        return {"request": {"method": "PUT", "url": path(resource)}}

    resources = _resources(study, lambda resource: {"reference": path(resource)}, version)
    made: Resource = {
        "resourceType": "Bundle",
        "id": study.id,
        "type": form,
        "timestamp": study.received_at.isoformat(),
        "entry": [
            {
                "fullUrl": f"{base_url}/{path(resource)}",
                "resource": resource,
                **stored(resource),
            }
            for resource in resources
        ],
    }
    if version == "4.0":
        _claim("bundle", made)
    return made


def _resources(study: Study, refer: Refer, version: Version) -> list[Resource]:
    """The report, its observations, the devices, in R5 what they lie on, the provenance."""
    if study.status in (StudyStatus.FAILED, StudyStatus.PENDING):
        raise NotFound("This study was not analysed yet, so there is no report of it.")
    devices = {model.role.value: _device(study, model) for model in study.models}
    findings = {one.finding: _finding(study, one, devices, refer) for one in study.findings}
    boxes = [_box(study, number, one, devices, refer) for number, one in enumerate(study.boxes, 1)]
    observations = [*findings.values(), *boxes]
    main = _report(study, observations, refer)
    selections: list[Resource] = []
    if version == "5.0":
        selections = _select(study, findings, boxes, refer)
    targets = [main, *observations, *selections]
    provenance = _provenance(study, targets, devices, refer)
    resources = [main, *observations, *devices.values(), *selections, provenance]
    if version == "5.0":
        _carry_to_r5(main, list(devices.values()), provenance)
        return resources
    _claim("diagnostic-report", main)
    _claim("finding", *findings.values())
    _claim("box", *boxes)
    _claim("device", *devices.values())
    _claim("provenance", provenance)
    return resources


def _claim(profile: str, *resources: Resource) -> None:
    """Say which profile they meet; the profiles are R4's."""
    for resource in resources:
        resource.setdefault("meta", {})["profile"] = [f"{_PROFILE}:{profile}"]


def _select(
    study: Study, findings: dict[Finding, Resource], boxes: list[Resource], refer: Refer
) -> list[Resource]:
    """Image selections, each beside the observation that is derived from it; needs a DICOM file."""
    image = study.patient.sop_instance_uid
    if not study.patient.study_instance_uid or not image:
        return []
    found = []
    for number, (box, observation) in enumerate(zip(study.boxes, boxes, strict=True), 1):
        left, top, right, bottom = box_in_stored_pixels(box, study.image)
        edge = [left, top, right, top, right, bottom, left, bottom, left, top]
        region = {"regionType": "polyline", "coordinate": [round(value, 2) for value in edge]}
        instance: Resource = {"uid": image, "imageRegion2D": [region]}
        made = _selection(study, f"region-{number}", IMAGE_REGION, instance)
        observation.setdefault("derivedFrom", []).append(refer(made))
        found.append(made)
    explained = next((findings[one] for one in study.heatmaps[:1] if one in findings), None)
    if explained is not None:
        instance = {
            "uid": uid_of(study, "heat-map"),
            "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{_SECONDARY_CAPTURE}"},
        }
        made = _selection(study, "heat-map", VISUAL_EXPLANATION, instance)
        made["seriesUid"] = uid_of(study, "heat-map", "series")
        explained.setdefault("derivedFrom", []).append(refer(made))
        found.append(made)
    return found


def _selection(study: Study, name: str, coding: Coding, instance: Resource) -> Resource:
    made: Resource = {
        "resourceType": "ImagingSelection",
        "id": f"{study.id}-{name}",
        "meta": {"security": [_AI]},
        "status": "available",
        "code": _concept(_SYSTEMS[coding.scheme], coding.value, coding.meaning),
        "issued": study.received_at.isoformat(),
        "studyUid": study.patient.study_instance_uid,
        "derivedFrom": _images(study),
        "instance": [instance],
    }
    if subject := _context(study).get("subject"):
        made["subject"] = subject
    return made


def _carry_to_r5(report: Resource, devices: list[Resource], provenance: Resource) -> None:
    """Call what R5 renamed by its new name."""
    if "imagingStudy" in report:
        report["study"] = report.pop("imagingStudy")
    for device in devices:
        names = device.pop("deviceName")
        device["name"] = [{"value": one["name"], "type": "registered-name"} for one in names]
        device["type"] = [device["type"]]
    reasons = provenance.pop("reason")
    provenance["authorization"] = [{"concept": reason} for reason in reasons]


def _report(study: Study, observations: list[Resource], refer: Refer) -> Resource:
    made: Resource = {
        "resourceType": "DiagnosticReport",
        "id": study.id,
        "meta": {"security": [_AI]},
        "identifier": [{"system": "urn:cxr:study", "value": study.id}],
        "status": "preliminary" if study.status is StudyStatus.COMPLETE else "partial",
        "category": [_concept(f"{_TERMINOLOGY}/v2-0074", "RAD", "Radiology")],
        "code": _concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        **_context(study),
        "issued": study.received_at.isoformat(),
        "conclusion": " ".join(_remarks(study)),
    }
    if study.patient.accession_number:
        accession = _concept(f"{_TERMINOLOGY}/v2-0203", "ACSN", "Accession ID")
        made["basedOn"] = [
            {"identifier": {"type": accession, "value": study.patient.accession_number}}
        ]
    if images := _images(study):
        made["imagingStudy"] = images
    if observations:
        made["result"] = [refer(one) for one in observations]
    return made


def _remarks(study: Study) -> Iterator[str]:
    if study.triage is not None:
        yield f"Priority {study.triage.priority.value}: {study.triage.reason}"
    if study.ood.reason is not None:
        yield f"Not analysed: {study.ood.reason}"
    yield from (problem.detail for problem in study.problems)
    yield NOTICE


def _finding(
    study: Study, finding: FindingProbability, devices: dict[str, Resource], refer: Refer
) -> Resource:
    code, display = _INTERPRETATIONS[finding.level]
    points = {"Possible": finding.possible_threshold, "Likely": finding.likely_threshold}
    return {
        **_observation(study, f"finding-{finding.finding.value}", finding_code(finding.finding)),
        "valueQuantity": _number(finding.probability),
        "interpretation": [_concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", code, display)],
        "method": {"text": "Calibrated probability of a classifier"},
        **({"device": refer(devices["classifier"])} if "classifier" in devices else {}),
        "component": [
            {"code": {"text": f"{name} from"}, "valueQuantity": _number(value)}
            for name, value in points.items()
        ],
    }


def _box(
    study: Study, number: int, box: Box, devices: dict[str, Resource], refer: Refer
) -> Resource:
    edges = {"Left": box.x_min, "Top": box.y_min, "Right": box.x_max, "Bottom": box.y_max}
    pixels = {"unit": "pixels", "system": "http://unitsofmeasure.org", "code": "{pixels}"}
    return {
        **_observation(study, f"box-{number}", region_code(box.finding)),
        "valueQuantity": _number(box.score),
        "method": {"text": "Box of a detector, in pixels of the image as it is displayed"},
        **({"device": refer(devices["detector"])} if "detector" in devices else {}),
        "component": [
            {
                "code": {"text": f"{name} edge"},
                "valueQuantity": {"value": round(value, 2), **pixels},
            }
            for name, value in edges.items()
        ],
    }


def _observation(study: Study, name: str, coding: Coding) -> Resource:
    category = _concept(f"{_TERMINOLOGY}/observation-category", "imaging", "Imaging")
    made: Resource = {
        "resourceType": "Observation",
        "id": f"{study.id}-{name.replace('_', '-').lower()}",
        "meta": {"security": [_AI]},
        "status": "preliminary",
        "category": [category],
        "code": _concept(_SYSTEMS[coding.scheme], coding.value, coding.meaning),
        **_context(study),
        "issued": study.received_at.isoformat(),
    }
    if images := _images(study):
        made["derivedFrom"] = images
    return made


def _device(study: Study, model: UsedModel) -> Resource:
    return {
        "resourceType": "Device",
        "id": f"{study.id}-{model.role}",
        "identifier": [{"system": "urn:cxr:model-sha256", "value": model.sha256}],
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "type": {"text": f"Artificial intelligence: {model.role}"},
        "version": [{"value": model.version}],
    }


def _provenance(
    study: Study, targets: list[Resource], devices: dict[str, Resource], refer: Refer
) -> Resource:
    assembler = _concept(f"{_TERMINOLOGY}/provenance-participant-type", "assembler", "Assembler")
    # What is refused by its tags may have been seen by no model.
    makers = [refer(one) for one in devices.values()] or [{"display": MANUFACTURER}]
    made: Resource = {
        "resourceType": "Provenance",
        "id": f"{study.id}-provenance",
        "target": [refer(one) for one in targets],
        "recorded": study.received_at.isoformat(),
        "reason": [{"coding": [_AI]}],
        "agent": [{"type": assembler, "who": one} for one in makers],
    }
    if images := _images(study):
        made["entity"] = [{"role": "source", "what": one} for one in images]
    return made


def _context(study: Study) -> Resource:
    """Whom and what day it is about, where the file says so."""
    found: Resource = {}
    if study.patient.patient_id:
        number = _concept(f"{_TERMINOLOGY}/v2-0203", "MR", "Medical record number")
        found["subject"] = {"identifier": {"type": number, "value": study.patient.patient_id}}
    if study.patient.study_date:
        found["effectiveDateTime"] = study.patient.study_date
    return found


def _images(study: Study) -> list[Resource]:
    uid = study.patient.study_instance_uid
    if not uid:
        return []
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
    return [{"type": "ImagingStudy", "identifier": identifier}]


def _concept(system: str, code: str, display: str) -> Resource:
    coding = {"system": system, "code": code, "display": display}
    return {"coding": [coding], "text": display}


def _number(value: float) -> Resource:
    number = round(value, _DECIMALS)
    return {"value": number, "unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}


def _without_label(resource: Resource) -> Resource:
    """A contained resource must not have a security label: its container's holds (dom-5)."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name != "security"}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return {**rest, **({"meta": meta} if meta else {})}
