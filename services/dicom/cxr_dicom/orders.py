"""Orders (HL7 v2), and how a radiograph that lacks patient or accession gets them from its order.

A radiograph is matched by its accession number, by its DICOM study, or by its patient and time. One
order must be left, and nothing that both say may differ; else the radiograph stays as it is. What
was filled in is noted in the file itself, in its Original Attributes Sequence (PS3.3, C.12.1).
"""

import copy
import os
import re
import unicodedata
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hl7
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from cxr_dicom.headers import header_of, read_file, text_of
from cxr_dicom.transports.mllp import field
from cxr_serving.product import MANUFACTURER

_MOMENT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?")
_ENDED = frozenset({"CA", "DC", "OC", "OD"})
# Tables 0485 and 0027, as what results are called here.
_URGENCIES = {"S": "urgent", "A": "soon", "T": "soon", "P": "soon", "R": "routine"}
_WHEN = ("StudyDate", "StudyTime")
KINDS = frozenset({("ORM", "O01"), ("OMI", "O23")})


class NoOrder(ValueError):
    """A message from which no order can be read; a sentence."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an order says; an empty text is not said."""

    accession: str
    patient_id: str
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_uid: str = ""
    urgency: str = ""

    def content(self) -> dict[str, str]:
        """As it is stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OrderMessage:
    """Orders of one message: new or changed ones, and accessions of those that have ended."""

    placed: list[tuple[Order, float]]
    ended: list[str]


def read_orders(message: hl7.Message, received_at: float) -> OrderMessage:
    """The orders of an ORM^O01 or OMI^O23.

    Args:
        message: parsed.
        received_at: seconds since the epoch, for orders that name no time.

    Raises:
        NoOrder: the message has no patient, no order, or an order without an accession number.
    """
    if (field(message, "MSH", 9, 1), field(message, "MSH", 9, 2)) not in KINDS:
        raise NoOrder("Only ORM^O01 and OMI^O23 are taken.")
    patient_id = field(message, "PID", 3)
    if not patient_id:
        raise NoOrder("The message names no patient (PID-3).")
    patient = {
        "patient_id": patient_id,
        "issuer": field(message, "PID", 3, 4),
        "name": _name(message),
        "birth_date": field(message, "PID", 7)[:8],
        "sex": field(message, "PID", 8)[:1],
    }
    placed, ended = [], []
    for group in _groups(message):
        accession = (
            _of(group, "IPC", 1) or _of(group, "OBR", 18) or _of(group, "OBR", 3)
            or _of(group, "ORC", 3)
        )  # fmt: skip
        if not accession:
            raise NoOrder("An order has no accession number (IPC-1, OBR-18, OBR-3, ORC-3).")
        if _of(group, "ORC", 1).upper() in _ENDED:
            ended.append(accession)
            continue
        said = (
            _of(group, "TQ1", 9) or _of(group, "ORC", 7, 6) or _of(group, "OBR", 27, 6)
            or _of(group, "OBR", 5)
        )  # fmt: skip
        when = (
            _of(group, "TQ1", 7) or _of(group, "ORC", 7, 4) or _of(group, "OBR", 36)
            or _of(group, "OBR", 6)
        )  # fmt: skip
        order = Order(
            accession=accession,
            study_uid=_of(group, "IPC", 3) or field(message, "ZDS", 1),
            urgency=_URGENCIES.get(said[:1].upper(), ""),
            **patient,
        )
        placed.append((order, _moment(when) or received_at))
    if not placed and not ended:
        raise NoOrder("The message has no order (ORC).")
    return OrderMessage(placed, ended)


def _groups(message: hl7.Message) -> list[list[hl7.Segment]]:
    """The segments of each order, which begins with its ORC."""
    groups: list[list[hl7.Segment]] = []
    for segment in message:
        if str(segment[0]) == "ORC":
            groups.append([])
        if groups:
            groups[-1].append(segment)
    return groups


def _of(group: list[hl7.Segment], name: str, number: int, component: int = 1) -> str:
    for segment in group:
        if str(segment[0]) == name:
            try:
                found = segment.extract_field(1, number, 1, component, 1)
            except (KeyError, IndexError):
                return ""
            return str(found or "").strip()
    return ""


def _name(message: hl7.Message) -> str:
    """PID-5 (family, given, middle, suffix, prefix) in DICOM's order."""
    family, given, middle, suffix, prefix = (field(message, "PID", 5, part) for part in range(1, 6))
    return "^".join((family, given, middle, prefix, suffix)).rstrip("^")


