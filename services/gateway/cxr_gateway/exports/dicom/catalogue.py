"""Which results there are of a study, and under which UIDs, without making them."""

from dataclasses import dataclass

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
)

from cxr_gateway.archive import StoredStudy
from cxr_gateway.exports.dicom.results import Result
from cxr_gateway.exports.dicom.uids import SERIES_NUMBERS, uid_of


@dataclass(frozen=True)
class CatalogueEntry:
    """A result that can be had; UIDs as in the object itself."""

    stored: StoredStudy
    result: Result
    sop_class_uid: UID
    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    series_description: str
    instance_number: int
    modality: str


def catalogue(stored: StoredStudy) -> list[CatalogueEntry]:
    """Every result of a study that came as DICOM and was analysed; reports as Comprehensive 3D SR.

    A presentation state is named of a colour image, too, of which none can be made.
    """
    study = stored.study

    def entry(
        result: Result, series: str, sop_class: UID, modality: str, described: str, *parts: str
    ) -> CatalogueEntry:
        return CatalogueEntry(
            stored=stored,
            result=result,
            sop_class_uid=sop_class,
            sop_instance_uid=uid_of(study, series, *parts),
            series_instance_uid=uid_of(study, series, "series"),
            series_number=SERIES_NUMBERS[series],
            series_description=described,
            instance_number=2 if result is Result.BOXES else 1,
            modality=modality,
        )

    report = ("sr", Comprehensive3DSRStorage, "SR", "AI results, research use")
    capture = SecondaryCaptureImageStorage
    entries = [entry(Result.FINDINGS, *report, "findings", "3d")]
    if study.boxes:
        entries.append(entry(Result.BOXES, *report, "boxes", "3d"))
    entries += [
        entry(
            Result.PRESENTATION_STATE,
            *("pr", GrayscaleSoftcopyPresentationStateStorage, "PR", "AI boxes, research use"),
        ),
        entry(Result.SECONDARY_CAPTURE, "sc", capture, "OT", "AI summary, research use"),
    ]
    if study.heatmaps:
        entries.append(
            entry(Result.HEAT_MAP, "heat-map", capture, "OT", "AI heat map, research use")
        )
    described = "AI summary as PDF, research use"
    entries.append(entry(Result.PDF, "pdf", EncapsulatedPDFStorage, "DOC", described))
    return entries
