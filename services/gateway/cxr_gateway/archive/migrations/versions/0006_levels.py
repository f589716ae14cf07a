"""Evidence levels in stored results; a score, and whether a person has looked, beside each study.

    finding   threshold, positive -> level, possible_threshold (the threshold), likely_threshold
              (twice the threshold, 1 at most); ordered by level, then probability
    triage    gains scores and thresholds, of which there are none, and the cause: what the rules
              of the time had decided on
    studies   gain a score and the worklist's columns; what is there already counts as opened, or
              an old archive would wait as one on top of the list
    table     triage_thresholds, empty

Until now strong evidence was twice the threshold, so what was strong is what is likely.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ROWS_AT_ONCE = 500
_LEVELS = ("likely", "possible", "unlikely")
# In the order of the classifier's outputs, in which equal probabilities stand.
_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
_IMMEDIATE = ("Pneumothorax", "Edema")
_SAME_DAY = (
    "Pneumonia",
    "Consolidation",
    "Effusion",
    "Mass",
    "Nodule",
    "Atelectasis",
    "Infiltration",
)
_MARKED = (
    "Pneumothorax",
    "Fracture",
    "Pneumonia",
    "Consolidation",
    "Effusion",
    "Mass",
    "Nodule",
    "Diffuse_Nodule",
)
_ORDER = (sa.text("urgency"), sa.text("score DESC"), sa.text("id DESC"))
Json = dict[str, Any]


def upgrade() -> None:
    """Carry what is stored into levels."""
    op.drop_index("studies_by_urgency", "studies")
    op.drop_index("studies_of_a_department", "studies")
    for column in (
        sa.Column("score", sa.Double, nullable=False, server_default="-1.0"),
        sa.Column("worklist_state", sa.String(8), nullable=False, server_default="new"),
        sa.Column("worklist_by", sa.String(255)),
        sa.Column("worklist_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("studies", column)
    op.execute("UPDATE studies SET worklist_state = 'opened'")
    # Images that were drawn before are not those of levels; they are made anew, and swept.
    op.execute("UPDATE studies SET revision = revision + 1")
    op.execute("UPDATE shadow_answers SET revision = revision + 1")
    op.create_index("studies_by_urgency", "studies", [*_ORDER])
    op.create_index("studies_of_a_department", "studies", ["department", *_ORDER])
    op.create_index("studies_by_worklist_state", "studies", ["worklist_state", "id"])
    op.create_index(
        "studies_of_a_department_by_state", "studies", ["department", "worklist_state", "id"]
    )
    op.create_table(
        "triage_thresholds",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model_sha256", sa.CHAR(64), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(200), nullable=False),
        sa.Column("urgent", sa.Double),
        sa.Column("soon", sa.Double),
        sa.Column("alert_budget", sa.Double, nullable=False),
        sa.Column("soon_budget", sa.Double, nullable=False),
        sa.Column("n_images", sa.Integer, nullable=False),
    )
    _rewrite("studies", "result_json", _study_up)
    _rewrite("shadow_answers", "answer_json", lambda answer: _with_findings(answer, _findings_up))


def downgrade() -> None:
    """Carry it back; scores, tuned thresholds, and who looked at what are lost."""
    _rewrite("shadow_answers", "answer_json", lambda answer: _with_findings(answer, _findings_down))
    _rewrite("studies", "result_json", _study_down)
    op.drop_table("triage_thresholds")
    for index in (
        "studies_of_a_department_by_state",
        "studies_by_worklist_state",
        "studies_of_a_department",
        "studies_by_urgency",
    ):
        op.drop_index(index, "studies")
    op.execute("UPDATE studies SET urgency = urgency - 5 WHERE urgency >= 5")
    for column in ("worklist_at", "worklist_by", "worklist_state", "score"):
        op.drop_column("studies", column)
    op.create_index("studies_by_urgency", "studies", ["urgency", sa.text("id DESC")])
    op.create_index(
        "studies_of_a_department", "studies", ["department", "urgency", sa.text("id DESC")]
    )


def _study_up(study: Json) -> Json:
    new = _with_findings(study, _findings_up)
    new["top_findings"] = new["findings"][:3]
    if study["triage"] is not None:
        new["triage"] = {
            "priority": study["triage"]["priority"],
            "score": None,
            "same_day_score": None,
            "urgent_threshold": None,
            "soon_threshold": None,
            "cause": _cause(study),
            "model": None,
            "reason": study["triage"]["reason"],
        }
    return new


def _study_down(study: Json) -> Json:
    old = _with_findings(study, _findings_down)
    old["top_findings"] = old["findings"][:3]
    if study["triage"] is not None:
        old["triage"] = {name: study["triage"][name] for name in ("priority", "reason")}
    return old


def _with_findings(value: Json, change: Callable[[list[Json]], list[Json]]) -> Json:
    return value | {"findings": change(value["findings"])}


def _findings_up(rows: list[Json]) -> list[Json]:
    new = [
        {
            "finding": row["finding"],
            "probability": row["probability"],
            "level": _level(row),
            "possible_threshold": row["threshold"],
            "likely_threshold": _likely(row),
        }
        for row in rows
    ]
    return sorted(new, key=lambda row: (_LEVELS.index(row["level"]), -row["probability"]))


def _findings_down(rows: list[Json]) -> list[Json]:
    old = [
        {
            "finding": row["finding"],
            "probability": row["probability"],
            "threshold": row["possible_threshold"],
            "positive": row["level"] != "unlikely",
        }
        for row in rows
    ]
    return sorted(old, key=lambda row: (-row["probability"], _FINDINGS.index(row["finding"])))


def _likely(row: Json) -> float:
    return min(1.0, 2.0 * float(row["threshold"]))


def _level(row: Json) -> str:
    if row["probability"] >= _likely(row):
        return "likely"
    return "possible" if row["positive"] else "unlikely"


def _cause(study: Json) -> Json | None:
    """What the rules of the time had decided on; None for routine, and for a missing answer."""
    findings, priority = study["findings"], study["triage"]["priority"]
    if priority == "routine":
        return None
    if not findings:
        wanted = ("Pneumothorax",) if priority == "urgent" else _MARKED
        return _box_cause(study, wanted)
    if priority == "urgent":
        return _finding_cause(findings, _IMMEDIATE, ("likely",))
    return (
        _finding_cause(findings, _SAME_DAY, ("likely",))
        or _finding_cause(findings, _IMMEDIATE, ("likely", "possible"))
        or _box_cause(study, _MARKED)
    )


def _finding_cause(rows: list[Json], names: Sequence[str], levels: tuple[str, ...]) -> Json | None:
    found = [row for row in rows if row["finding"] in names and _level(row) in levels]
    if not found:
        return None
    # The one that was furthest beyond its threshold spoke first.
    row = max(found, key=lambda row: row["probability"] - row["threshold"])
    return {
        "finding": row["finding"],
        "region": None,
        "value": row["probability"],
        "usual": None,
        "level": _level(row),
        "box": None,
    }


def _box_cause(study: Json, names: Sequence[str]) -> Json | None:
    for index, box in enumerate(study["boxes"]):
        if box["finding"] in names:
            same = "Nodule" if box["finding"] == "Diffuse_Nodule" else box["finding"]
            levels = {row["finding"]: _level(row) for row in study["findings"]}
            return {
                "finding": same if same in _FINDINGS else None,
                "region": box["finding"],
                "value": box["detector_score"],
                "usual": None,
                "level": levels.get(same),
                "box": index,
            }
    return None


def _rewrite(table: str, column: str, change: Callable[[Json], Json]) -> None:
    """Change a column of JSON texts, some rows at a time."""
    rows = sa.table(table, sa.column("id"), sa.column(column))
    connection, after = op.get_bind(), ""
    while True:
        wanted = (
            sa.select(rows.c.id, rows.c[column])
            .where(rows.c.id > after, rows.c[column].is_not(None))
            .order_by(rows.c.id)
            .limit(_ROWS_AT_ONCE)
        )
        found = connection.execute(wanted).all()
        if not found:
            return
        changed = [{"row": row, "text": _text(change(json.loads(text)))} for row, text in found]
        update = sa.update(rows).where(rows.c.id == sa.bindparam("row"))
        connection.execute(update.values({column: sa.bindparam("text")}), changed)
        after = found[-1][0]


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
