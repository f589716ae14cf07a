"""Fills new columns of studies from what their results say, some rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

_ROWS_AT_ONCE = 500


def fill_from_results(columns: Sequence[str], read: Callable[[str], dict[str, Any]]) -> None:
    """Set `columns` of each study that has a result to what `read` says of its JSON, by column."""
    studies = sa.table(
        "studies", sa.column("id"), sa.column("result_json"), *map(sa.column, columns)
    )
    # A column cannot be a parameter's name in its own update.
    update = sa.update(studies).where(studies.c.id == sa.bindparam("row"))
    update = update.values({name: sa.bindparam(f"new_{name}") for name in columns})
    connection, after = op.get_bind(), ""
    while True:
        wanted = (
            sa.select(studies.c.id, studies.c.result_json)
            .where(studies.c.id > after)
            .order_by(studies.c.id)
            .limit(_ROWS_AT_ONCE)
        )
        found = connection.execute(wanted).all()
        if not found:
            return
        values = [
            {"row": row, **{f"new_{name}": value for name, value in read(text).items()}}
            for row, text in found
            if text
        ]
        if values:
            connection.execute(update, values)
        after = found[-1][0]
