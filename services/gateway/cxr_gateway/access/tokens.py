"""Random tokens, and how roles and times are written beside what is kept of them."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from cxr_gateway.core.principal import Role

_RANDOM_BYTES = 32


def new_token() -> str:
    """43 characters with 256 random bits: letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def sha256_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def written(roles: Iterable[Role]) -> str:
    """Roles as a column holds them."""
    return " ".join(sorted(roles))


def read(roles: str) -> frozenset[Role]:
    """The roles of a column; one that this release does not know gives no right."""
    return frozenset(Role(name) for name in roles.split() if name in list(Role))


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def in_utc(moment: datetime) -> datetime:
    """A column's time, which SQLite hands out without its zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
