"""QIDO-RS and WADO-RS (PS3.18, 10.4 and 10.6) of results: queries read, items and parts written."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, TypeVar

from fastapi import Request
from pydicom import dcmread
from pydicom.dataset import Dataset

from cxr_contracts import PROBLEM_MEDIA_TYPE
from cxr_gateway.archive import DicomQuery
from cxr_gateway.exports.dicom.catalogue import CatalogueEntry
from cxr_gateway.imaging.dicom.metadata import iso_date
from cxr_serving.errors import BadRequest, ServiceError
from cxr_serving.uploads import forbid_unknown_query

_T = TypeVar("_T")
_BOUNDARY = "cxr-gateway-results"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
_BULK = ("PixelData", "EncapsulatedDocument")
_MAX_ITEMS = 100
# Of a client that asks for what it gets anyway.
_IGNORED = ("includefield", "fuzzymatching")
# What is looked for, by keyword and by tag.
_MATCHED = {
    "StudyInstanceUID": "study_instance_uid", "0020000D": "study_instance_uid",
    "PatientID": "patient_id", "00100020": "patient_id",
    "AccessionNumber": "accession_number", "00080050": "accession_number",
    "StudyDate": "study_date", "00080020": "study_date",
}  # fmt: skip


_SAID = {
    "limit": "At most so many, of 100.",
    "offset": "After so many.",
    "includefield": "Taken and not needed: all is told.",
    "fuzzymatching": "Taken and not heeded: values are matched whole.",
}


def _parameters(*names: str) -> dict[str, Any]:
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": _SAID.get(
                    name, "Exactly this; `StudyDate` may be a range. Or by the tag, as 00100020."
                ),
                "schema": {"type": "string"},
            }
            for name in names
        ]
    }


PAGING = _parameters("limit", "offset", *_IGNORED)
# Tags are taken, too, and not documented: many a language has no name that begins with a digit.
QUERY = _parameters(
    *(name for name in _MATCHED if not name[0].isdigit()), "limit", "offset", *_IGNORED
)


class NotAcceptable(ServiceError):
    """The client takes no form in which this can be had."""

    status = 406
    type: ClassVar[str] = "urn:cxr:problem:not-acceptable"
    title: ClassVar[str] = "Not acceptable"


@dataclass(frozen=True)
class Page:
    """A part of what was found."""

    limit: int
    offset: int

    def of(self, found: list[_T]) -> list[_T]:
        """The part."""
        return found[self.offset : self.offset + self.limit]


def read_page(request: Request) -> Page:
    """`limit` and `offset`.

    Raises:
        Unprocessable: another parameter.
        BadRequest: no number, or a negative one.
    """
    forbid_unknown_query(request, "limit", "offset", *_IGNORED)
    return _page(request)


def read_query(request: Request) -> DicomQuery:
    """What is looked for.

    Raises:
        Unprocessable: by something that is not looked for.
        BadRequest: a value that is none of its kind.
    """
    forbid_unknown_query(request, *_MATCHED, "limit", "offset", *_IGNORED)
    values = {
        field: value
        for name, field in _MATCHED.items()
        # Universal matching is no condition (PS3.4, C.2.2.2.3).
        if (value := request.query_params.get(name, "").strip()) not in ("", "*")
    }
    if any(set("*?") & set(value) or not value.isprintable() for value in values.values()):
        raise BadRequest("Values are matched whole here: no wildcards, no control characters.")
    first, last = _dates(values.pop("study_date", None))
    page = _page(request)
    return DicomQuery(
        **values, first_date=first, last_date=last, limit=page.limit, offset=page.offset
    )


def _page(request: Request) -> Page:
    limit = _number(request.query_params.get("limit"), "limit")
    return Page(
        _MAX_ITEMS if limit is None else min(limit, _MAX_ITEMS),
        _number(request.query_params.get("offset"), "offset") or 0,
    )


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"`{name}` is no number.")
    return int(text)


def _dates(text: str | None) -> tuple[str | None, str | None]:
    """A date, or a range with a hyphen (PS3.4, C.2.2.2.5)."""
    if text is None:
        return None, None
    first, hyphen, last = text.partition("-")
    ends = [iso_date(end) for end in (first, last if hyphen else first)]
    if any(end is None and given for end, given in zip(ends, (first, last), strict=True)):
        raise BadRequest("`StudyDate` is no date, like 20260102, and no range of dates.")
    return ends[0], ends[1]


def study_item(header: Dataset, entries: list[CatalogueEntry], base: str) -> dict[str, Any]:
    """A study as QIDO-RS answers it (PS3.18, table 10.6.3-3); counts are of results alone."""
    item = Dataset()
    for keyword in (
        "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName",
        "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
    ):  # fmt: skip
        if header.get(keyword) not in (None, ""):
            setattr(item, keyword, header.get(keyword))
    if header.get("StudyDescription"):
        item.StudyDescription = header.StudyDescription
    item.ModalitiesInStudy = sorted({one.modality for one in entries})
    item.RetrieveURL = f"{base}/studies/{header.StudyInstanceUID}"
    item.NumberOfStudyRelatedSeries = len({one.series_instance_uid for one in entries})
    item.NumberOfStudyRelatedInstances = len(entries)
    return _json(item)


def series_items(
    study_uid: str, entries: Iterable[CatalogueEntry], base: str
) -> list[dict[str, Any]]:
    """The series of a study (PS3.18, table 10.6.3-4)."""
    by_series: dict[str, list[CatalogueEntry]] = {}
    for one in entries:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    items = []
    for uid, members in by_series.items():
        item = _series(study_uid, members[0])
        item.NumberOfSeriesRelatedInstances = len(members)
        item.RetrieveURL = f"{base}/studies/{study_uid}/series/{uid}"
        items.append(_json(item))
    return items


def instance_item(study_uid: str, entry: CatalogueEntry, base: str) -> dict[str, Any]:
    """An instance (PS3.18, table 10.6.3-5)."""
    item = _series(study_uid, entry)
    item.SOPClassUID = entry.sop_class_uid
    item.SOPInstanceUID = entry.sop_instance_uid
    item.InstanceNumber = entry.instance_number
    item.RetrieveURL = (
        f"{base}/studies/{study_uid}/series/{entry.series_instance_uid}"
        f"/instances/{entry.sop_instance_uid}"
    )
    return _json(item)


def _series(study_uid: str, entry: CatalogueEntry) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = study_uid
    item.SeriesInstanceUID = entry.series_instance_uid
    item.SeriesNumber = entry.series_number
    item.SeriesDescription = entry.series_description
    item.Modality = entry.modality
    return item


def wants_single(request: Request) -> bool:
    """Whether a client takes `application/dicom` alone, and does not name multipart."""
    accepted = request.headers.get("accept", "").lower()
    return "multipart/related" not in accepted and "application/dicom" in accepted


def check_accepts_multipart(request: Request) -> None:
    """Raise NotAcceptable unless the client takes parts of application/dicom.

    One that names the form of problems alone, as clients do that a generator made, says nothing of
    what it wants.
    """
    accepted = request.headers.get("accept", "*/*").lower().replace(" ", "")
    if accepted in ("", "*/*", PROBLEM_MEDIA_TYPE) or "*/*" in accepted.split(","):
        return
    if "multipart/related" in accepted and (
        "type=" not in accepted or "application/dicom" in accepted.replace("+json", "-json")
    ):
        return
    raise NotAcceptable('Results can be had as multipart/related; type="application/dicom".')


def multipart(objects: list[bytes]) -> bytes:
    """Objects as the parts of a `MULTIPART` body."""
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    parts = b"".join(head + one + b"\r\n" for one in objects)
    return parts + f"--{_BOUNDARY}--\r\n".encode()


def described(content: bytes) -> dict[str, Any]:
    """A data set without bulk data as DICOM JSON."""
    ds = dcmread(BytesIO(content))
    for keyword in _BULK:
        if keyword in ds:
            del ds[keyword]
    return _json(ds)


def _json(ds: Dataset) -> dict[str, Any]:
    made: dict[str, Any] = ds.to_json_dict()
    return made
