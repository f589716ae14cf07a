"""Who and when, as a DICOM file says it; text for display, never to be trusted as more."""

from datetime import date

from pydicom.dataset import Dataset

from cxr_gateway.core.schemas import DicomMetadata
from cxr_gateway.imaging.dicom.tags import (
    code_string,
    identifier,
    is_present,
    tag_name,
    whole_text,
)

# What tells patients and studies apart: whole, or not at all.
IDENTIFIERS = {
    "patient_id": "PatientID",
    "issuer_of_patient_id": "IssuerOfPatientID",
    "name": "PatientName",
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
    "sop_instance_uid": "SOPInstanceUID",
}


def metadata_of(ds: Dataset) -> tuple[DicomMetadata, list[str]]:
    """What is said of patient and study, and a note for each identifier that cannot be shown whole.

    A value is None where it is absent or not what its tag should hold.
    """
    found = {
        field: whole_text(ds, keyword) if field == "name" else identifier(ds, keyword)
        for field, keyword in IDENTIFIERS.items()
    }
    notes = [
        f"{tag_name(keyword)} cannot be shown whole and is left out."
        for field, keyword in IDENTIFIERS.items()
        if found[field] is None and is_present(ds, keyword)
    ]
    metadata = DicomMetadata(
        patient_id=found["patient_id"],
        issuer_of_patient_id=found["issuer_of_patient_id"],
        name=readable_name(found["name"]),
        birth_date=iso_date(whole_text(ds, "PatientBirthDate")),
        sex=code_string(ds, "PatientSex"),
        accession_number=found["accession_number"],
        study_date=iso_date(whole_text(ds, "StudyDate")),
        study_instance_uid=found["study_instance_uid"],
        sop_instance_uid=found["sop_instance_uid"],
    )
    return metadata, notes


def iso_date(value: str | None) -> str | None:
    """`20040826`, or the older `2004.08.26`, as `2004-08-26`; None if it is no date."""
    digits = (value or "").replace(".", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return None


def readable_name(value: str | None) -> str | None:
    """A person name (PS3.5, 6.2.1) as one reads it: `Prof. Jane Ann Doe, MD`.

    Component groups (alphabetic=ideographic=phonetic) that differ follow in brackets.
    """
    alphabetic, *others = (value or "").split("=")[:3]
    groups = [_spoken(alphabetic), *(_family_first(group) for group in others)]
    written = list(dict.fromkeys(group for group in groups if group))
    if not written:
        return None
    in_brackets = f" ({', '.join(written[1:])})" if written[1:] else ""
    return written[0] + in_brackets


def _spoken(group: str) -> str:
    """family^given^middle^prefix^suffix in the order of speech."""
    parts = [part.strip() for part in group.split("^")]
    family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
    spoken = " ".join(part for part in (prefix, given, middle, family) if part)
    return f"{spoken}, {suffix}" if suffix and spoken else spoken or suffix


def _family_first(group: str) -> str:
    """Ideographic and phonetic groups keep the order in which they are stored and read."""
    return " ".join(part for part in map(str.strip, group.split("^")) if part)
