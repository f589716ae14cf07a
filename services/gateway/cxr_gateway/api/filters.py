"""The query of the list of studies: which ones are asked for, and in which order."""

from datetime import UTC, date, datetime
from typing import Annotated, get_type_hints

from fastapi import Depends, Query

from cxr_contracts import Finding, Level
from cxr_gateway.archive import Sorting, SortKey, StudyFilter
from cxr_gateway.core.schemas import ImageSource, Priority, StudyStatus, WorklistState
from cxr_serving.errors import Unprocessable

_MAX_CHARS = 200
_MAX_CHARS_OF_CURSOR = 5000  # one that holds the longest number of a patient
_READING = "reading"
_KEYS = ", ".join(f"`{key.value}`" for key in SortKey)
_REPEAT = "Only these; repeat for several."


def study_filter(  # one parameter for each of the query's
    *,
    status: Annotated[list[StudyStatus] | None, Query(description=_REPEAT)] = None,
    priority: Annotated[list[Priority] | None, Query(description=_REPEAT)] = None,
    worklist: Annotated[list[WorklistState] | None, Query(description=_REPEAT)] = None,
    source: Annotated[list[ImageSource] | None, Query(description=_REPEAT)] = None,
    patient_id: Annotated[
        str | None, Query(max_length=_MAX_CHARS, description="Exactly this.")
    ] = None,
    accession_number: Annotated[
        str | None, Query(max_length=_MAX_CHARS, description="Exactly this.")
    ] = None,
    study_date_from: Annotated[date | None, Query(description="This day or later.")] = None,
    study_date_to: Annotated[date | None, Query(description="This day or earlier.")] = None,
    received_since: Annotated[
        datetime | None, Query(description="Then or later; UTC where it names no zone.")
    ] = None,
    finding: Annotated[
        Finding | None, Query(description="Likely or possible, or of `level` alone.")
    ] = None,
    level: Annotated[Level | None, Query(description="Of `finding`; likely or possible.")] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=_MAX_CHARS,
            description="Words that must all occur among the patient's names, numbers and dates, "
            "the file's name, view, source, priority, and findings that are likely or possible.",
        ),
    ] = None,
) -> StudyFilter:
    """What is asked for.

    Raises:
        Unprocessable: a level without its finding, or the level of what is not listed.
    """
    if level is not None and (finding is None or level is Level.UNLIKELY):
        raise Unprocessable("`level` is likely or possible, and goes with a `finding`.")
    if received_since is not None and received_since.tzinfo is None:
        received_since = received_since.replace(tzinfo=UTC)
    return StudyFilter(
        statuses=status or (),
        priorities=priority or (),
        worklist=worklist or (),
        sources=source or (),
        patient_id=patient_id,
        accession_number=accession_number,
        first_date=study_date_from,
        last_date=study_date_to,
        received_since=received_since,
        finding=finding,
        level=level,
        text=q,
    )


FILTERS = tuple(name for name in get_type_hints(study_filter) if name != "return")
StudyFilterDep = Annotated[StudyFilter, Depends(study_filter)]


def study_sorting(
    asked: StudyFilterDep,
    sort: Annotated[
        str,
        Query(
            pattern=rf"^({_READING}|-?({'|'.join(SortKey)}))$",
            description=f"`{_READING}`, or by {_KEYS}; with `-` before it the highest or last "
            "comes first. What has no value comes last either way. `probability` is that of "
            "`finding`, which goes with it.",
            examples=["-received_at"],
        ),
    ] = _READING,
) -> Sorting | None:
    """The order that is asked for; None is the reading order.

    Raises:
        Unprocessable: by a probability, without the finding whose it is.
    """
    if sort == _READING:
        return None
    key = SortKey(sort.removeprefix("-"))
    is_probability = key is SortKey.PROBABILITY
    if is_probability and asked.finding is None:
        raise Unprocessable("`sort` by `probability` goes with a `finding`.")
    return Sorting(key, sort.startswith("-"), asked.finding if is_probability else None)


StudySortingDep = Annotated[Sorting | None, Depends(study_sorting)]
ListCursor = Annotated[
    str | None,
    Query(
        max_length=_MAX_CHARS_OF_CURSOR,
        description="`next_cursor` of the page before, of the same `sort`.",
    ),
]
