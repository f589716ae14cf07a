"""Stored results, roles and columns in the names of the API of 0.2.

    study     gate -> ood, joining -> rescoring, problems' part -> service, model role gate -> ood
    box       score is the number shown, detector_score the detector's own; joined_score goes
    key       role reader -> viewer, also of sessions
    image     gains notes, of which there are none
    column    study_statistics.gate_sha256 -> ood_sha256; shadow_answers.shown_* -> current_*

A result from before boxes were rescored has neither `joining` nor `joined_score`: it gets what says
that it was not. Entries of the audit log are never changed, so theirs keep the old operation ids.
"""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = {
    "study_statistics": {"gate_sha256": "ood_sha256"},
    "shadow_answers": {
        "shown_sha256": "current_sha256",
        "shown_ms": "current_ms",
        "shown_priority": "current_priority",
        "shown_boxes": "current_boxes",
    },
}
_ROWS_AT_ONCE = 500
Json = dict[str, Any]


def upgrade() -> None:
    """Carry what is stored into the new names."""
    for table, columns in _COLUMNS.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    _rewrite("studies", "id", "result_json", _study_up)
    _rewrite("shadow_answers", "id", "answer_json", lambda answer: _with_boxes(answer, _box_up))
    for table, key in (("api_keys", "id"), ("sessions", "token_sha256")):
        _rename_role(table, key, "reader", "viewer")


def downgrade() -> None:
    """Carry it back."""
    for table, key in (("api_keys", "id"), ("sessions", "token_sha256")):
        _rename_role(table, key, "viewer", "reader")
    _rewrite("shadow_answers", "id", "answer_json", lambda answer: _with_boxes(answer, _box_down))
    _rewrite("studies", "id", "result_json", _study_down)
    for table, columns in _COLUMNS.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")


def _study_up(study: Json) -> Json:
    # Keys keep their places, so a result reads as one that is written today.
    names = {"gate": "ood", "joining": "rescoring"}
    new = {names.get(name, name): value for name, value in study.items()}
    new.setdefault("rescoring", None)
    new["image"] = study["image"] | {"notes": []}
    new["boxes"] = [_box_up(box) for box in study["boxes"]]
    new["models"] = [_renamed_value(model, "role", "gate", "ood") for model in study["models"]]
    new["timings_ms"] = _renamed(study["timings_ms"], "gate", "ood")
    new["problems"] = [_renamed(problem, "part", "service") for problem in study["problems"]]
    if study["triage"] is not None:
        reason = study["triage"]["reason"].replace("with a joined score of", "with a score of")
        new["triage"] = study["triage"] | {"reason": reason}
    return new


def _study_down(study: Json) -> Json:
    names = {"ood": "gate", "rescoring": "joining"}
    old = {names.get(name, name): value for name, value in study.items()}
    joined = study["rescoring"] is not None
    old["image"] = {name: value for name, value in study["image"].items() if name != "notes"}
    old["boxes"] = [_box_down(box, joined=joined) for box in study["boxes"]]
    old["models"] = [_renamed_value(model, "role", "ood", "gate") for model in study["models"]]
    old["timings_ms"] = _renamed(study["timings_ms"], "ood", "gate")
    old["problems"] = [_renamed(problem, "service", "part") for problem in study["problems"]]
    return old


def _box_up(box: Json) -> Json:
    joined, own = box.get("joined_score"), box["score"]
    rest = {
        name: value
        for name, value in box.items()
        if name not in ("finding", "joined_score", "score")
    }
    score = own if joined is None else joined
    return {"finding": box["finding"], "score": score, "detector_score": own, **rest}


def _box_down(box: Json, *, joined: bool | None = None) -> Json:
    rest = {
        name: value
        for name, value in box.items()
        if name not in ("finding", "score", "detector_score")
    }
    if joined is None:  # a shadow's answer does not say whether its boxes were rescored
        joined = box["score"] != box["detector_score"]
    score = box["score"] if joined else None
    return {
        "finding": box["finding"],
        "joined_score": score,
        "score": box["detector_score"],
        **rest,
    }


def _with_boxes(answer: Json, change: Callable[[Json], Json]) -> Json:
    return answer | {"boxes": [change(box) for box in answer["boxes"]]}


def _renamed(value: Json, old: str, new: str) -> Json:
    return {new if name == old else name: item for name, item in value.items()}


def _renamed_value(value: Json, name: str, old: str, new: str) -> Json:
    return value | {name: new} if value[name] == old else value


def _rewrite(table: str, key: str, column: str, change: Callable[[Json], Json]) -> None:
    """Change a column of JSON texts, some rows at a time."""
    rows = sa.table(table, sa.column(key), sa.column(column))
    connection, after = op.get_bind(), ""
    while True:
        wanted = (
            sa.select(rows.c[key], rows.c[column])
            .where(rows.c[key] > after, rows.c[column].is_not(None))
            .order_by(rows.c[key])
            .limit(_ROWS_AT_ONCE)
        )
        found = connection.execute(wanted).all()
        if not found:
            return
        changed = [{"row": row, "text": _text(change(json.loads(text)))} for row, text in found]
        update = sa.update(rows).where(rows.c[key] == sa.bindparam("row"))
        connection.execute(update.values({column: sa.bindparam("text")}), changed)
        after = found[-1][0]


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rename_role(table: str, key: str, old: str, new: str) -> None:
    rows = sa.table(table, sa.column(key), sa.column("roles"))
    connection = op.get_bind()
    for row, roles in connection.execute(sa.select(rows.c[key], rows.c.roles)).all():
        # In their order, as `core.tokens.roles_text` writes them.
        names = " ".join(sorted(new if name == old else name for name in roles.split()))
        if names != roles:
            update = sa.update(rows).where(rows.c[key] == row)
            connection.execute(update.values(roles=names))
