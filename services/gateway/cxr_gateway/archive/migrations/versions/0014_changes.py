"""The changes feed: `changes`, with an entry for each study that is there, and its position."""

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the tables; whoever reads the feed from its beginning finds every study."""
    changes = op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("study_id", sa.CHAR(26), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("changes_of_a_department", "changes", ["department", "seq"])
    op.create_index("changes_of_a_study", "changes", ["study_id"])
    feed = op.create_table(
        "change_feed",
        sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("feed", sa.CHAR(8), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    studies = sa.table("studies", *map(sa.column, ("id", "department")))
    number = sa.func.row_number().over(order_by=studies.c.id)
    now = sa.literal(datetime.now(UTC), sa.DateTime(timezone=True))
    there = sa.select(number, studies.c.id, studies.c.department, sa.literal("created"), now)
    op.execute(
        sa.insert(changes).from_select(["seq", "study_id", "department", "kind", "at"], there)
    )
    connection = op.get_bind()
    last = connection.scalar(sa.select(sa.func.max(changes.c.seq))) or 0
    connection.execute(sa.insert(feed).values(number=1, feed=secrets.token_hex(4), seq=last))


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("change_feed")
    op.drop_table("changes")
