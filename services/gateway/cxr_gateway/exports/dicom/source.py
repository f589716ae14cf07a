"""The radiograph that a result belongs to: whose it is, and of which study."""

import re
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from cxr_gateway.imaging import Limits
from cxr_gateway.imaging.dicom.display import Transformations, transformations
from cxr_gateway.imaging.dicom.file import read_whole_dicom
from cxr_gateway.imaging.dicom.metadata import iso_date
from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.decoding import decoding

# What was accepted once can be exported later, whatever the limits are by then.
_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40)

# Of the Patient, Study and Patient Study modules (PS3.3, C.7.1.1, C.7.2.1, C.7.2.2): what a result
# must share with its source to be filed beside it.
_TEXTS = (
    "PatientID", "IssuerOfPatientID", "PatientName", "StudyID", "AccessionNumber",
    "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
_EMPTY_IF_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
# How its pixels lie.
_DISPLAY = (
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing", "ImagerPixelSpacing",
    "PixelAspectRatio", "PatientOrientation",
)  # fmt: skip
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_SEXES = ("M", "F", "O")
# Older equipment writes components with leading zeros; the study is filed under them all the same.
_UID, _MOST_UID = re.compile(r"[0-9]+(\.[0-9]+)+"), 64
_MAX_TEXT = {"StudyDescription": 64}


@dataclass(frozen=True)
class Source:
    """A radiograph as results refer to it.

    Attributes:
        header: patient, study, series and instance, all that a result needs and nothing odd; text
            in Unicode, to be written in UTF-8.
        patient_name: as the source writes it; in `header` a name of one part has a `^` behind it,
            for the library warns of others, and quotes them.
        shown: how its values become greys, so that the image looks as it did.
    """

    header: Dataset
    patient_name: str
    shown: Transformations


def read_source(content: bytes) -> Source:
    """The source of results, from the archived original.

    Raises:
        Unprocessable: it does not say which study it is of, so nothing can be filed beside it.
    """
    with decoding("DICOM file"):
        original, _ = read_whole_dicom(content, _LIMITS)
        header = _header(original)
        name = str(header.PatientName)
        if name and "^" not in name:
            header.PatientName = f"{name}^"
        return Source(header, name, transformations(original))


def _header(ds: Dataset) -> Dataset:
    header = Dataset()
    for keyword in _UIDS:
        uid = UID(str(ds.get(keyword) or "").strip())
        if len(uid) > _MOST_UID or _UID.fullmatch(uid) is None:
            raise Unprocessable(
                f"The file has no usable {keyword}, so a result cannot be filed beside it."
            )
        setattr(header, keyword, uid)
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in _patient_and_study(ds).items():
        setattr(header, keyword, value)
    header.Modality = str(ds.get("Modality") or "OT")
    for keyword in _DISPLAY:
        if ds.get(keyword) not in (None, ""):
            setattr(header, keyword, ds.get(keyword))
    return header


def _patient_and_study(ds: Dataset) -> dict[str, Any]:
    """What is said of them, and nothing for what an archive asks for and the file does not say."""
    found: dict[str, Any] = dict.fromkeys(_EMPTY_IF_MISSING, "")
    found |= {keyword: value for keyword in _TEXTS if (value := _text(ds, keyword))}
    for keyword in ("PatientBirthDate", "StudyDate"):
        day = iso_date(str(ds.get(keyword) or "").strip())
        found[keyword] = (day or "").replace("-", "")
    time = str(ds.get("StudyTime") or "").strip()
    if _TIME.fullmatch(time):
        found["StudyTime"] = time
    sex = str(ds.get("PatientSex") or "").strip().upper()[:1]
    found["PatientSex"] = sex if sex in _SEXES else ""
    return found


def _text(ds: Dataset, keyword: str) -> str | PersonName:
    value = ds.get(keyword)
    if value is None:
        return ""
    if isinstance(value, PersonName):
        # Decoded here by the source's character set, so that it can be written in another.
        return _printable(str(value.decode()))
    text = value if isinstance(value, str) else "\\".join(map(str, value))
    text = _printable(text) if keyword in _MAX_TEXT else text
    return text[: _MAX_TEXT.get(keyword)].strip()


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)
