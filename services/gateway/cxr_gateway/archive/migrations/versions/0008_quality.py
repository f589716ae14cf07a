"""Studies of before image quality and stored pixels were kept say that they are not known.

study         gains quality, null
study.image   gains stored, null
"""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ROWS_AT_ONCE = 500
Json = dict[str, Any]


def upgrade() -> None:
    """Add what is null."""
    _rewrite(_up)


def downgrade() -> None:
    """Take it away, with what was measured since."""
    _rewrite(_down)


def _up(study: Json) -> Json:
    new: Json = {}
    for name, value in study.items():
        new[name] = value
        if name == "image":  # the result reads as one that is written today
            new["image"] = value | {"stored": None}
            new["quality"] = None
    return new


def _down(study: Json) -> Json:
    image = {name: value for name, value in study["image"].items() if name != "stored"}
    return {name: value for name, value in study.items() if name != "quality"} | {"image": image}


def _rewrite(change: Callable[[Json], Json]) -> None:
    """Change every study's result, some rows at a time."""
    studies = sa.table("studies", sa.column("id"), sa.column("result_json"))
    connection, after = op.get_bind(), ""
    while True:
        wanted = (
            sa.select(studies.c.id, studies.c.result_json)
            .where(studies.c.id > after, studies.c.result_json.is_not(None))
            .order_by(studies.c.id)
            .limit(_ROWS_AT_ONCE)
        )
        found = connection.execute(wanted).all()
        if not found:
            return
        changed = [
            {
                "row": row,
                "text": json.dumps(
                    change(json.loads(text)), ensure_ascii=False, separators=(",", ":")
                ),
            }
            for row, text in found
        ]
        update = sa.update(studies).where(studies.c.id == sa.bindparam("row"))
        connection.execute(update.values(result_json=sa.bindparam("text")), changed)
        after = found[-1][0]
