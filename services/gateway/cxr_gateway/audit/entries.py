"""An event, its line in the chain, and the hash that ties each line to the one before."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from starlette.requests import HTTPConnection

from cxr_gateway.core.principal import LOCAL, Principal, principal_of
from cxr_gateway.middleware.client_address import source_of
from cxr_serving.logs import request_id

# What the first line of all follows.
GENESIS = "0" * 64
_MAX_CHARS = 255
_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened; nothing in it is about a patient but the study's id.

    Attributes:
        kind: how they came in who did it, as in `Principal`.
        subject: who it was.
        department: whose studies they see; None for all.
        action: a route's operation id, or a command's name.
        study_id: the study, if it was about one.
        outcome: the answer's HTTP status; of a command, its exit status.
        source: the address that the request came from; None for a command.
        request_id: as in the logs; None for a command.
    """

    kind: str
    subject: str
    department: str | None
    action: str
    study_id: str | None
    outcome: int
    source: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Line(Event):
    """An event with its place in the chain.

    Attributes:
        seq: the line's number, from 1, without gaps.
        at: when it was written, UTC with microseconds, never before the line that it follows.
        previous_hash: of the line before.
        hash: SHA-256 over everything else of the line.
    """

    seq: int
    at: str
    previous_hash: str
    hash: str

    def columns(self) -> dict[str, Any]:
        """The row that holds the line."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def true_hash(self) -> str:
        """The hash that the line must have."""
        return hash_of([getattr(self, name) for name in _HASHED])


_HASHED = [field.name for field in fields(Line) if field.name != "hash"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A line's number and hash: what has to be kept elsewhere to prove the log up to there."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The anchor that `str` made; ValueError for anything else."""
        match = _ANCHOR.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no anchor; one is a number, a colon and 64 hex digits.")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def hash_of(values: Sequence[Any]) -> str:
    """SHA-256 over JSON, which tells where each value ends and a missing one from an empty one."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def as_written(moment: datetime) -> str:
    """A time as the log writes it, in UTC, which is the zone of one that has none."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        utc = aware.astimezone(UTC)
    except OverflowError:
        utc = aware.replace(tzinfo=UTC)  # at either end of the calendar, where hours do not count
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def next_line(event: Event, after: Anchor, not_before: str) -> Line:
    """The line that `event` becomes, behind the line of `after`, which was written at `not_before`.

    A clock that was set back does not set the log back.
    """
    now = as_written(datetime.now(UTC))
    known = {field.name: getattr(event, field.name) for field in fields(Event)}
    line = {"seq": after.seq + 1, "at": max(now, not_before), "previous_hash": after.hash, **known}
    return Line(**line, hash=hash_of([line[name] for name in _HASHED]))


def by_request(
    connection: HTTPConnection, action: str, study_id: str | None, outcome: int
) -> Event:
    """What whoever asks has done with this request, or has tried to.

    Args:
        connection: the request.
        action: as in `Event`, like the two that follow.
        study_id: the study.
        outcome: the answer's status.
    """
    return Event(
        **_who(principal_of(connection)),
        action=action,
        study_id=study_id,
        outcome=outcome,
        source=source_of(connection),
        request_id=request_id.get(),
    )


def by_the_machine(
    action: str, outcome: int = 0, study_id: str | None = None, subject: str = LOCAL.subject
) -> Event:
    """What a command has done, or the gateway by itself: `subject` says which of them."""
    return Event(
        **_who(Principal(LOCAL.kind, subject, LOCAL.roles)),
        action=action,
        study_id=study_id,
        outcome=outcome,
        source=None,
        request_id=None,
    )


def _who(principal: Principal) -> dict[str, Any]:
    department = principal.department
    return {
        "kind": principal.kind.value,
        "subject": _storable(principal.subject),
        "department": None if department is None else _storable(department),
    }


def _storable(text: str) -> str:
    """`text` as every database takes it: PostgreSQL has no zero character, and a limit."""
    return text.replace("\0", "�")[:_MAX_CHARS]
