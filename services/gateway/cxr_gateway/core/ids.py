"""Study ids: 26 characters that sort by time and name nothing but themselves.

The layout is ULID's (48 bits of milliseconds, 80 random bits) in Crockford's base 32, lower case.
"""

import re
import secrets
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10
_ID = re.compile(f"[0-7][{_ALPHABET}]{{25}}")


def new_study_id(now_ms: int | None = None) -> str:
    """A fresh id; `now_ms` is the time in milliseconds since 1970, now by default."""
    moment = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (moment & ((1 << 48) - 1)) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_study_id(text: str) -> bool:
    """Whether `text` could be one of ours; nothing else may become part of a path."""
    return _ID.fullmatch(text) is not None


def made_at(study_id: str) -> datetime:
    """When an id of ours was made, to the millisecond."""
    # Ten characters are 50 bits, of which 48 are the time.
    moment = 0
    for character in study_id[:_TIME_CHARS]:
        moment = moment << 5 | _ALPHABET.index(character)
    return datetime.fromtimestamp(moment / 1000, UTC)
