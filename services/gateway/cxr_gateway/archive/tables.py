"""The database's tables: studies, access, the audit log, and what is kept beside the studies.

No secret is in them: a token is found by its sha256. That is enough, without salt or stretching,
for each is 256 random bits, which nobody can guess; a password would need more.
"""

from datetime import datetime

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MAX_KEY_CHARS = 200
MAX_DEPARTMENT_CHARS = 64
MAX_NAME_CHARS = 200
MAX_SUBJECT_CHARS = 255
MAX_PLACE_CHARS = 200
_MAX_ROLES_CHARS = 100
# How the columns write "no department": unlike NULL it equals itself, in a unique index too.
NO_DEPARTMENT = ""
# The `info` of a table whose rows belong to the running system and are not backed up.
LIVE_ONLY = {"live_only": True}


class Base(DeclarativeBase):
    """All tables of the archive."""


class StudyRow(Base):
    """One study. The row is written last, so whatever it names is on disk."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(CHAR(26), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(CHAR(64))
    status: Mapped[str] = mapped_column(String(16))
    priority: Mapped[str | None] = mapped_column(String(16))
    urgency: Mapped[int] = mapped_column(SmallInteger)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    source: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column()
    result_json: Mapped[str] = mapped_column(Text)
    cams_json: Mapped[str] = mapped_column(Text)
    department: Mapped[str] = mapped_column(
        String(MAX_DEPARTMENT_CHARS), server_default=NO_DEPARTMENT
    )

    __table_args__ = (
        UniqueConstraint(department, content_sha256, name="studies_once_in_a_department"),
        Index("studies_by_urgency", urgency, id.desc()),
        Index("studies_of_a_department", department, urgency, id.desc()),
    )


class KeyRow(Base):
    """An Idempotency-Key of a department, and what it was used for."""

    __tablename__ = "idempotency_keys"

    department: Mapped[str] = mapped_column(
        String(MAX_DEPARTMENT_CHARS), primary_key=True, server_default=NO_DEPARTMENT
    )
    key: Mapped[str] = mapped_column(String(MAX_KEY_CHARS), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(CHAR(64))
    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"))


class AuditRow(Base):
    """One line of the audit log; `at` is text, so that its hash is the same on every database."""

    __tablename__ = "audit_log"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(CHAR(27))
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(255))
    department: Mapped[str | None] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(64))
    study_id: Mapped[str | None] = mapped_column(CHAR(26))
    outcome: Mapped[int] = mapped_column()
    source: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    previous_hash: Mapped[str] = mapped_column(CHAR(64))
    hash: Mapped[str] = mapped_column(CHAR(64))

    __table_args__ = (Index("audit_log_by_study", study_id),)


class AuditAnchorRow(Base):
    """The last of the audit log's lines that were removed for their age: the chain goes on here."""

    __tablename__ = "audit_anchors"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(CHAR(64))


class PseudonymKeyRow(Base):
    """The installation's own key, from which the UIDs of de-identified files follow."""

    __tablename__ = "pseudonym_keys"

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(CHAR(64))


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


class ShadowAnswerRow(Base):
    """What a shadow model said of a study's image, and what would have followed; never shown."""

    __tablename__ = "shadow_answers"

    id: Mapped[str] = mapped_column(CHAR(26), primary_key=True)
    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"))
    # The analysis of the study that it stands beside.
    revision: Mapped[int] = mapped_column()
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    role: Mapped[str] = mapped_column(String(16))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[str] = mapped_column(String(200))
    model_sha256: Mapped[str] = mapped_column(CHAR(64))
    # The model of the same role that the study shows.
    current_sha256: Mapped[str] = mapped_column(CHAR(64))
    duration_ms: Mapped[float] = mapped_column(Double)
    current_ms: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[str | None] = mapped_column(Text)
    answer_json: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[str | None] = mapped_column(String(16))
    current_priority: Mapped[str] = mapped_column(String(16))
    boxes: Mapped[int | None] = mapped_column()
    current_boxes: Mapped[int] = mapped_column()

    __table_args__ = (
        Index("shadow_answers_by_pair", role, model_sha256, current_sha256, id),
        Index("shadow_answers_by_study", study_id),
    )


class PromotionRow(Base):
    """From then on this model answered; the latest row of a role counts."""

    __tablename__ = "promotions"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str] = mapped_column(String(16))
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    made_by: Mapped[str] = mapped_column(String(200))
    # The promotion that this row takes back; null for a promotion.
    undoes: Mapped[int | None] = mapped_column()
    slot: Mapped[str] = mapped_column(String(16))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[str] = mapped_column(String(200))
    model_sha256: Mapped[str] = mapped_column(CHAR(64))
    before_name: Mapped[str] = mapped_column(String(200))
    before_version: Mapped[str] = mapped_column(String(200))
    before_sha256: Mapped[str] = mapped_column(CHAR(64))

    __table_args__ = (Index("promotions_by_role", role, number),)


class StudyStatisticsRow(Base):
    """The numbers of one radiograph by which drift is seen; written and replaced with its study."""

    __tablename__ = "study_statistics"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    week: Mapped[str] = mapped_column(CHAR(8))
    accepted: Mapped[bool] = mapped_column(Boolean)
    source: Mapped[str] = mapped_column(String(16))
    view: Mapped[str] = mapped_column(String(16))
    ood_sha256: Mapped[str] = mapped_column(CHAR(64))
    classifier_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    # A JSON array in the order of `cxr_contracts.NUMBERS`, with nulls for what is not known:
    # a week's radiographs are fetched as one text, which a column for each number would not allow.
    values_json: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("study_statistics_by_week", week, study_id),)
