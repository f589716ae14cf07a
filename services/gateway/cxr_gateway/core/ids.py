"""Study ids: ULIDs in lower case, 26 characters that sort by time and say nothing else."""

import re
import secrets
import time
from datetime import UTC, datetime, timedelta

from ulid import ULID

_ID = re.compile("[0-7][0-9a-hjkmnp-tv-z]{25}")
_TIME_BYTES, _RANDOM_BYTES = 6, 10


def new_study_id(now_ms: int | None = None) -> str:
    """A fresh id; `now_ms` is the time in milliseconds since 1970, now by default."""
    moment = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    # The package's own generator counts up within a millisecond; these cannot be guessed.
    random = secrets.token_bytes(_RANDOM_BYTES)
    return str(ULID.from_bytes(moment.to_bytes(_TIME_BYTES, "big") + random)).lower()


def first_id_at(moment: datetime) -> str:
    """The lowest id that can be made at this time, to the millisecond."""
    at_ms = (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    return str(ULID.from_bytes(at_ms.to_bytes(_TIME_BYTES, "big") + bytes(_RANDOM_BYTES))).lower()


def is_study_id(text: str) -> bool:
    """Whether `text` could be one of ours; nothing else may become part of a path."""
    return _ID.fullmatch(text) is not None


def made_at(study_id: str) -> datetime:
    """When an id of ours was made, to the millisecond."""
    return ULID.from_str(study_id.upper()).datetime
