"""The feed of changes as it is answered and streamed."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Probability
from cxr_gateway.archive.changes import ChangeKind, ChangeRecord, Position
from cxr_gateway.core.schemas import Priority, StudyId, StudyStatus, WorklistState


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChangedStudy(_Output):
    """What a changed study is by now. Of the patient it says nothing."""

    status: StudyStatus = Field(description="How far its analysis came.")
    priority: Priority | None = Field(description="Null where nothing was diagnosed.")
    score: Probability | None = Field(
        description="The probability of an immediate finding, 0 to 1, by which studies of one "
        "priority are ordered; null where there is none."
    )
    worklist: WorklistState = Field(description="How far a person is with it.")
    revision: int = Field(ge=1, description="Which result it is, from 1.")


class Change(_Output):
    """Something that happened to a study."""

    cursor: str = Field(
        description="The place after this change: hand it back as `since` or `Last-Event-ID`. "
        "What it is made of may change."
    )
    at: datetime = Field(description="When, in UTC.")
    kind: ChangeKind = Field(
        description="`created`, `analysed` (a pending one has its result), `rerun` (analysed "
        "again), `reviewed` (a reader said something or took it back), `reported` (a version of "
        "the report), `worklist` (opened, done, or new again), `deleted`."
    )
    study_id: StudyId = Field(description="Which study.")
    study: ChangedStudy | None = Field(
        description="As it is at the time of the answer, whatever changed since; null once it is "
        "deleted, of which the deletion is the only change that is left."
    )

    @classmethod
    def of(cls, record: ChangeRecord, feed: str) -> Self:
        """As it is kept."""
        study = record.status and ChangedStudy.model_validate(
            {
                "status": record.status,
                "priority": record.priority,
                "score": record.score,
                "worklist": record.worklist_state,
                "revision": record.revision,
            }
        )
        return cls(
            cursor=str(Position(feed, record.seq)),
            at=record.at,
            kind=record.kind,
            study_id=record.study_id,
            study=study or None,
        )


class ChangePage(_Output):
    """Changes in the order in which they happened."""

    items: list[Change] = Field(description="The earliest first.")
    next_cursor: str = Field(
        description="Hand it back as `since`, now if there are more, else whenever you look again."
    )
    has_more: bool = Field(description="Whether there are further changes already.")
