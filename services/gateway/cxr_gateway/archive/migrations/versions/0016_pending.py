"""Studies that are kept and not analysed yet: `pending_analyses`, empty."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pending_analyses",
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("pending_analyses_due", "pending_analyses", ["next_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("pending_analyses")