def _moment(text: str) -> float | None:
    match = _MOMENT.match(text)
    if match is None:
        return None
    try:
        parts = [int(part or 0) for part in match.groups()]
        return datetime(*parts).timestamp()  # type: ignore[arg-type]
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a radiograph says of itself, by which its order is looked for."""

    accession: str
    patient_id: str
    study_uid: str
    taken_at: float | None


def asked(path: Path) -> Asked:
    """What a file says.

    Raises:
        OSError, Unreadable: it cannot be read.
    """
    header = header_of(path, "AccessionNumber", "PatientID", "StudyInstanceUID", *_WHEN)
    day = text_of(header, "StudyDate")
    return Asked(
        text_of(header, "AccessionNumber"),
        text_of(header, "PatientID"),
        text_of(header, "StudyInstanceUID"),
        _moment(day + (text_of(header, "StudyTime").partition(".")[0] if day else "")),
    )


def completed(path: Path, order: Order, made_at: datetime, most_bytes: int) -> bool:
    """Fill what a file lacks from its order, in place and synced; whether anything was lacking.

    Args:
        path: the file.
        order: its own; see `agrees`.
        made_at: what is noted as the time of the change.
        most_bytes: that a deflated file may inflate to.

    Raises:
        OSError, Unreadable: it cannot be read or written.
    """
    ds = read_file(path, most_bytes)
    wanted = _lacking(ds, order)
    if not wanted:
        return False
    before = Dataset()
    if not _is_ascii(wanted):
        # First of all: what is set before is taken for text of the file's own character set.
        ds.decode()
        ds.SpecificCharacterSet = before.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in wanted.items():
        if keyword in ds:
            before[keyword] = copy.deepcopy(ds[keyword])
        else:
            setattr(before, keyword, None)
        setattr(ds, keyword, value)
    item = Dataset()
    item.SourceOfPreviousValues = None
    item.AttributeModificationDateTime = made_at.strftime("%Y%m%d%H%M%S")
    item.ModifyingSystem = MANUFACTURER[:64]
    # COERCE: made to agree with what the order says.
    item.ReasonForTheAttributeModification = "COERCE"
    item.ModifiedAttributesSequence = Sequence([before])
    earlier = list(ds.get("OriginalAttributesSequence") or ())
    ds.OriginalAttributesSequence = Sequence([*earlier, item])
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        ds.save_as(file, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def agrees(path: Path, order: Order) -> bool:
    """Whether nothing that both say differs.

    Raises:
        OSError, Unreadable: it cannot be read.
    """
    header = header_of(path, "SpecificCharacterSet", *_said(order))
    return all(
        not text_of(header, keyword) or not value or _same(keyword, text_of(header, keyword), value)
        for keyword, value in _said(order).items()
    )


def _lacking(ds: Dataset, order: Order) -> dict[str, Any]:
    return {
        keyword: value
        for keyword, value in _said(order).items()
        if value and not text_of(ds, keyword)
    }


def _said(order: Order) -> dict[str, str]:
    return {
        "PatientID": order.patient_id,
        "IssuerOfPatientID": order.issuer,
        "PatientName": order.name,
        "PatientBirthDate": order.birth_date,
        "PatientSex": order.sex if order.sex in ("M", "F", "O") else "",
        "AccessionNumber": order.accession,
    }


def _same(keyword: str, first: str, second: str) -> bool:
    """Names whatever their letters' case, accents and punctuation; all else to the letter."""
    return _folded(first) == _folded(second) if keyword == "PatientName" else first == second


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.partition("=")[0]).casefold()
    return "".join(character for character in plain if character.isalnum())


def _is_ascii(values: dict[str, Any]) -> bool:
    return all(str(value).isascii() for value in values.values())


def window(hours: float) -> float:
    """Seconds around an order's time within which a radiograph of its patient may be its own."""
    return timedelta(hours=hours).total_seconds()
