"""What the archive hands out and takes in, and how it names a study's files."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from cxr_contracts import CamGrid, Finding
from cxr_gateway.core.schemas import ImageSource, Priority, Study, StudyStatus
from cxr_serving.errors import BadRequest

_CAMS = TypeAdapter(list[CamGrid])
_EXTENSIONS = {ImageSource.PNG: "png", ImageSource.JPEG: "jpg", ImageSource.DICOM: "dcm"}
_MEDIA_TYPES = {
    ImageSource.PNG: "image/png",
    ImageSource.JPEG: "image/jpeg",
    ImageSource.DICOM: "application/dicom",
}
IMAGE_NAME = "image.png"


def original_name(source: ImageSource) -> str:
    """The uploaded file's name in the archive."""
    return f"original.{_EXTENSIONS[source]}"


def owned_by(source: ImageSource, revision: int) -> Callable[[str], bool]:
    """Whether a file of a name belongs to a study whose latest reading is `revision`."""
    pattern = re.compile(rf"(overlay-{revision}|heatmap-{revision}-\w+)\.png")
    always = (original_name(source), IMAGE_NAME)
    return lambda name: name in always or pattern.fullmatch(name) is not None


def in_todays_form(result_json: str) -> str:
    """A result as it is answered today.

    One that was written before boxes were rescored gets the nulls that say so.
    """
    # Only a key can look like this: a quote within a text is escaped.
    if '"rescoring":' in result_json:
        return result_json
    study = json.loads(result_json)
    boxes = [{"rescored_score": None, **box} for box in study["boxes"]]
    return json.dumps(study | {"boxes": boxes, "rescoring": None}, ensure_ascii=False)


def urgency(status: StudyStatus, priority: Priority | None) -> int:
    """The rank in the list, 0 first.

    A study that nobody could read may be urgent, so it stands before what is known to be less.
    """
    if priority is not None:
        return {Priority.URGENT: 0, Priority.SOON: 2, Priority.ROUTINE: 3}[priority]
    return 1 if status is StudyStatus.FAILED else 4


@dataclass(frozen=True)
class StoredStudy:
    """A row: the result as it was written, and what is needed to draw its pictures.

    `revision` counts readings from 1; pictures made from a reading carry it in their name.
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

    @classmethod
    def of(cls, study: Study, cams: list[CamGrid], revision: int, department: str | None) -> Self:
        """What is to be written for a reading."""
        return cls(
            id=study.id,
            content_sha256=study.content_sha256,
            status=study.status,
            source=study.image.source,
            revision=revision,
            result_json=study.model_dump_json(),
            cams_json=_CAMS.dump_json(cams).decode(),
            department=department,
        )

    @cached_property
    def study(self) -> Study:
        """The result."""
        return Study.model_validate_json(self.result_json)

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
        """The name of this reading's burnt-in overlay."""
        return f"overlay-{self.revision}.png"

    def heatmap(self, finding: Finding) -> str:
        """The name of this reading's heat map."""
        return f"heatmap-{self.revision}-{finding.value}.png"


@dataclass(frozen=True)
class StoredFile:
    """A file to be sent; `tag` changes when its content does."""

    study_id: str
    name: str
    media_type: str
    tag: str


@dataclass(frozen=True)
class Cursor:
    """Where a page of the list ended."""

    urgency: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that `str` made; BadRequest for anything else."""
        match = re.fullmatch(r"([0-4])\.([0-9a-z]{26})", text)
        if match is None:
            raise BadRequest("`cursor` is not a `next_cursor` of this list.")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.urgency}.{self.id}"
