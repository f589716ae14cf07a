"""A study's result as an HL7 v2 message: ORU^R01 of version 2.5.1, preliminary (OBX-11, OBR-25: P).

One observation for each finding (its probability), one for each box, one for priority and remarks;
codes as in the structured reports.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_contracts import Level
from cxr_gateway.core.schemas import Study
from cxr_gateway.exports.dicom.codes import (
    PRIORITY,
    STATUS,
    STATUSES,
    STUDY_UID,
    Coding,
    finding_code,
    region_code,
)
from cxr_gateway.exports.dicom.source import Source
from cxr_gateway.exports.notice import NOTICE
from cxr_gateway.exports.stored_pixels import box_in_stored_pixels

MEDIA_TYPE = "application/hl7-v2"
_APPLICATION = "CXR"
# Of table 0078.
_FLAGS = {Level.LIKELY: "A", Level.POSSIBLE: "IND", Level.UNLIKELY: "N"}
# Of table 0485.
_PRIORITIES = {"urgent": "S", "soon": "A", "routine": "R"}
_ESCAPES = str.maketrans(
    {
        "\\": "\\E\\",
        "|": "\\F\\",
        "^": "\\S\\",
        "&": "\\T\\",
        "~": "\\R\\",
        "\r": " ",
        "\n": " ",
    }
)


@dataclass(frozen=True)
class Receiver:
    """Whom a message is for; both may be empty."""

    application: str = ""
    facility: str = ""


def oru(study: Study, source: Source, receiver: Receiver) -> str:
    """The message, its segments ended by carriage returns; the same result, the same message.

    Args:
        study: the archived result.
        source: its radiograph, which says whose it is.
        receiver: MSH-5 and MSH-6.
    """
    segments = [_header(study, receiver), _patient(source), *_request(study, source)]
    observations = list(_observations(study))
    segments += [["OBX", str(number), *rest] for number, rest in enumerate(observations, 1)]
    return "".join("|".join(segment).rstrip("|") + "\r" for segment in segments)


def _header(study: Study, receiver: Receiver) -> list[str]:
    said = f"{study.id} {study.received_at.isoformat()} {study.status.value}"
    control = hashlib.sha256(said.encode()).hexdigest()[:20].upper()
    to = [_text(receiver.application), _text(receiver.facility)]
    kind = "ORU^R01^ORU_R01"
    return [
        *("MSH", r"^~\&", _APPLICATION, "", *to, _moment(study), "", kind, control, "P", "2.5.1"),
        *("", "", "", "", "", "UNICODE UTF-8"),
    ]


def _patient(source: Source) -> list[str]:
    header = source.header
    number = [_text(str(header.get("PatientID") or "")), "", ""]
    number += [_text(str(header.get("IssuerOfPatientID") or "")), "MR"]
    return [
        *("PID", "1", "", "^".join(number) if number[0] else "", "", _name(source.patient_name)),
        *("", str(header.PatientBirthDate or ""), str(header.PatientSex or "")),
    ]


def _name(value: str) -> str:
    """A DICOM name (family, given, middle, prefix, suffix) as HL7 orders it; alphabetic only."""
    parts = (value.partition("=")[0].split("^") + [""] * 5)[:5]
    family, given, middle, prefix, suffix = map(_text, parts)
    return "^".join((family, given, middle, suffix, prefix)).rstrip("^")


def _request(study: Study, source: Source) -> Iterator[list[str]]:
    header = source.header
    accession = _text(str(header.get("AccessionNumber") or ""))
    day, time = str(header.StudyDate or ""), str(header.StudyTime or "").partition(".")[0]
    request = [""] * 28
    request[0], request[1] = "OBR", "1"
    request[3] = accession or study.id
    request[4] = "18748-4^Diagnostic imaging study^LN"
    request[7] = day + (time if day else "")
    request[18] = accession
    request[22] = _moment(study)
    request[24] = "RAD"
    request[25] = "P"
    yield request
    if study.triage is not None:
        yield ["TQ1", "1", *[""] * 7, _PRIORITIES[study.triage.priority.value]]


def _observations(study: Study) -> Iterator[list[str]]:
    """Fields 2 and following of each OBX."""
    if study.patient.study_instance_uid:
        yield _observation(study, "ST", STUDY_UID, _text(study.patient.study_instance_uid))
    yield _observation(study, "CWE", STATUS, _coded(STATUSES[study.status.value]))
    remarks = [problem.detail for problem in study.problems]
    if study.ood.reason is not None:
        remarks.append(study.ood.reason)
    if study.triage is not None:
        remarks.insert(0, f"{study.triage.priority.value.upper()}: {study.triage.reason}")
    yield _observation(study, "TX", PRIORITY, _text(" ".join([*remarks, NOTICE])))
    models = {model.role.value: _text(f"{model.name} {model.version}") for model in study.models}
    for finding in study.findings:
        yield _observation(
            study,
            "NM",
            finding_code(finding.finding),
            f"{finding.probability:.4f}",
            units="1",
            usual=f"<{finding.possible_threshold:.4f}",
            flag=_FLAGS[finding.level],
            device=models.get("classifier", ""),
        )
    for number, box in enumerate(study.boxes, 1):
        corners = ", ".join(f"{value:.0f}" for value in box_in_stored_pixels(box, study.image))
        text = f"{region_code(box.finding).meaning} {box.score:.2f}, box {corners} (pixels)"
        device = models.get("detector", "")
        coding = region_code(box.finding)
        yield _observation(study, "ST", coding, _text(text), part=str(number), device=device)


def _observation(
    study: Study,
    kind: str,
    coding: Coding,
    value: str,
    *,
    part: str = "",
    units: str = "",
    usual: str = "",
    flag: str = "",
    device: str = "",
) -> list[str]:
    return [
        *(kind, _coded(coding), part, value, units, usual, flag, "", "", "P", "", ""),
        *(_moment(study), "", "", "", device),
    ]


def _coded(coding: Coding) -> str:
    return f"{_text(coding.value)}^{_text(coding.meaning)}^{coding.scheme}"


def _moment(study: Study) -> str:
    return study.received_at.astimezone().strftime("%Y%m%d%H%M%S%z")


def _text(value: str) -> str:
    """Text with what delimits fields escaped (HL7 v2.5.1, 2.7)."""
    return value.translate(_ESCAPES)
