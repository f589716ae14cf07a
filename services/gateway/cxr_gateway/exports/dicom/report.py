"""Structured reports (PS3.16, TID 1500): one of findings with probabilities, one of boxes.

Two instances, because viewers that draw boxes break where a group holds a number, or where a
report holds both boxes and groups without a place. docs/conformance.md says more.
"""

import copy
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr.templates import LanguageOfContentItemAndDescendants
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SecondaryCaptureImageStorage

from cxr_contracts import Finding, FindingProbability
from cxr_gateway.core.schemas import Box, Study, UsedModel
from cxr_gateway.exports.dicom import codes as ours
from cxr_gateway.exports.dicom.identity import (
    MODEL_NAME,
    concept,
    contributing,
    equipment,
    finish,
)
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.dicom.uids import SERIES_NUMBERS, uid_of
from cxr_gateway.exports.notice import NOTICE
from cxr_gateway.exports.stored_pixels import box_in_stored_pixels
from cxr_serving.product import MANUFACTURER, VERSION

_CLASSES = {"3d": Comprehensive3DSR, "2d": ComprehensiveSR}
_ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")
_NO_UNITS = Code("1", "UCUM", "no units")


def findings_report(
    study: Study, source: Source, kind: str, explained: Finding | None = None
) -> bytes:
    """All findings with probability and evidence; status and priority, or why there is none.

    Args:
        study: the archived result.
        source: its radiograph.
        kind: `3d` is Comprehensive 3D SR, `2d` Comprehensive SR.
        explained: the finding of the study's heat map, to be referenced as its explanation; None
            where the heat map does not go along.
    """
    groups = [_overview(study, source)]
    for finding in study.findings:
        group = _finding(study, source, finding)
        if finding.finding == explained:
            group[0].ContentSequence.append(_explanation(_heat_map(study, source)))
        groups.append(group)
    if explained is None:
        return _document(study, source, kind, "findings", groups)
    evidence = [_heat_map(study, source)]
    return _document(study, source, kind, "findings", groups, more_evidence=evidence)


def _heat_map(study: Study, source: Source) -> Dataset:
    """What a reference needs of the heat map's secondary capture."""
    header = copy.deepcopy(source.header)
    header.SOPClassUID = SecondaryCaptureImageStorage
    header.SOPInstanceUID = uid_of(study, "heat-map")
    header.SeriesInstanceUID = uid_of(study, "heat-map", "series")
    return header


def _explanation(heat_map: Dataset) -> ImageContentItem:
    return ImageContentItem(
        name=concept(ours.VISUAL_EXPLANATION),
        referenced_sop_class_uid=heat_map.SOPClassUID,
        referenced_sop_instance_uid=heat_map.SOPInstanceUID,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )


def boxes_report(study: Study, source: Source, kind: str) -> bytes:
    """The boxes, as planar regions of interest; the study has at least one.

    Args:
        study: the archived result.
        source: its radiograph.
        kind: as in `findings_report`.
    """
    groups = [_box(study, source, number, box) for number, box in enumerate(study.boxes, 1)]
    return _document(study, source, kind, "boxes", groups)


def _document(
    study: Study,
    source: Source,
    kind: str,
    part: str,
    groups: list[Any],
    *,
    more_evidence: Sequence[Dataset] = (),
) -> bytes:
    explained = ["explained"] if more_evidence else []
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(study)),
        procedure_reported=concept(ours.IMAGING_PROCEDURE),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(_ENGLISH),
        referenced_images=_library(source),
    )
    document = _CLASSES[kind](
        evidence=[source.header, *more_evidence],
        content=report[0],
        series_instance_uid=uid_of(study, "sr", "series"),
        series_number=SERIES_NUMBERS["sr"],
        sop_instance_uid=uid_of(study, "sr", part, kind, *explained),
        instance_number={"findings": 1, "boxes": 2}[part],
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="AI results, research use",
        contributing_equipment=contributing(study),
        coding_schemes=[_local_scheme()],
        **equipment(study),
    )
    finish(document, study, source)
    out = BytesIO()
    document.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _library(source: Source) -> list[Dataset] | None:
    """The image library (TID 1600), which is optional and wants to know how the image lies."""
    orientation, spacing = (
        source.header.get(name) or () for name in ("PatientOrientation", "ImagerPixelSpacing")
    )
    return [source.header] if len(orientation) == 2 and len(spacing) == 2 else None


