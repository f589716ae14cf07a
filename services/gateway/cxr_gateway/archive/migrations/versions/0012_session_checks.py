"""Sessions whose roles are read again at the provider, and how old a gateway may be."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add what is null."""
    op.add_column("sessions", sa.Column("refresh_token", sa.Text()))
    op.add_column("sessions", sa.Column("checked_at", sa.DateTime(timezone=True)))
    op.create_table("schema_floor", sa.Column("revision", sa.String(32), primary_key=True))


def downgrade() -> None:
    """Take it away."""
    op.drop_table("schema_floor")
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_column("checked_at")
        sessions.drop_column("refresh_token")
