"""The audit log, its anchors, and the key of the pseudonyms that a de-identified export carries.

Neither the log's lines nor its anchors can be changed, by whomever; lines can be removed up to an
anchor, which holds the number and the hash of the last one that went.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_REFUSAL = "the audit log is append-only"
_TABLES = ("audit_log", "audit_anchors")
# What may go: lines that an anchor stands for. An anchor never goes.
_KEPT = {
    "audit_log": "OLD.seq > (SELECT coalesce(max(seq), 0) FROM audit_anchors)",
    "audit_anchors": "OLD.seq IS NOT NULL",
}


def upgrade() -> None:
    """Make the three tables, and refuse changes of the first two within the database."""
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.CHAR(27), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("department", sa.String(255)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("study_id", sa.CHAR(26)),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("source", sa.String(64)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("previous_hash", sa.CHAR(64), nullable=False),
        sa.Column("hash", sa.CHAR(64), nullable=False),
    )
    op.create_index("audit_log_by_study", "audit_log", ["study_id"])
    op.create_table(
        "audit_anchors",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.CHAR(64), nullable=False),
    )
    op.create_table(
        "pseudonym_keys",
        sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.CHAR(64), nullable=False),
    )
    protect = _protect_sqlite if op.get_bind().dialect.name == "sqlite" else _protect_postgresql
    for table in _TABLES:
        protect(table)


def downgrade() -> None:
    """Remove the three, and with them the whole log."""
    op.drop_table("pseudonym_keys")
    for table in _TABLES:
        op.drop_table(table)
        if op.get_bind().dialect.name != "sqlite":
            op.execute(f"DROP FUNCTION {table}_refuse()")


def _protect_sqlite(table: str) -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN {_KEPT[table]} {refuse}"
    )


def _protect_postgresql(table: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN IF NOT ({_KEPT[table]}) THEN RETURN OLD; END IF; END IF; "
        f"RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
