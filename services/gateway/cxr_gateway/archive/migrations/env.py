"""What Alembic runs around the revisions: in the transaction that `archive/schema.py` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
