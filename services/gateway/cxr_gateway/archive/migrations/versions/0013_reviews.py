"""What readers say of the models' answers, and what they report: `reviews`, `reports`, empty."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "reviews",
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.String(255), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("target_kind", sa.String(8)),
        sa.Column("target_label", sa.String(64)),
        sa.Column("target_box", sa.Integer),
        sa.Column("shown_level", sa.String(16)),
        sa.Column("shown_value", sa.Double),
        sa.Column("model_role", sa.String(16)),
        sa.Column("model_name", sa.String(200)),
        sa.Column("model_version", sa.String(200)),
        sa.Column("model_sha256", sa.CHAR(64)),
        sa.Column("label", sa.String(64)),
        sa.Column("x_min", sa.Double),
        sa.Column("y_min", sa.Double),
        sa.Column("x_max", sa.Double),
        sa.Column("y_max", sa.Double),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
    )
    op.create_index("reviews_of_a_study", "reviews", ["study_id", "made_at"])
    op.create_index("reviews_by_time", "reviews", ["made_at"])
    op.create_table(
        "reports",
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.String(255), nullable=False),
        sa.Column("made_by_name", sa.String(200), nullable=False),
        sa.Column("signed", sa.Boolean, nullable=False),
        sa.Column("text_json", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables, with what was said."""
    op.drop_table("reports")
    op.drop_table("reviews")
