"""The database's tables: studies, access, the audit log, and what is kept beside the studies.

No secret by which somebody comes in is in them: a token is found by its sha256. That is enough,
without salt or stretching, for each is 256 random bits, which nobody can guess; a password would
need more. What the gateway signs and refreshes with (webhooks, sessions) it has to know; it is
sealed where there is a key for it (`core/sealing.py`).
"""

from datetime import datetime

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MAX_KEY_CHARS = 200
MAX_DEPARTMENT_CHARS = 64
MAX_NAME_CHARS = 200
MAX_SUBJECT_CHARS = 255
MAX_PLACE_CHARS = 200
_MAX_ROLES_CHARS = 100
MAX_STATE_CHARS = 8
# No identifier that imaging keeps is longer.
MAX_IDENTIFIER_CHARS = 512
MAX_LABEL_CHARS = 64
# How the column writes "no score", so that it comes behind every score.
NO_SCORE = -1.0
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
    # The probability of an immediate finding, by which studies of one urgency are ordered.
    score: Mapped[float] = mapped_column(Double, server_default=str(NO_SCORE))
    worklist_state: Mapped[str] = mapped_column(String(MAX_STATE_CHARS), server_default="new")
    worklist_by: Mapped[str | None] = mapped_column(String(MAX_SUBJECT_CHARS))
    worklist_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Of what is assigned: to whom.
    worklist_to: Mapped[str | None] = mapped_column(String(MAX_SUBJECT_CHARS))
    # As the DICOM file says; null where it does not, and for other files.
    patient_id: Mapped[str | None] = mapped_column(String(MAX_IDENTIFIER_CHARS))
    issuer_of_patient_id: Mapped[str | None] = mapped_column(String(MAX_IDENTIFIER_CHARS))
    accession_number: Mapped[str | None] = mapped_column(String(MAX_IDENTIFIER_CHARS))
    study_instance_uid: Mapped[str | None] = mapped_column(String(MAX_IDENTIFIER_CHARS))
    study_date: Mapped[str | None] = mapped_column(String(10))
    # What a person looks for, and which finding is at which level; see `searching`.
    searched: Mapped[str] = mapped_column(Text, server_default="")
    levels: Mapped[str] = mapped_column(Text, server_default="")

    __table_args__ = (
        UniqueConstraint(department, content_sha256, name="studies_once_in_a_department"),
        Index("studies_by_urgency", urgency, score.desc(), id.desc()),
        Index("studies_of_a_department", department, urgency, score.desc(), id.desc()),
        Index("studies_by_worklist_state", worklist_state, id),
        Index("studies_of_a_department_by_state", department, worklist_state, id),
        Index("studies_by_patient_id", patient_id, id),
        Index("studies_by_accession_number", accession_number, id),
        Index("studies_by_study_instance_uid", study_instance_uid, id),
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
    details: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("audit_log_by_study", study_id),
        Index(
            "audit_log_backups",
            seq,
            sqlite_where=text("action = 'backup'"),
            postgresql_where=text("action = 'backup'"),
        ),
        # Which lists showed a study; see `audit_queries`.
        Index(
            "audit_log_studies",
            text("(details::jsonb -> 'studies')"),
            postgresql_using="gin",
            postgresql_where=text("details IS NOT NULL"),
        ).ddl_if(dialect="postgresql"),
    )


class AuditAnchorRow(Base):
    """The last of the audit log's entries that were pruned for their age: the chain goes on here.

    The times are None where an older gateway pruned.
    """

    __tablename__ = "audit_anchors"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(CHAR(64))
    # Of the youngest entry that went, and of the pruning.
    last_at: Mapped[str | None] = mapped_column(CHAR(27))
    pruned_at: Mapped[str | None] = mapped_column(CHAR(27))


class AuditPolicyRow(Base):
    """How old an entry of the audit log has to be before the database lets it go: one row.

    Not in backups, for an older one must not shorten it.
    """

    __tablename__ = "audit_policy"

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    min_age_days: Mapped[int] = mapped_column()

    __table_args__ = (
        CheckConstraint("number = 1 AND min_age_days >= 1", name="audit_policy_is_one"),
        {"info": LIVE_ONLY},
    )


