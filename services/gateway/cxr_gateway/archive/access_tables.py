"""The tables of who may come in: API keys, sessions, sign-ins on their way.

No secret is in them: a token is found by its sha256. That is enough, without salt or stretching,
for each is 256 random bits, which nobody can try out; a password would need more.
"""

from datetime import datetime

from sqlalchemy import CHAR, DateTime, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cxr_gateway.archive.tables import LIVE_ONLY, MAX_DEPARTMENT_CHARS, Base

MAX_NAME_CHARS = 200
MAX_SUBJECT_CHARS = 255
MAX_PLACE_CHARS = 200
_MAX_ROLES_CHARS = 100


class ApiKeyRow(Base):
    """A system's key. Rows are never removed: the audit log names their ids."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(CHAR(12), primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(CHAR(64))
    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    roles: Mapped[str] = mapped_column(String(_MAX_ROLES_CHARS))
    department: Mapped[str | None] = mapped_column(String(MAX_DEPARTMENT_CHARS))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SessionRow(Base):
    """A person who is signed in. Not in backups: a restored one must let nobody in again."""

    __tablename__ = "sessions"

    token_sha256: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(MAX_SUBJECT_CHARS))
    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    roles: Mapped[str] = mapped_column(String(_MAX_ROLES_CHARS))
    department: Mapped[str | None] = mapped_column(String(MAX_DEPARTMENT_CHARS))
    id_token: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("sessions_by_expiry", expires_at), {"info": LIVE_ONLY})


class SignInRow(Base):
    """A sign-in that is at the provider; gone when it comes back, so it comes back once."""

    __tablename__ = "sign_ins"

    state_sha256: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    browser_sha256: Mapped[str] = mapped_column(CHAR(64))
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(128))
    return_to: Mapped[str] = mapped_column(String(MAX_PLACE_CHARS))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("sign_ins_by_expiry", expires_at), {"info": LIVE_ONLY})
