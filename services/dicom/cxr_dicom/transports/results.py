"""Where the gateway's API has each DICOM object of a study."""

from cxr_dicom.ledger import Delivery
from cxr_dicom.peers import DicomDestination, DicomwebDestination, ResultObject

STUDIES = "/api/v1/studies"
# By the names that the ledger knows them under.
PATHS = {
    "sr-findings": "structured-report/findings.dcm",
    "sr-boxes": "structured-report/boxes.dcm",
    "presentation-state": "presentation-state.dcm",
    "secondary-capture": "secondary-capture.dcm",
    "heat-map": "heat-map.dcm",
    "pdf": "summary.dcm",
    "deidentified": "deidentified",
}
Request = tuple[str, dict[str, str], dict[str, str]]


def dicom_request(to: DicomDestination | DicomwebDestination, delivery: Delivery) -> Request:
    """Path, query and headers of a DICOM object as this destination wants it."""
    kind, query = delivery.object, dict[str, str]()
    if kind.startswith("sr-"):
        query["kind"] = to.sr
        # It refers to the heat map where that goes along.
        if kind == "sr-findings" and ResultObject.HEAT_MAP in to.objects:
            query["explained"] = "true"
    elif kind == "deidentified" and to.no_text_in_images:
        query["pixels_reviewed"] = "true"
    return f"{STUDIES}/{delivery.study_id}/{PATHS[kind]}", query, {}
