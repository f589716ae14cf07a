"""API keys of hospital systems: made by a command, kept as a hash, ended at once everywhere.

`cxr_<id>_<secret>`: the id finds the row and may be told to anybody; the secret is 256 random bits.
The prefix lets a scanner for secrets find a key that went astray.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from cxr_gateway.access.tokens import in_utc, new_token, now, read, sha256_of, written
from cxr_gateway.archive.access_tables import ApiKeyRow
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.core.errors import Unauthenticated
from cxr_gateway.core.principal import Principal, PrincipalKind, Role
from cxr_serving.errors import NotFound

PREFIX = "cxr_"
_FORM = re.compile(r"cxr_([0-9a-z]{12})_([A-Za-z0-9_-]{43})")
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# So coarse that a busy system costs a write in ten minutes and no more.
_USED_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key."""

    id: str
    name: str
    roles: frozenset[Role]
    department: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def principal(self) -> Principal:
        """Who asks with it."""
        return Principal(PrincipalKind.KEY, self.id, self.roles, self.department)

    def state(self, moment: datetime) -> str:
        """`valid`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        is_over = self.expires_at is not None and self.expires_at <= moment
        return "expired" if is_over else "valid"


class Keys:
    """The keys of an archive's database; every method blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        name: str,
        roles: frozenset[Role],
        department: str | None,
        expires_at: datetime | None,
    ) -> tuple[ApiKey, str]:
        """A new key, and the only copy of what its system has to send."""
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        secret = new_token()
        row = ApiKeyRow(
            id=key_id,
            secret_sha256=sha256_of(secret),
            name=name,
            roles=written(roles),
            department=department,
            created_at=now(),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        key = _key(row)
        with database_failures(), Session(self._engine) as session, session.begin():
            session.add(row)
        return key, f"{PREFIX}{key_id}_{secret}"

    def all(self) -> list[ApiKey]:
        """Every key that there ever was, the oldest first."""
        with database_failures(), Session(self._engine) as session:
            rows = session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id))
            return [_key(row) for row in rows]

    def revoke(self, key_id: str) -> ApiKey:
        """End a key, from the next request on; NotFound if there is none of this id."""
        with database_failures(), Session(self._engine) as session, session.begin():
            row = session.get(ApiKeyRow, key_id)
            if row is None:
                raise NotFound(f"There is no key {key_id}.")
            row.revoked_at = row.revoked_at or now()
            return _key(row)

    def find(self, token: str) -> ApiKey:
        """The valid key that `token` is; Unauthenticated for anything else."""
        parts = _FORM.fullmatch(token)
        if parts is None:
            raise Unauthenticated("not a key")
        with database_failures(), Session(self._engine) as session:
            row = session.get(ApiKeyRow, parts[1])
            # A key that is not there is compared, too: the time of an answer tells nothing.
            expected = row.secret_sha256 if row else sha256_of("")
            same = hmac.compare_digest(sha256_of(parts[2]), expected)
            if row is None or not same:
                raise Unauthenticated("unknown key")
            key, moment = _key(row), now()
        if (state := key.state(moment)) != "valid":
            raise Unauthenticated(f"{state} key {key.id}")
        if key.last_used_at is None or moment - key.last_used_at > _USED_EVERY:
            self._note_use(key.id, moment)
        return key

    def _note_use(self, key_id: str, moment: datetime) -> None:
        used = update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(last_used_at=moment)
        with database_failures(), self._engine.begin() as connection:
            connection.execute(used)


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        roles=read(row.roles),
        department=row.department,
        created_at=in_utc(row.created_at),
        expires_at=row.expires_at and in_utc(row.expires_at),
        revoked_at=row.revoked_at and in_utc(row.revoked_at),
        last_used_at=row.last_used_at and in_utc(row.last_used_at),
    )
