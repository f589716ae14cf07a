"""Who may come in: API keys, sessions, sign-ins; each study and Idempotency-Key has a department.

What is there already is of no department, and seen by those who see all.
"""

import sqlalchemy as sa
from alembic import op

from cxr_gateway.core.errors import SchemaMismatch

revision = "0003"
down_revision = "0002"

# SQLite gave the uniqueness of 0001 no name; PostgreSQL gave it this one.
_NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}
_UNIQUE_OF_0001 = "studies_content_sha256_key"
_UNIQUE = "studies_once_in_a_department"


def _department() -> sa.Column[str]:
    return sa.Column("department", sa.String(64), nullable=False, server_default="")


def upgrade() -> None:
    """Make the tables; a radiograph is kept once in each department instead of once."""
    _make_tables()
    op.drop_index("studies_by_urgency", "studies")
    with op.batch_alter_table("studies", naming_convention=_NAMES) as studies:
        studies.add_column(_department())
        studies.drop_constraint(_UNIQUE_OF_0001, type_="unique")
        studies.create_unique_constraint(_UNIQUE, ["department", "content_sha256"])
    op.create_index("studies_by_urgency", "studies", ["urgency", sa.text("id DESC")])
    op.create_index(
        "studies_of_a_department", "studies", ["department", "urgency", sa.text("id DESC")]
    )
    _remake_keys([_department()], "SELECT '', key, content_sha256, study_id FROM old_keys")


def downgrade() -> None:
    """Remove them; SchemaMismatch where that would leave a radiograph twice."""
    query = "SELECT count(*) - count(DISTINCT content_sha256) FROM studies"
    if twice := op.get_bind().scalar(sa.text(query)):
        raise SchemaMismatch(
            f"{twice} radiographs are in several departments, and an older schema keeps each once; "
            "restore a backup of that schema instead."
        )
    op.drop_index("studies_by_urgency", "studies")
    op.drop_index("studies_of_a_department", "studies")
    with op.batch_alter_table("studies", naming_convention=_NAMES) as studies:
        studies.drop_constraint(_UNIQUE, type_="unique")
        studies.drop_column("department")
        studies.create_unique_constraint(_UNIQUE_OF_0001, ["content_sha256"])
    op.create_index("studies_by_urgency", "studies", ["urgency", sa.text("id DESC")])
    # Of a key that several departments used, one use is left: it guards against a repetition.
    _remake_keys(
        [],
        "SELECT key, content_sha256, study_id FROM old_keys AS this WHERE NOT EXISTS (SELECT 1 "
        "FROM old_keys AS that WHERE that.key = this.key AND that.department < this.department)",
    )
    for table in ("sign_ins", "sessions", "api_keys"):
        op.drop_table(table)


def _remake_keys(first: list[sa.Column[str]], rows: str) -> None:
    """Make the table of keys anew, its primary key `first` and the key, with `rows` of the old."""
    op.rename_table("idempotency_keys", "old_keys")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX idempotency_keys_pkey RENAME TO old_keys_pkey")
    op.create_table(
        "idempotency_keys",
        *first,
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("content_sha256", sa.CHAR(64), nullable=False),
        sa.Column("study_id", sa.CHAR(26), sa.ForeignKey("studies.id"), nullable=False),
        sa.PrimaryKeyConstraint(*(column.name for column in first), "key"),
    )
    op.execute(f"INSERT INTO idempotency_keys {rows}")
    op.drop_table("old_keys")


def _make_tables() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.CHAR(12), primary_key=True),
        sa.Column("secret_sha256", sa.CHAR(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("roles", sa.String(100), nullable=False),
        sa.Column("department", sa.String(64)),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment),
        sa.Column("revoked_at", moment),
        sa.Column("last_used_at", moment),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.CHAR(64), primary_key=True),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("roles", sa.String(100), nullable=False),
        sa.Column("department", sa.String(64)),
        sa.Column("id_token", sa.Text, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
    )
    op.create_index("sessions_by_expiry", "sessions", ["expires_at"])
    op.create_table(
        "sign_ins",
        sa.Column("state_sha256", sa.CHAR(64), primary_key=True),
        sa.Column("browser_sha256", sa.CHAR(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("return_to", sa.String(200), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
    )
    op.create_index("sign_ins_by_expiry", "sign_ins", ["expires_at"])
