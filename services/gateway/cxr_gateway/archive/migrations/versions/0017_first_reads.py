"""What readers said before they saw the models' answers, and to whom a study is assigned."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "first_reads",
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), primary_key=True),
        sa.Column("made_by", sa.String(255), primary_key=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("findings_json", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("shown_json", sa.Text, nullable=False),
    )
    op.create_index("first_reads_by_time", "first_reads", ["made_at"])
    op.add_column("studies", sa.Column("worklist_to", sa.String(255)))


def downgrade() -> None:
    """Drop them, with what was said."""
    op.drop_column("studies", "worklist_to")
    op.drop_table("first_reads")
