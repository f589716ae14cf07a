"""Read first, then reveal: a reader's opinion before the models' answers, kept beside them."""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from cxr_contracts import Finding, Level
from cxr_gateway.archive import Archive
from cxr_gateway.archive.first_reads import FirstReadRecord, add_first_read, first_reads_of
from cxr_gateway.feedback.agreement import wilson
from cxr_gateway.feedback.schemas import (
    FirstRead,
    FirstReadChange,
    FirstReads,
    FirstReadShare,
    ShownFinding,
)
from cxr_serving.errors import Unprocessable

_DECIMALS = 4


class FirstOpinions:
    """Of an archive's studies. A study of another department is like one that is not there."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def of(self, study_id: str, department: str | None, reader: str) -> FirstReads:
        """What was said of a study: nothing of others to whoever has not said anything.

        Raises:
            NotFound: no such study.
        """
        stored = await self._archive.get(study_id, department)
        records = await self._archive.query(lambda session: first_reads_of(session, stored.id))
        given = any(record.made_by == reader for record in records)
        return FirstReads(
            study_id=stored.id,
            given=given,
            reads=[_told(record, reader) for record in records] if given else [],
        )

    async def put(
        self, study_id: str, department: str | None, change: FirstReadChange, by: str
    ) -> FirstReads:
        """Keep a reader's first opinion, with what the models say at that moment.

        Raises:
            NotFound: no such study.
            Unprocessable: a finding that the study's classifier does not know.
            Conflict: the reader has given another one.
        """
        stored = await self._archive.get(study_id, department)
        known = {one.finding for one in stored.study.findings} or set(Finding)
        for finding in change.findings:
            if finding not in known:
                raise Unprocessable(f"{finding.value} is no finding of this study's classifier.")
        shown = [
            ShownFinding(finding=one.finding, level=one.level, probability=one.probability)
            for one in stored.study.findings
        ]
        record = FirstReadRecord(
            study_id=stored.id,
            made_by=by,
            made_at=datetime.now(UTC),
            revision=stored.revision,
            findings_json=json.dumps(sorted({finding.value for finding in change.findings})),
            comment=change.comment.strip(),
            shown_json=json.dumps([one.model_dump(mode="json") for one in shown]),
        )
        await self._archive.query(partial(add_first_read, record=record))
        return await self.of(study_id, department, by)


def said(record: FirstReadRecord) -> list[Finding]:
    """The findings that the reader saw."""
    return [Finding(name) for name in json.loads(record.findings_json)]


def shown(record: FirstReadRecord) -> list[ShownFinding]:
    """What the models said at that moment; nothing where no classifier answered."""
    return [ShownFinding.model_validate(one) for one in json.loads(record.shown_json)]


def shares_of(records: Iterable[FirstReadRecord]) -> list[FirstReadShare]:
    """How first opinions and models' agree, by finding; the most often seen by anybody first."""
    counts: defaultdict[Finding, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for record in records:
        seen = set(said(record))
        for one in shown(record):
            by_model = one.level is Level.LIKELY
            counts[one.finding][2 * (one.finding in seen) + by_model] += 1
    found = []
    for finding, (neither, model_only, reader_only, both) in counts.items():
        n = neither + model_only + reader_only + both
        low, high = wilson(neither + both, n)
        found.append(
            FirstReadShare(
                finding=finding,
                read=n,
                both=both,
                reader_only=reader_only,
                model_only=model_only,
                neither=neither,
                share=round((neither + both) / n, _DECIMALS),
                low=round(low, _DECIMALS),
                high=round(high, _DECIMALS),
            )
        )
    return sorted(found, key=lambda one: -(one.read - one.neither))


def _told(record: FirstReadRecord, reader: str) -> FirstRead:
    return FirstRead(
        by=record.made_by,
        mine=record.made_by == reader,
        at=record.made_at,
        revision=record.revision,
        findings=said(record),
        comment=record.comment,
        shown=shown(record),
    )
