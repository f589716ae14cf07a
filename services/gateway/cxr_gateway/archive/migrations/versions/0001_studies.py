"""Studies and Idempotency-Keys: the tables of 0.1, which had no revision of their own yet.

Whatever 0.1 made, whole or half, is left as it is found.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what is missing of both tables."""
    op.create_table(
        "studies",
        sa.Column("id", sa.CHAR(26), primary_key=True),
        sa.Column("content_sha256", sa.CHAR(64), nullable=False, unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("priority", sa.String(16)),
        sa.Column("urgency", sa.SmallInteger, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("result_json", sa.Text, nullable=False),
        sa.Column("cams_json", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index(
        "studies_by_urgency", "studies", ["urgency", sa.text("id DESC")], if_not_exists=True
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("content_sha256", sa.CHAR(64), nullable=False),
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), nullable=False),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Remove both, and with them every study."""
    op.drop_table("idempotency_keys")
    op.drop_table("studies")
