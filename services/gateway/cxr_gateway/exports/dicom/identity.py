"""Who made a result, and when."""

from datetime import datetime
from typing import Any

from highdicom import ContributingEquipment
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from cxr_gateway.core.schemas import Study
from cxr_gateway.exports.dicom.codes import Coding
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.notice import NOTICE
from cxr_serving.product import MANUFACTURER, VERSION

MODEL_NAME = "Chest radiograph analysis"


def concept(coding: Coding) -> CodedConcept:
    """A code as highdicom writes it."""
    return CodedConcept(coding.value, coding.scheme, coding.meaning)


def equipment(study: Study) -> dict[str, Any]:
    """What every object says of the device that made it, as arguments of highdicom's classes."""
    made = made_at(study)
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": software_versions(study),
        "device_serial_number": VERSION,
        "content_date": made.date(),
        "content_time": made.time().replace(microsecond=0),
    }


def software_versions(study: Study) -> tuple[str, ...]:
    """This product's, then each model's, as LO takes them."""
    models = [f"{model.role} {model.name} {model.version}"[:64] for model in study.models]
    return (VERSION, *models)


def contributing(study: Study) -> list[ContributingEquipment]:
    """The models as contributing equipment, which says that the content is a machine's."""
    return [
        ContributingEquipment(
            MANUFACTURER,
            codes.DCM.ProcessingEquipment,
            manufacturer_model_name=model.name[:64],
            software_versions=model.version[:64],
            device_serial_number=model.sha256,
            contribution_description=f"{model.role}: {NOTICE}",
        )
        for model in study.models
    ]


def made_at(study: Study) -> datetime:
    """When the study was analysed, in the local time that DICOM's dates and times are in."""
    return study.received_at.astimezone()


def finish(ds: Any, study: Study, source: Source) -> None:
    """Set what the library fills with the present moment: the same result is the same file."""
    ds.PatientName = source.patient_name
    made = made_at(study)
    ds.InstanceCreationDate = made.strftime("%Y%m%d")
    ds.InstanceCreationTime = made.strftime("%H%M%S")
    for item in ds.get("ContributingEquipmentSequence", ()):
        # The library adds itself, too.
        item.ContributionDateTime = made.strftime("%Y%m%d%H%M%S")
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION


# Of the gateway as a writer of DICOM files; the node that sends them has its own.
IMPLEMENTATION_UID = "2.25.146952657281080463979415517805377606807"
IMPLEMENTATION_VERSION = "OPENCXR_0_1"
