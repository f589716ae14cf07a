"""What is kept beside the studies: shadow models' answers, promotions, statistics of each film."""

from datetime import datetime

from sqlalchemy import CHAR, Boolean, DateTime, Double, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cxr_gateway.archive.tables import Base


class ShadowAnswerRow(Base):
    """What a shadow model said of a study's picture, and what would have followed; never shown."""

    __tablename__ = "shadow_answers"

    id: Mapped[str] = mapped_column(CHAR(26), primary_key=True)
    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"))
    # The reading of the study that it stands beside.
    revision: Mapped[int] = mapped_column()
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    role: Mapped[str] = mapped_column(String(16))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[str] = mapped_column(String(200))
    model_sha256: Mapped[str] = mapped_column(CHAR(64))
    # The model of the same role that the study shows.
    current_sha256: Mapped[str] = mapped_column(CHAR(64))
    duration_ms: Mapped[float] = mapped_column(Double)
    shown_ms: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[str | None] = mapped_column(Text)
    answer_json: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[str | None] = mapped_column(String(16))
    shown_priority: Mapped[str] = mapped_column(String(16))
    boxes: Mapped[int | None] = mapped_column()
    shown_boxes: Mapped[int] = mapped_column()

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
    """The numbers of one film by which drift is seen; written and replaced with its study."""

    __tablename__ = "study_statistics"

    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"), primary_key=True)
    week: Mapped[str] = mapped_column(CHAR(8))
    accepted: Mapped[bool] = mapped_column(Boolean)
    source: Mapped[str] = mapped_column(String(16))
    view: Mapped[str] = mapped_column(String(16))
    gate_sha256: Mapped[str] = mapped_column(CHAR(64))
    classifier_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    # A JSON array in the order of `cxr_contracts.NUMBERS`, with nulls for what is not known:
    # a week's films are fetched as one text, which a column for each number would not allow.
    values_json: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("study_statistics_by_week", week, study_id),)
