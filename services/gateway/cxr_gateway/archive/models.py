"""What the archive hands out and takes in, and how it names a study's files."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from cxr_contracts import CamGrid, Finding, Level
from cxr_gateway.core.schemas import ImageSource, Priority, Study, StudyStatus, WorklistState
from cxr_serving.errors import BadRequest

_CAMS = TypeAdapter(list[CamGrid])
_EXTENSIONS = {ImageSource.PNG: "png", ImageSource.JPEG: "jpg", ImageSource.DICOM: "dcm"}
_MEDIA_TYPES = {
    ImageSource.PNG: "image/png",
    ImageSource.JPEG: "image/jpeg",
    ImageSource.DICOM: "application/dicom",
}
IMAGE_NAME = "image.png"
# The greys of the file itself, and what they are.
PIXELS_NAME, GREYS_NAME = "pixels.png", "greys.json"
_CURSOR = re.compile(r"([0-9]{1,13})_([wr])_([0-9])_(-?[01]\.[0-9]{6})_([0-9a-z]{26})", re.ASCII)


def original_name(source: ImageSource) -> str:
    """The uploaded file's name in the archive."""
    return f"original.{_EXTENSIONS[source]}"


def owned_by(source: ImageSource, revision: int) -> Callable[[str], bool]:
    """Whether a file of a name belongs to a study whose latest analysis is `revision`."""
    pattern = re.compile(rf"(overlay-{revision}|heatmap-{revision}-[\w-]+)\.png")
    always = (original_name(source), IMAGE_NAME, PIXELS_NAME, GREYS_NAME)
    return lambda name: name in always or pattern.fullmatch(name) is not None


# What is done is so much further down the list.
DONE_AFTER = 5


def urgency(status: StudyStatus, priority: Priority | None) -> int:
    """The rank in the list, 0 first; `DONE_AFTER` more for what is done.

    A study that nobody has read may be urgent, so it stands before what is known to be less.
    """
    if priority is not None:
        return {Priority.URGENT: 0, Priority.SOON: 2, Priority.ROUTINE: 3}[priority]
    return 1 if status in (StudyStatus.FAILED, StudyStatus.PENDING) else 4


@dataclass(frozen=True)
class StoredStudy:
    """A row: the result as it was written, and what is needed to draw its images.

    `result_json` lacks the issuer of the patient's ID, which has its own column: the release
    before reads the same rows, and refuses a result with a field that it does not know.
    `revision` counts analyses from 1; images made from one carry it in their name.
    `department` is that of whoever uploaded it; None is none.
    """

    id: str
    content_sha256: str
    status: StudyStatus
    source: ImageSource
    revision: int
    result_json: str
    cams_json: str
    department: str | None
    issuer_of_patient_id: str | None = None

    @classmethod
    def of(cls, study: Study, cams: list[CamGrid], revision: int, department: str | None) -> Self:
        """What is to be written for an analysis."""
        return cls(
            id=study.id,
            content_sha256=study.content_sha256,
            status=study.status,
            source=study.image.source,
            revision=revision,
            result_json=study.model_dump_json(exclude={"patient": {"issuer_of_patient_id"}}),
            cams_json=_CAMS.dump_json(cams).decode(),
            department=department,
            issuer_of_patient_id=study.patient.issuer_of_patient_id,
        )

    @cached_property
    def study(self) -> Study:
        """The result."""
        study = Study.model_validate_json(self.result_json)
        issuer = {"issuer_of_patient_id": self.issuer_of_patient_id}
        return study.model_copy(update={"patient": study.patient.model_copy(update=issuer)})

    @property
    def told_json(self) -> str:
        """The result as the API tells it."""
        return self.study.model_dump_json()

    @cached_property
    def cams(self) -> list[CamGrid]:
        """The classifier's maps, most probable finding first."""
        return _CAMS.validate_json(self.cams_json)

    @property
    def original(self) -> str:
        """The uploaded file's name in the archive."""
        return original_name(self.source)

    @property
    def original_media_type(self) -> str:
        """What the uploaded file is."""
        return _MEDIA_TYPES[self.source]

    @property
    def download_name(self) -> str:
        """How the uploaded file is called when it is handed out: never as the client called it."""
        return f"{self.id}.{_EXTENSIONS[self.source]}"

    @property
    def overlay(self) -> str:
        """The name of this analysis' burnt-in overlay."""
        return f"overlay-{self.revision}.png"

    def heatmap(self, finding: Finding) -> str:
        """The name of this analysis' heat map."""
        return f"heatmap-{self.revision}-{finding.value}.png"


@dataclass(frozen=True)
class StudyFilter:
    """Which studies of the list are asked for; empty and None are all.

    Attributes:
        first_date: of the study's date, like `last_date`, both included.
        level: of `finding`; None: likely or possible.
        text: words that must all occur in what a person looks for.
    """

    statuses: Sequence[StudyStatus] = ()
    priorities: Sequence[Priority] = ()
    worklist: Sequence[WorklistState] = ()
    sources: Sequence[ImageSource] = ()
    patient_id: str | None = None
    accession_number: str | None = None
    first_date: date | None = None
    last_date: date | None = None
    received_since: datetime | None = None
    finding: Finding | None = None
    level: Level | None = None
    text: str | None = None


@dataclass(frozen=True)
class DicomQuery:
    """What is looked for among DICOM studies; None is anything. Dates are ISO, both included."""

    study_instance_uid: str | None = None
    patient_id: str | None = None
    accession_number: str | None = None
    first_date: str | None = None
    last_date: str | None = None
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True)
class StoredFile:
    """A file to be sent; `tag` changes when its content does."""

    study_id: str
    name: str
    media_type: str
    tag: str


@dataclass(frozen=True)
class Cursor:
    """Where a page of the list ended.

    Attributes:
        as_of_ms: the moment, since 1970, at which the first page said who had waited too long;
            later pages hold to it, or what turns overdue in between would be missed or told twice.
        overdue: whether the page ended among those.
        urgency: the last study's, like the two that follow.
        score: to six decimals, -1 for none.
        id: its id.
    """

    as_of_ms: int
    overdue: bool
    urgency: int
    score: float
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that `str` made; BadRequest for anything else."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadRequest("`cursor` is not a `next_cursor` of this list.")
        at, overdue, rank, score, study_id = match.groups()
        return cls(int(at), overdue == "w", int(rank), float(score), study_id)

    def __str__(self) -> str:
        part = "w" if self.overdue else "r"
        return f"{self.as_of_ms}_{part}_{self.urgency}_{self.score:.6f}_{self.id}"
