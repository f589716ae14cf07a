"""Webhooks as administrators see them, and what is sent."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from cxr_gateway.archive.changes import ChangeKind, ChangeRecord
from cxr_gateway.archive.tables import MAX_DEPARTMENT_CHARS
from cxr_gateway.archive.webhooks import DeliveryRecord, DeliveryState, Message, WebhookRecord
from cxr_gateway.changes.schemas import Change
from cxr_gateway.core.schemas import StudyId
from cxr_gateway.core.tokens import now

TEST_EVENT = "webhook.test"


class WebhookEvent(StrEnum):
    """What a webhook may be told of: the kinds of changes."""

    CREATED = "study.created"
    ANALYSED = "study.analysed"
    RERUN = "study.rerun"
    REVIEWED = "study.reviewed"
    REPORTED = "study.reported"
    WORKLIST = "study.worklist"
    DELETED = "study.deleted"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewWebhook(_Strict):
    """Who is to be told of what."""

    url: Annotated[
        str,
        Field(
            max_length=2000,
            description="`https://...`, at a public address or one that the setting "
            "CXR_GATEWAY_WEBHOOK_ALLOW lists.",
        ),
    ]
    events: list[WebhookEvent] = Field(
        min_length=1, max_length=len(WebhookEvent), description="What it is told of."
    )
    department: (
        Annotated[str, Field(min_length=1, max_length=MAX_DEPARTMENT_CHARS, pattern=r"^[^\x00]+$")]
        | None
    ) = Field(
        default=None, description="Whose studies; without one, those of all that you may see."
    )


class Webhook(_Strict):
    """A registered webhook."""

    id: str = Field(pattern=r"^[0-9a-f]{16}$", description="By which it is asked for.")
    url: str = Field(description="Where messages go.")
    events: list[WebhookEvent] = Field(description="What it is told of.")
    department: str | None = Field(description="Whose studies; null for those of all.")
    created_at: datetime = Field(description="When it was registered.")
    created_by: str = Field(description="As the audit log calls them.")
    disabled_at: datetime | None = Field(
        description="When it answered 410 Gone, and was sent nothing more; else null."
    )

    @classmethod
    def of(cls, record: WebhookRecord) -> Self:
        """As it is kept, without its secret."""
        return cls(**{name: getattr(record, name) for name in Webhook.model_fields})


class CreatedWebhook(Webhook):
    """A webhook that was just made, with what its messages are signed by."""

    secret: str = Field(description="Shown this once: `whsec_` and 32 bytes in base64.")


class WebhookList(_Strict):
    """The webhooks, the oldest first."""

    items: list[Webhook] = Field(description="Without their secrets.")


class WebhookDelivery(_Strict):
    """A message to a webhook."""

    id: str = Field(pattern=r"^msg_[0-9a-f]{24}$", description="The header `webhook-id`.")
    event: str = Field(description="A `WebhookEvent`, or `webhook.test`.")
    study_id: StudyId | None = Field(description="The study; null for a test call.")
    state: DeliveryState = Field(
        description="What became of it: `waiting` (to be tried, again), `delivered`, `dead` "
        "(given up)."
    )
    attempts: int = Field(ge=0, description="How often it was tried.")
    created_at: datetime = Field(description="When it was queued.")
    next_at: datetime | None = Field(description="When it is tried next; null once it ended.")
    ended_at: datetime | None = Field(description="When it was taken or given up; else null.")
    last_status: int | None = Field(
        ge=100, le=999, description="HTTP status of the last answer; null without one."
    )
    last_error: str | None = Field(description="Why the last attempt failed; else null.")

    @classmethod
    def of(cls, record: DeliveryRecord) -> Self:
        """As it is kept."""
        values = {name: getattr(record, name) for name in cls.model_fields}
        if record.state is not DeliveryState.WAITING:
            values["next_at"] = None
        return cls(**values)


class WebhookDeliveries(_Strict):
    """Messages to a webhook, the latest first."""

    items: list[WebhookDelivery] = Field(description="At most `limit`.")


class _Payload(_Strict):
    """What a webhook receives: type, time and data, as Standard Webhooks says."""

    type: str
    timestamp: datetime
    data: Change | None


def message_of(change: ChangeRecord, feed: str) -> Message:
    """What a change is told as: the feed's own entry, so ids and priority and no patient."""
    event = event_of(change.kind)
    payload = _Payload(type=event, timestamp=change.at, data=Change.of(change, feed))
    return Message(event, change.study_id, payload.model_dump_json())


def test_message() -> Message:
    """A message that tells of nothing."""
    payload = _Payload(type=TEST_EVENT, timestamp=now(), data=None)
    return Message(TEST_EVENT, None, payload.model_dump_json())


def event_of(kind: ChangeKind) -> str:
    """How webhooks call a change."""
    return f"study.{kind.value}"
