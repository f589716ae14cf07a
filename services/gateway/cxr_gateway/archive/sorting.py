"""The list of studies in an order that a client names, a page at a time.

The reading order, which is the usual one, is `Archive.page`'s own: it has a cursor of two parts.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import ColumnElement, Double, Select, and_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.orm import Session

from cxr_contracts import Finding
from cxr_gateway.archive.models import Cursor
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.core.ids import is_study_id
from cxr_serving.errors import BadRequest

_Value = str | float | None
_NOT_OURS = "`cursor` is not a `next_cursor` of this list in this `sort`."


class SortKey(StrEnum):
    """By what studies can be sorted, beside the reading order."""

    RECEIVED_AT = "received_at"
    STUDY_DATE = "study_date"
    PATIENT_ID = "patient_id"
    ACCESSION_NUMBER = "accession_number"
    STATUS = "status"
    SOURCE = "source"
    PROBABILITY = "probability"  # of one finding


@dataclass(frozen=True)
class Sorting:
    """An order: by what, and whether the highest comes first.

    Equals follow in the order in which they came, or the reverse where that is descending. What
    has no value comes last either way. `finding` is whose probability; None for other keys.
    """

    key: SortKey
    descending: bool
    finding: Finding | None = None

    def __str__(self) -> str:
        of = f":{self.finding.value}" if self.finding else ""
        return f"{'-' if self.descending else ''}{self.key.value}{of}"


@dataclass(frozen=True)
class SortCursor:
    """Where a page of a sorted list ended.

    Attributes:
        sorting: of the list, as text; that of another list is refused.
        value: by which the last study was sorted; a moment in ISO 8601.
        id: its id.
    """

    sorting: str
    value: _Value
    id: str

    @classmethod
    def parse(cls, text: str, sorting: Sorting) -> Self:
        """The cursor that `str` made of a list in this order; BadRequest for anything else."""
        try:
            named, value, study_id = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        except (ValueError, TypeError, RecursionError):
            raise BadRequest(_NOT_OURS) from None
        fits = named == str(sorting) and isinstance(study_id, str) and is_study_id(study_id)
        if not (fits and _is_value(value, sorting.key)):
            raise BadRequest(_NOT_OURS)
        return cls(named, value, study_id)

    def __str__(self) -> str:
        packed = json.dumps([self.sorting, self.value, self.id], separators=(",", ":"))
        return base64.urlsafe_b64encode(packed.encode()).decode()


def parse_cursor(text: str, sorting: Sorting | None) -> Cursor | SortCursor:
    """The cursor of a list in this order, None being the reading order; BadRequest otherwise."""
    return Cursor.parse(text) if sorting is None else SortCursor.parse(text, sorting)


def sorted_page(
    session: Session,
    wanted: Select[StudyRow],
    sorting: Sorting,
    limit: int,
    after: SortCursor | None,
) -> tuple[Sequence[StudyRow], str | None]:
    """Up to `limit` rows, and the cursor to go on with; None on the last page."""
    value = _expression(sorting, session.get_bind().dialect.name)
    way = _descending if sorting.descending else _ascending
    ordered = wanted.add_columns(value).order_by(value.is_(None), way(value), way(StudyRow.id))
    if after is not None:
        ordered = ordered.where(_behind(value, sorting, after))
    found = session.execute(ordered.limit(limit + 1)).all()
    rows = [row for row, _ in found[:limit]]
    if len(found) <= limit:
        return rows, None
    last, last_value = found[limit - 1]
    return rows, str(SortCursor(str(sorting), _as_text(last_value), last.id))


def _ascending(value: Any) -> Any:
    return value.asc()


def _descending(value: Any) -> Any:
    return value.desc()


def _behind(value: Any, sorting: Sorting, after: SortCursor) -> ColumnElement[bool]:
    """Whether a row comes after the cursor's."""
    same_id = StudyRow.id < after.id if sorting.descending else StudyRow.id > after.id
    if after.value is None:
        return and_(value.is_(None), same_id)
    is_moment = sorting.key is SortKey.RECEIVED_AT
    last = datetime.fromisoformat(str(after.value)) if is_moment else after.value
    further = value < last if sorting.descending else value > last
    return or_(further, and_(value == last, same_id), value.is_(None))


def _expression(sorting: Sorting, dialect: str) -> Any:
    """What a row is sorted by."""
    if sorting.key is not SortKey.PROBABILITY:
        return getattr(StudyRow, sorting.key.value)
    name = sorting.finding.value if sorting.finding else ""
    if dialect == "postgresql":
        path = cast(f'$.findings[*] ? (@.finding == "{name}").probability', JSONPATH)
        found = func.jsonb_path_query_first(cast(StudyRow.result_json, JSONB), path, type_=JSONB)
        return cast(found, Double)
    each = func.json_each(StudyRow.result_json, "$.findings").table_valued("value")
    return (
        select(func.json_extract(each.c.value, "$.probability", type_=Double))
        .where(func.json_extract(each.c.value, "$.finding") == name)
        .limit(1)
        .scalar_subquery()
    )


def _as_text(value: Any) -> _Value:
    if not isinstance(value, datetime):
        return value  # type: ignore[no-any-return]
    # SQLite keeps no zone; all are UTC.
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _is_value(value: object, key: SortKey) -> bool:
    """Whether a list by this key can have ended at it; the database takes no other text."""
    if key is SortKey.PROBABILITY:
        return isinstance(value, float) and 0 <= value <= 1
    if value is None:
        return key in (SortKey.STUDY_DATE, SortKey.PATIENT_ID, SortKey.ACCESSION_NUMBER)
    if key is SortKey.RECEIVED_AT:
        return isinstance(value, str) and _is_moment(value)
    return isinstance(value, str) and re.search("[\0\ud800-\udfff]", value) is None


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
