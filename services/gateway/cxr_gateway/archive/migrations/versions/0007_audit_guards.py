"""Entries have details; the audit log is pruned by age only, and the database holds to that.

An entry may go when an anchor stands for it and it is older than `audit_policy` says. An anchor may
be written for such an entry only, and says when it was. On PostgreSQL the anchors and the removal
are the work of one function, so that the application needs no right to change or remove anything.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_REFUSAL = "the audit log is append-only"
_OTHER_TIME = "the audit log takes entries of the present time only"
_MIN_AGE_DAYS = 90
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
# A clock that jumped ahead leaves stamps that lie in the future once it is set right; what stands
# behind such an entry was written later, so it is as old as its neighbours.
_POSTGRESQL = f"""
CREATE FUNCTION audit_time(moment timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_char(moment AT TIME ZONE 'UTC', '{_ISO}') $$;

CREATE FUNCTION audit_cutoff() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT audit_time(clock_timestamp() - make_interval(days => (
           SELECT coalesce(min(min_age_days), {_MIN_AGE_DAYS}) FROM audit_policy))) $$;

CREATE FUNCTION audit_is_old(at text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT at < audit_cutoff() OR at > audit_time(clock_timestamp() + interval '1 day') $$;

CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.seq <= (SELECT coalesce(max(seq), 0) FROM audit_anchors) AND audit_is_old(OLD.at)
    THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION '{_REFUSAL}';
END $$;

CREATE FUNCTION audit_log_present() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.at BETWEEN audit_time(clock_timestamp() - interval '1 hour')
                AND audit_time(clock_timestamp() + interval '1 hour') THEN RETURN NEW; END IF;
  RAISE EXCEPTION '{_OTHER_TIME}';
END $$;

CREATE TRIGGER audit_log_present BEFORE INSERT ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_present();

CREATE FUNCTION audit_anchors_true() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.last_at IS NOT NULL AND NEW.pruned_at IS NOT NULL AND NEW.last_at < audit_cutoff()
     AND EXISTS (SELECT 1 FROM audit_log
                 WHERE seq = NEW.seq AND hash = NEW.hash AND audit_is_old(at))
  THEN RETURN NEW; END IF;
  RAISE EXCEPTION '{_REFUSAL}';
END $$;

CREATE TRIGGER audit_anchors_true BEFORE INSERT ON audit_anchors
  FOR EACH ROW EXECUTE FUNCTION audit_anchors_true();

CREATE FUNCTION audit_prune(before text, at_most bigint) RETURNS SETOF audit_anchors
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE kept bigint; first bigint; made audit_anchors;
BEGIN
  before := least(before, audit_cutoff());
  SELECT coalesce(max(seq), 0) INTO first FROM audit_anchors;
  SELECT seq INTO kept FROM audit_log AS entry
    WHERE entry.at BETWEEN before AND audit_time(clock_timestamp() + interval '1 day')
    ORDER BY seq LIMIT 1;
  SELECT entry.seq, entry.hash INTO made.seq, made.hash FROM audit_log AS entry
    WHERE entry.seq < coalesce(kept, 9223372036854775807) AND entry.seq <= first + at_most
    ORDER BY entry.seq DESC LIMIT 1;
  IF made.seq IS NULL THEN RETURN; END IF;
  SELECT max(entry.at) INTO made.last_at FROM audit_log AS entry
    WHERE entry.seq <= made.seq AND entry.at < before;
  IF made.last_at IS NULL THEN RETURN; END IF;
  made.pruned_at := audit_time(clock_timestamp());
  INSERT INTO audit_anchors (seq, hash, last_at, pruned_at)
    VALUES (made.seq, made.hash, made.last_at, made.pruned_at);
  DELETE FROM audit_log AS entry WHERE entry.seq <= made.seq;
  RETURN NEXT made;
END $$;

REVOKE ALL ON FUNCTION audit_prune(text, bigint) FROM PUBLIC;

CREATE INDEX audit_log_studies ON audit_log USING gin ((details::jsonb -> 'studies'))
  WHERE details IS NOT NULL;
"""
_POSTGRESQL_DOWN = f"""
DROP INDEX audit_log_studies;

DROP FUNCTION audit_prune(text, bigint);

DROP TRIGGER audit_log_present ON audit_log;

DROP FUNCTION audit_log_present();

DROP TRIGGER audit_anchors_true ON audit_anchors;

DROP FUNCTION audit_anchors_true();

CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    IF NOT (OLD.seq > (SELECT coalesce(max(seq), 0) FROM audit_anchors)) THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION '{_REFUSAL}';
END $$;

DROP FUNCTION audit_is_old(text);

DROP FUNCTION audit_cutoff();

DROP FUNCTION audit_time(timestamptz);
"""


def _sqlite_time(*modifiers: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', 'now'{''.join(f', {text}' for text in modifiers)})"


_DAYS = f"(SELECT coalesce(min(min_age_days), {_MIN_AGE_DAYS}) FROM audit_policy)"
_CUTOFF = _sqlite_time(f"'-' || {_DAYS} || ' days'")


def _sqlite_old(at: str) -> str:
    return f"({at} < {_CUTOFF} OR {at} > {_sqlite_time(chr(39) + '+1 day' + chr(39))})"


_SQLITE = [
    "DROP TRIGGER audit_log_no_delete",
    f"""CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
    WHEN OLD.seq > (SELECT coalesce(max(seq), 0) FROM audit_anchors) OR NOT {_sqlite_old("OLD.at")}
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_log_present BEFORE INSERT ON audit_log
    WHEN NEW.at NOT BETWEEN {_sqlite_time("'-1 hour'")} AND {_sqlite_time("'+1 hour'")}
    BEGIN SELECT RAISE(ABORT, '{_OTHER_TIME}'); END""",
    f"""CREATE TRIGGER audit_anchors_true BEFORE INSERT ON audit_anchors
    WHEN NEW.last_at IS NULL OR NEW.pruned_at IS NULL OR NEW.last_at >= {_CUTOFF}
      OR NOT EXISTS (SELECT 1 FROM audit_log AS entry WHERE entry.seq = NEW.seq
                     AND entry.hash = NEW.hash AND {_sqlite_old("entry.at")})
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
]
_SQLITE_DOWN = [
    "DROP TRIGGER audit_anchors_true",
    "DROP TRIGGER audit_log_present",
    "DROP TRIGGER audit_log_no_delete",
    f"""CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
    WHEN OLD.seq > (SELECT coalesce(max(seq), 0) FROM audit_anchors)
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
]


def upgrade() -> None:
    """Add columns, policy, shipments and guards; tombstones; and a row that proves writing."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("audit_log")}
    if "details" not in columns:  # a way back leaves them
        op.add_column("audit_log", sa.Column("details", sa.Text))
    op.add_column("audit_anchors", sa.Column("last_at", sa.CHAR(27)))
    op.add_column("audit_anchors", sa.Column("pruned_at", sa.CHAR(27)))
    op.create_table(
        "audit_policy",
        sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("min_age_days", sa.Integer, nullable=False),
        sa.CheckConstraint("number = 1 AND min_age_days >= 1", name="audit_policy_is_one"),
    )
    op.execute(f"INSERT INTO audit_policy (number, min_age_days) VALUES (1, {_MIN_AGE_DAYS})")
    op.add_column("sessions", sa.Column("sid", sa.String(255)))
    op.create_table(
        "deleted_studies",
        sa.Column("study_id", sa.CHAR(26), primary_key=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "heartbeats",
        sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO heartbeats (number, at_s) VALUES (1, 0)")
    op.create_table(
        "audit_shipments",
        sa.Column("target", sa.CHAR(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "audit_log_backups",
        "audit_log",
        ["seq"],
        sqlite_where=sa.text("action = 'backup'"),
        postgresql_where=sa.text("action = 'backup'"),
    )
    _run(_POSTGRESQL, _SQLITE)


def downgrade() -> None:
    """Remove them but the entries' details: their hashes would not be true without."""
    _run(_POSTGRESQL_DOWN, _SQLITE_DOWN)
    op.drop_index("audit_log_backups", "audit_log")
    op.drop_table("audit_shipments")
    op.drop_table("heartbeats")
    op.drop_table("deleted_studies")
    op.execute("ALTER TABLE sessions DROP COLUMN sid")
    op.drop_table("audit_policy")
    for column in ("pruned_at", "last_at"):
        op.execute(f"ALTER TABLE audit_anchors DROP COLUMN {column}")


def _run(postgresql: str, sqlite: list[str]) -> None:
    """PostgreSQL's statements are apart by an empty line."""
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in sqlite if is_sqlite else postgresql.strip().split("\n\n"):
        connection.exec_driver_sql(statement)