class TombstoneRow(Base):
    """A study that was deleted for good; its id says nothing of a patient."""

    __tablename__ = "deleted_studies"

    study_id: Mapped[str] = mapped_column(CHAR(26), primary_key=True)
    deleted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ChangeRow(Base):
    """One change of a study; of a deleted study the deletion alone is left.

    Not in backups: what is restored is a feed of its own, whose cursors are others.
    """

    __tablename__ = "changes"

    # Given out in the order of the commits; see `changes.note`.
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    study_id: Mapped[str] = mapped_column(CHAR(26))
    department: Mapped[str] = mapped_column(String(MAX_DEPARTMENT_CHARS))
    kind: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        Index("changes_of_a_department", department, seq),
        Index("changes_of_a_study", study_id),
        {"info": LIVE_ONLY},
    )


class ChangeFeedRow(Base):
    """How far the feed of changes is, and which feed it is: one row."""

    __tablename__ = "change_feed"

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    feed: Mapped[str] = mapped_column(CHAR(8))
    seq: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = ({"info": LIVE_ONLY},)


class PendingRow(Base):
    """A study that is kept and not analysed yet."""

    __tablename__ = "pending_analyses"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    attempts: Mapped[int] = mapped_column()
    # When it may be taken; while somebody has it, when somebody else may.
    next_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("pending_analyses_due", next_at),)


class WebhookRow(Base):
    """An address that is told of changes. Not in backups: a restored copy must call nobody."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(CHAR(16), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(100))
    # Names of events, apart by spaces.
    events: Mapped[str] = mapped_column(String(200))
    # Whose studies; null for those of all.
    department: Mapped[str | None] = mapped_column(String(MAX_DEPARTMENT_CHARS))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[str] = mapped_column(String(MAX_SUBJECT_CHARS))
    # Up to which change its deliveries are queued.
    seq: Mapped[int] = mapped_column(BigInteger)
    # When the address said that it is no more.
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = ({"info": LIVE_ONLY},)


class WebhookDeliveryRow(Base):
    """A message to a webhook: waiting, delivered, or dead."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(CHAR(28), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(CHAR(16), ForeignKey("webhooks.id"))
    # The change that it tells of; null for a test call.
    seq: Mapped[int | None] = mapped_column(BigInteger)
    event: Mapped[str] = mapped_column(String(32))
    study_id: Mapped[str | None] = mapped_column(CHAR(26))
    # As it is signed and sent, each time the same.
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # When it is tried; while it is being tried, when somebody else may.
    next_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_status: Mapped[int | None] = mapped_column()
    last_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        UniqueConstraint(webhook_id, seq, name="webhook_deliveries_once"),
        Index("webhook_deliveries_due", webhook_id, state, next_at),
        Index("webhook_deliveries_log", webhook_id, created_at),
        {"info": LIVE_ONLY},
    )


class HeartbeatRow(Base):
    """When a gateway last proved that it can write: one row."""

    __tablename__ = "heartbeats"

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    at_s: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = ({"info": LIVE_ONLY},)


class AuditShipmentRow(Base):
    """Up to which entry the audit log has been sent to a place; the place by its sha256."""

    __tablename__ = "audit_shipments"

    target: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = ({"info": LIVE_ONLY},)


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
    # What the provider calls its own session, if it says so.
    sid: Mapped[str | None] = mapped_column(String(MAX_SUBJECT_CHARS))
    # By which roles are read again, and when they were; null where the provider gives none.
    refresh_token: Mapped[str | None] = mapped_column(Text)
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("sessions_by_expiry", expires_at), {"info": LIVE_ONLY})


class SchemaFloorRow(Base):
    """The oldest schema whose gateways work on the database as it is; one row."""

    __tablename__ = "schema_floor"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)

    __table_args__ = ({"info": LIVE_ONLY},)


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


