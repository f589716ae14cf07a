"""What signed reports of the hospital say of findings, to be compared with the models."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0017"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "report_labels",
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("finding", sa.String(64), primary_key=True),
        sa.Column("present", sa.Boolean, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("signed_on", sa.String(10), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("report_labels_by_date", "report_labels", ["signed_on"])


def downgrade() -> None:
    """Drop it, with the labels."""
    op.drop_table("report_labels")