def _local_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        ours.LOCAL, name=ours.LOCAL_NAME, responsible_organization=MANUFACTURER
    )


def _observer(study: Study) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_of(study, "device"),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
            serial_number=VERSION,
        ),
    )


def _overview(study: Study, source: Source) -> MeasurementsAndQualitativeEvaluations:
    """Status and priority of the whole image, and what a person should know beside them."""
    evaluations = [
        QualitativeEvaluation(concept(ours.STATUS), concept(ours.STATUSES[study.status.value]))
    ]
    if study.triage is not None:
        priority = ours.PRIORITIES[study.triage.priority.value]
        evaluations.append(QualitativeEvaluation(concept(ours.PRIORITY), concept(priority)))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, "study"),
        algorithm_id=_algorithm(study, "ood"),
        qualitative_evaluations=evaluations,
        source_images=_images(source),
    )
    _comment(group, " ".join(_remarks(study)))
    return group


def _remarks(study: Study) -> Iterator[str]:
    if study.triage is not None:
        yield study.triage.reason
    if study.ood.reason is not None:
        yield study.ood.reason
    yield from (problem.detail for problem in study.problems)
    yield NOTICE


def _finding(
    study: Study, source: Source, finding: FindingProbability
) -> MeasurementsAndQualitativeEvaluations:
    level = concept(ours.LEVELS[finding.level])
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, f"finding {finding.finding.value}"),
        finding_type=concept(ours.finding_code(finding.finding)),
        algorithm_id=_algorithm(study, "classifier"),
        measurements=[
            Measurement(concept(ours.PROBABILITY), round(finding.probability, 4), _NO_UNITS),
            Measurement(
                concept(ours.POSSIBLE_THRESHOLD), round(finding.possible_threshold, 4), _NO_UNITS
            ),
            Measurement(
                concept(ours.LIKELY_THRESHOLD), round(finding.likely_threshold, 4), _NO_UNITS
            ),
        ],
        qualitative_evaluations=[QualitativeEvaluation(concept(ours.EVIDENCE), level)],
        source_images=_images(source),
    )


def _box(
    study: Study, source: Source, number: int, box: Box
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    left, top, right, bottom = box_in_stored_pixels(box, study.image)
    outline = np.array(
        [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], dtype=np.float32
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, f"box {number}"),
        referenced_region=ImageRegion(
            GraphicTypeValues.POLYLINE,
            outline,
            SourceImageForRegion.from_source_image(source.header),
        ),
        finding_type=concept(ours.region_code(box.finding)),
        finding_sites=[FindingSite(concept(ours.CHEST))],
        algorithm_id=_algorithm(study, "detector"),
        geometric_purpose=concept(ours.BOUNDED_BY),
    )
    _comment(group, f"{ours.region_code(box.finding).meaning} {box.score:.2f}. {NOTICE}")
    return group


def _tracking(study: Study, what: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=uid_of(study, "tracking", what), identifier=what)


def _algorithm(study: Study, role: str) -> AlgorithmIdentification | None:
    model = next((one for one in study.models if one.role == role), None)
    return None if model is None else _identified(model)


def _identified(model: UsedModel) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[f"sha256={model.sha256}"],
        family=concept(ours.ARTIFICIAL_INTELLIGENCE),
        manufacturer=MANUFACTURER,
    )


def _images(source: Source) -> list[SourceImageForMeasurementGroup]:
    return [SourceImageForMeasurementGroup.from_source_image(source.header)]


def _comment(group: Any, text: str) -> None:
    """Add a comment to a group, which the library has no argument for."""
    item = TextContentItem(
        name=concept(ours.COMMENT), value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )
    group[0].ContentSequence.append(item)