class ReviewRow(Base):
    """What a reader said of one answer of a study, or of the study; nothing is overwritten.

    Whoever takes an entry back sets `withdrawn_at`, and no other column ever changes.
    """

    __tablename__ = "reviews"

    # Made by the client, so that what is sent twice is kept once.
    id: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"))
    # The analysis that the reader saw.
    revision: Mapped[int] = mapped_column()
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    made_by: Mapped[str] = mapped_column(String(MAX_SUBJECT_CHARS))
    verdict: Mapped[str] = mapped_column(String(16))
    # `finding` or `box`, what it was called, and which of the boxes; null for an addition.
    target_kind: Mapped[str | None] = mapped_column(String(8))
    target_label: Mapped[str | None] = mapped_column(String(MAX_LABEL_CHARS))
    target_box: Mapped[int | None] = mapped_column()
    # The level of a finding, the probability or score, and the model, as they were shown.
    shown_level: Mapped[str | None] = mapped_column(String(16))
    shown_value: Mapped[float | None] = mapped_column(Double)
    model_role: Mapped[str | None] = mapped_column(String(16))
    model_name: Mapped[str | None] = mapped_column(String(200))
    model_version: Mapped[str | None] = mapped_column(String(200))
    model_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    # What it is and where it lies by the reader, in pixels of the image.
    label: Mapped[str | None] = mapped_column(String(MAX_LABEL_CHARS))
    x_min: Mapped[float | None] = mapped_column(Double)
    y_min: Mapped[float | None] = mapped_column(Double)
    x_max: Mapped[float | None] = mapped_column(Double)
    y_max: Mapped[float | None] = mapped_column(Double)
    comment: Mapped[str] = mapped_column(Text)
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        Index("reviews_of_a_study", study_id, made_at),
        Index("reviews_by_time", made_at),
    )


class FirstReadRow(Base):
    """What a reader saw before the models' answers were shown; one a reader, never changed."""

    __tablename__ = "first_reads"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    made_by: Mapped[str] = mapped_column(String(MAX_SUBJECT_CHARS), primary_key=True)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # The analysis whose answers were shown afterwards.
    revision: Mapped[int] = mapped_column()
    # The findings' names; what the models said of each.
    findings_json: Mapped[str] = mapped_column(Text)
    comment: Mapped[str] = mapped_column(Text)
    shown_json: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("first_reads_by_time", made_at),)


class ReportLabelRow(Base):
    """What a signed report of the hospital says of one finding, and what the classifier said."""

    __tablename__ = "report_labels"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    finding: Mapped[str] = mapped_column(String(MAX_LABEL_CHARS), primary_key=True)
    present: Mapped[bool] = mapped_column()
    # The classifier's level, and its analysis, when the label came in.
    level: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column()
    # YYYY-MM-DD.
    signed_on: Mapped[str] = mapped_column(String(10))
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("report_labels_by_date", signed_on),)


class ReportRow(Base):
    """A version of a study's report. Rows are added and never changed; the last one counts."""

    __tablename__ = "reports"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The analysis that its author saw.
    revision: Mapped[int] = mapped_column()
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    made_by: Mapped[str] = mapped_column(String(MAX_SUBJECT_CHARS))
    # As it stands under the text.
    made_by_name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    signed: Mapped[bool] = mapped_column(Boolean)
    text_json: Mapped[str] = mapped_column(Text)


class TriageThresholdRow(Base):
    """From then on these thresholds held for a triage model, or its reference's again (null)."""

    __tablename__ = "triage_thresholds"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Of the triage model's manifest.
    model_sha256: Mapped[str] = mapped_column(CHAR(64))
    set_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    set_by: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    urgent: Mapped[float | None] = mapped_column(Double)
    soon: Mapped[float | None] = mapped_column(Double)
    alert_budget: Mapped[float] = mapped_column(Double)
    soon_budget: Mapped[float] = mapped_column(Double)
    n_images: Mapped[int] = mapped_column()
