"""An event, its entry in the chain, and the hash that ties each entry to the one before."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

# What the first entry of all follows.
GENESIS = "0" * 64
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z"
_ANCHOR = re.compile(rf"([0-9]{{1,18}}):([0-9a-f]{{64}})(?:@({_TIME}))?")
# Clocks of several machines differ by so much; beyond it, a clock was set.
CLOCK_TOLERANCE = timedelta(seconds=2)
# In an entry's details: its clock was behind the entry before it by so many seconds.
CLOCK_SET_BACK = "clock_set_back_s"


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
        details: what else belongs to it, a JSON object: studies that a list showed, how often a
            refusal was repeated, what was pruned; None for nothing.
    """

    kind: str
    subject: str
    department: str | None
    action: str
    study_id: str | None
    outcome: int
    source: str | None
    request_id: str | None
    details: str | None


@dataclass(frozen=True, slots=True)
class Entry(Event):
    """An event with its place in the chain.

    Attributes:
        seq: the entry's number, from 1, without gaps.
        at: when it was written, UTC with microseconds, never before the entry that it follows
            unless its details say that the clock was set back.
        previous_hash: of the entry before.
        hash: SHA-256 over everything else of the entry.
    """

    seq: int
    at: str
    previous_hash: str
    hash: str

    def columns(self) -> dict[str, Any]:
        """The row that holds the entry."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def true_hash(self) -> str:
        """The hash that the entry must have."""
        return _hash_of({field.name: getattr(self, field.name) for field in fields(self)})

    @property
    def detail(self) -> dict[str, Any]:
        """The details as an object; empty for none."""
        return {} if self.details is None else json.loads(self.details)


# Details came later: an entry without them is hashed as before there were any.
_HASHED = [field.name for field in fields(Entry) if field.name not in ("details", "hash")]


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry's number and hash: what has to be kept elsewhere to prove the log up to there.

    With the time of the entry, an anchor can also tell whether the entry was old enough when it
    was removed; two anchors of one entry are equal with or without it.
    """

    seq: int
    hash: str
    at: str | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The anchor that `str` or `dated` made; ValueError for anything else."""
        match = _ANCHOR.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is no anchor; one is a number, a colon and 64 hex digits, and may have "
                "an @ and a time."
            )
        return cls(int(match[1]), match[2], match[3])

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @property
    def dated(self) -> str:
        """With the time of the entry, where it is known."""
        return str(self) if self.at is None else f"{self}@{self.at}"


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


def read_time(text: str) -> datetime:
    """The moment that `as_written` wrote."""
    return datetime.fromisoformat(text)


def as_details(details: Mapping[str, Any] | None) -> str | None:
    """Details as they are kept: one text for one object, whoever writes it."""
    if not details:
        return None
    known = {
        name: _storable(value) if isinstance(value, str) else value
        for name, value in details.items()
    }
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def _storable(text: str) -> str:
    """As PostgreSQL's JSON takes it: a path may have bytes that are no text, and it has no zero."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def next_entry(event: Event, after: Anchor, now: datetime) -> Entry:
    """The entry of `event`, behind that of `after`, as of `now`.

    A clock that is a little behind does not set the log back. One that is far behind was set, or
    the one before it had jumped ahead: the entry takes the time as it is and says so, for the log
    must not stay at a wrong time.
    """
    at = as_written(now)
    known = {field.name: getattr(event, field.name) for field in fields(Event)}
    if after.at is not None and at < after.at:
        behind = read_time(after.at) - now
        if behind <= CLOCK_TOLERANCE:
            at = after.at
        else:
            more = {} if event.details is None else json.loads(event.details)
            step = {CLOCK_SET_BACK: round(behind.total_seconds(), 3)}
            known["details"] = as_details(more | step)
    entry = {"seq": after.seq + 1, "at": at, "previous_hash": after.hash, **known}
    return Entry(**entry, hash=_hash_of(entry))


def _hash_of(entry: Mapping[str, Any]) -> str:
    values = [entry[name] for name in _HASHED]
    return hash_of(values if entry["details"] is None else [*values, entry["details"]])
