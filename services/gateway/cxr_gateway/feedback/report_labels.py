"""Labels of signed reports, from a table that the hospital exports, compared with the classifier.

One line a report: which study, when it was signed, and a column for each finding with 1 (the report
says that it is there), 0 (that it is not), -1 (it is not sure) or nothing (it does not say). Only 1
and 0 are kept. A line that cannot be used is refused with its number and the reason; the others
are kept.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from cxr_contracts import Finding, Level
from cxr_gateway.archive import Archive
from cxr_gateway.archive.report_labels import (
    IDENTIFIERS,
    Candidate,
    ReportLabel,
    named,
    put_report_labels,
)
from cxr_gateway.core.errors import BadInput
from cxr_gateway.core.schemas import Study
from cxr_gateway.feedback.agreement import wilson
from cxr_gateway.feedback.schemas import ReportShare

SIGNED = "signed"
_KEPT = {"1": True, "0": False}
_PASSED_OVER = ("", "-1")
_DECIMALS = 4
# A clock, and a time zone, may be ahead of this one.
_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class Refusal:
    """A line that was not used."""

    line: int
    reason: str


@dataclass(frozen=True)
class Imported:
    """What became of a table."""

    reports: int
    labels: int
    refused: list[Refusal]


@dataclass(frozen=True)
class _Row:
    identifier: str
    value: str
    signed_on: str
    present: dict[Finding, bool]


class _Refused(Exception):
    """A line cannot be used; the message says why."""


async def import_labels(
    archive: Archive, lines: Iterable[str], department: str | None, now: datetime
) -> Imported:
    """Keep the labels of a table; a study's labels replace those that it had.

    Args:
        archive: whose studies are meant.
        lines: of the CSV file.
        department: whose studies may be named; None for all.
        now: the time of the import.

    Raises:
        BadInput: the first line names no column by which a study is found, or none of a finding,
            or the table is none. Nothing is kept.
    """
    kept: dict[str, list[ReportLabel]] = {}
    refused: list[Refusal] = []
    seen: dict[str, int] = {}
    for line, fields in _rows(lines):
        try:
            row = _row(fields, now.date())
            query = partial(
                named, identifier=row.identifier, value=row.value, department=department
            )
            study, revision = _only(await archive.query(query), row)
            if study.id in seen:
                raise _Refused(f"line {seen[study.id]} has labelled the same study")
            kept[study.id] = _labels(study, revision, row, now)
            seen[study.id] = line
        except _Refused as refusal:
            refused.append(Refusal(line, str(refusal)))
    labels = [label for some in kept.values() for label in some]
    await archive.query(partial(put_report_labels, labels=labels))
    return Imported(len(kept), len(labels), refused)


def shares_of(labels: Iterable[ReportLabel]) -> list[ReportShare]:
    """How reports and the classifier agree, by finding; the most often said by either first."""
    counts: defaultdict[Finding, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for label in labels:
        by_model = label.level == Level.LIKELY.value
        counts[Finding(label.finding)][2 * label.present + by_model] += 1
    found = []
    for finding, (neither, model_only, report_only, both) in counts.items():
        n = neither + model_only + report_only + both
        low, high = wilson(neither + both, n)
        found.append(
            ReportShare(
                finding=finding,
                reports=n,
                both=both,
                report_only=report_only,
                model_only=model_only,
                neither=neither,
                share=round((neither + both) / n, _DECIMALS),
                low=round(low, _DECIMALS),
                high=round(high, _DECIMALS),
            )
        )
    return sorted(found, key=lambda one: -(one.reports - one.neither))


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str | None, str | None]]]:
    """The fields of each line below the first, by column, with the number of the line."""
    reader: csv.DictReader[str] = csv.DictReader(lines, strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        known = {SIGNED, *IDENTIFIERS, *(finding.value for finding in Finding)}
        if len(set(columns)) < len(columns):
            raise BadInput("two columns have one name")
        if strange := [column for column in columns if column not in known]:
            raise BadInput(f"unknown columns: {', '.join(strange)}")
        if SIGNED not in columns or not set(columns) & set(IDENTIFIERS):
            names = ", ".join(IDENTIFIERS)
            raise BadInput(f"the first line has to name {SIGNED}, and one of {names}")
        if not set(columns) - {SIGNED, *IDENTIFIERS}:
            raise BadInput("the first line names no finding")
        for fields in reader:
            yield reader.line_num, fields
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"after line {reader.line_num}: no CSV table in UTF-8: {error}") from error


def _row(fields: Mapping[str | None, str | None], today: date) -> _Row:
    if None in fields or None in fields.values():
        raise _Refused("it has another number of fields than the first line")
    said = {name: value.strip() for name, value in fields.items() if name and value is not None}
    identifier = next((name for name in IDENTIFIERS if said.get(name)), None)
    if identifier is None:
        raise _Refused("it names no study")
    try:
        signed = date.fromisoformat(said[SIGNED])
    except ValueError:
        raise _Refused(f"{SIGNED} is no date like 2026-05-31") from None
    if signed > today + _TOLERANCE:
        raise _Refused(f"{SIGNED} is in the future")
    present = {}
    for finding in Finding:
        value = said.get(finding.value, "")
        if value in _KEPT:
            present[finding] = _KEPT[value]
        elif value not in _PASSED_OVER:
            raise _Refused(f"{finding.value} is none of 1, 0, -1 and nothing")
    if not present:
        raise _Refused("it says nothing of any finding")
    return _Row(identifier, said[identifier], signed.isoformat(), present)


def _only(candidates: list[Candidate], row: _Row) -> tuple[Study, int]:
    """The one study that the classifier answered for."""
    if not candidates:
        raise _Refused(f"no study has this {row.identifier}")
    studies = [(Study.model_validate_json(one.result_json), one.revision) for one in candidates]
    answered = [(study, revision) for study, revision in studies if study.findings]
    if not answered:
        raise _Refused("the classifier has not answered for this study")
    if len(answered) > 1:
        raise _Refused(f"{len(answered)} analysed studies have this {row.identifier}")
    return answered[0]


def _labels(study: Study, revision: int, row: _Row, now: datetime) -> list[ReportLabel]:
    levels = {one.finding: one.level for one in study.findings}
    if unknown := [finding.value for finding in row.present if finding not in levels]:
        raise _Refused(f"the study's classifier does not know {', '.join(unknown)}")
    return [
        ReportLabel(
            study_id=study.id,
            finding=finding.value,
            present=present,
            level=levels[finding].value,
            revision=revision,
            signed_on=row.signed_on,
            imported_at=now.astimezone(UTC),
        )
        for finding, present in row.present.items()
    ]
