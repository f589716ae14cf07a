"""Answers of shadow models, promotions, and the statistics of each radiograph.

Radiographs analysed before have no statistics: drift is seen from the upgrade on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the three tables, empty."""
    _make_shadow_answers()
    _make_promotions()
    op.create_table(
        "study_statistics",
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("week", sa.CHAR(8), nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("view", sa.String(16), nullable=False),
        sa.Column("gate_sha256", sa.CHAR(64), nullable=False),
        sa.Column("classifier_sha256", sa.CHAR(64)),
        sa.Column("values_json", sa.Text, nullable=False),
    )
    op.create_index("study_statistics_by_week", "study_statistics", ["week", "study_id"])


def downgrade() -> None:
    """Remove them, and with them which model was promoted."""
    op.drop_table("study_statistics")
    op.drop_table("promotions")
    op.drop_table("shadow_answers")


def _make_shadow_answers() -> None:
    op.create_table(
        "shadow_answers",
        sa.Column("id", sa.CHAR(26), primary_key=True),
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.String(200), nullable=False),
        sa.Column("model_sha256", sa.CHAR(64), nullable=False),
        sa.Column("shown_sha256", sa.CHAR(64), nullable=False),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("shown_ms", sa.Double),
        sa.Column("error", sa.String(16)),
        sa.Column("detail", sa.Text),
        sa.Column("answer_json", sa.Text),
        sa.Column("priority", sa.String(16)),
        sa.Column("shown_priority", sa.String(16), nullable=False),
        sa.Column("boxes", sa.Integer),
        sa.Column("shown_boxes", sa.Integer, nullable=False),
    )
    pair = ["role", "model_sha256", "shown_sha256", "id"]
    op.create_index("shadow_answers_by_pair", "shadow_answers", pair)
    op.create_index("shadow_answers_by_study", "shadow_answers", ["study_id"])


def _make_promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("undoes", sa.Integer),
        sa.Column("slot", sa.String(16), nullable=False),
        sa.Column("model_name", sa.String(200), nullable=False),
        sa.Column("model_version", sa.String(200), nullable=False),
        sa.Column("model_sha256", sa.CHAR(64), nullable=False),
        sa.Column("before_name", sa.String(200), nullable=False),
        sa.Column("before_version", sa.String(200), nullable=False),
        sa.Column("before_sha256", sa.CHAR(64), nullable=False),
    )
    op.create_index("promotions_by_role", "promotions", ["role", "number"])
