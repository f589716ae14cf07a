"""The summary page as an encapsulated PDF, for systems that file documents."""

import io

from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from cxr_gateway.core.schemas import Study
from cxr_gateway.exports.dicom.identity import (
    MODEL_NAME,
    contributing,
    finish,
    made_at,
    software_versions,
)
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.dicom.uids import SERIES_NUMBERS, uid_of
from cxr_gateway.exports.notice import NOTICE
from cxr_serving.product import MANUFACTURER, VERSION

TITLE = "AI summary of a chest radiograph"
_PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def page_as_pdf(study: Study, page: bytes) -> bytes:
    """The overlay `page` (PNG) as a PDF of one page; the same page gives the same bytes."""
    made = made_at(study).timetuple()
    out = io.BytesIO()
    Image.open(io.BytesIO(page)).convert("RGB").save(
        out,
        "PDF",
        title=TITLE,
        producer=f"{MANUFACTURER} {VERSION}",
        creationDate=made,
        modDate=made,
        resolution=150,
    )
    return out.getvalue()


def encapsulated_pdf(study: Study, source: Source, pdf: bytes) -> bytes:
    """A PDF as an object of the source's study (PS3.3, A.45.1).

    Args:
        study: the archived result.
        source: its radiograph.
        pdf: a document that names nobody.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _PATIENT_AND_STUDY:
        if keyword in source.header:
            setattr(ds, keyword, source.header.get(keyword))
    made = made_at(study)
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.SOPInstanceUID = uid_of(study, "pdf")
    ds.SeriesInstanceUID = uid_of(study, "pdf", "series")
    ds.SeriesNumber = SERIES_NUMBERS["pdf"]
    ds.InstanceNumber = 1
    ds.Modality = "DOC"
    ds.SeriesDescription = "AI summary as PDF, research use"
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL_NAME
    ds.DeviceSerialNumber = VERSION
    ds.SoftwareVersions = list(software_versions(study))
    # WSD: made by a workstation.
    ds.ConversionType = "WSD"
    ds.ContentDate, ds.ContentTime = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
    ds.AcquisitionDateTime = made.strftime("%Y%m%d%H%M%S")
    ds.BurnedInAnnotation = "NO"
    ds.DocumentTitle = f"{TITLE}. {NOTICE}"
    ds.ConceptNameCodeSequence = Sequence()
    ds.SourceInstanceSequence = Sequence([_reference(source)])
    if study.models:
        ds.ContributingEquipmentSequence = Sequence(contributing(study))
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = pdf + bytes(len(pdf) % 2)
    ds.EncapsulatedDocumentLength = len(pdf)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    finish(ds, study, source)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _reference(source: Source) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    return item
