"""A shadow's answers beside the shown ones, counted over the studies that both have read."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr_contracts import Finding, ModelIdentity
from cxr_gateway.archive.observed_tables import ShadowAnswerRow
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.core.schemas import Priority
from cxr_gateway.shadow.schemas import (
    FailureCount,
    FindingAgreement,
    Latency,
    PriorityChange,
    RoleName,
    ShadowReport,
)

# The latest so many: what a report needs, and what a gateway counts in about a second.
LATEST = 10_000
_ROWS_AT_ONCE = 500


def shadow_report(
    session: Session, role: RoleName, pair: tuple[str, str] | None = None
) -> ShadowReport | None:
    """The report of a role, or None if nothing is recorded.

    Args:
        session: on the archive's database.
        role: whose.
        pair: sha256 of the shadow and of the model that answered; None: the latest recorded.
    """
    pair = pair or _latest_pair(session, role)
    if pair is None:
        return None
    films = _Films()
    row = ShadowAnswerRow
    wanted = (
        select(row, StudyRow.result_json)
        .join(StudyRow, (StudyRow.id == row.study_id) & (StudyRow.revision == row.revision))
        .where(row.role == role, row.model_sha256 == pair[0], row.current_sha256 == pair[1])
        .order_by(row.id.desc())
        .limit(LATEST)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for answer, result_json in session.execute(wanted):
        films.add(answer, result_json)
    return films.report(role, pair[1])


def _latest_pair(session: Session, role: str) -> tuple[str, str] | None:
    latest = (
        select(ShadowAnswerRow.model_sha256, ShadowAnswerRow.current_sha256)
        .where(ShadowAnswerRow.role == role)
        .order_by(ShadowAnswerRow.id.desc())
        .limit(1)
    )
    row = session.execute(latest).first()
    return None if row is None else (row.model_sha256, row.current_sha256)


class _Films:
    """What is counted while the rows come, the latest first."""

    def __init__(self) -> None:
        self._model: ModelIdentity | None = None
        self._times: list[datetime] = []
        self._failures: Counter[str] = Counter()
        self._priorities: Counter[tuple[str, str]] = Counter()
        self._boxes: list[tuple[int, int]] = []
        self._shown_ms: list[float] = []
        self._shadow_ms: list[float] = []
        self._verdicts: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
        self._differences: dict[str, float] = defaultdict(float)

    def add(self, row: ShadowAnswerRow, result_json: str) -> None:
        """Count one film, whose study is `result_json`."""
        if self._model is None:
            self._model = ModelIdentity(
                name=row.model_name, version=row.model_version, sha256=row.model_sha256
            )
        self._times.append(row.recorded_at)
        if row.error is not None:
            self._failures[row.error] += 1
        if row.answer_json is None or row.priority is None or row.boxes is None:
            return
        self._priorities[row.shown_priority, row.priority] += 1
        self._boxes.append((row.shown_boxes, row.boxes))
        self._shadow_ms.append(row.duration_ms)
        if row.shown_ms is not None:
            self._shown_ms.append(row.shown_ms)
        if row.role == "classifier":
            self._compare(_by_finding(result_json), _by_finding(row.answer_json))

    def report(self, role: RoleName, current_sha256: str) -> ShadowReport | None:
        """What was counted; None without any film."""
        if self._model is None:
            return None
        changes = [
            PriorityChange(shown=shown, shadow=shadow, studies=self._priorities[shown, shadow])
            for shown in Priority
            for shadow in Priority
            if self._priorities[shown, shadow]
        ]
        return ShadowReport(
            role=role,
            shadow=self._model,
            current_sha256=current_sha256,
            first_at=_in_utc(min(self._times)),
            last_at=_in_utc(max(self._times)),
            recorded=len(self._times),
            answered=len(self._boxes),
            failures=[
                FailureCount(kind=kind, studies=n) for kind, n in self._failures.most_common()
            ],
            findings=[self._agreement(one) for one in Finding if self._verdicts[one.value]],
            priorities=changes,
            priority_changes=sum(one.studies for one in changes if one.shown != one.shadow),
            boxes_per_image_current=_mean(shown for shown, _ in self._boxes),
            boxes_per_image_shadow=_mean(shadow for _, shadow in self._boxes),
            latency_current=_latency(self._shown_ms),
            latency_shadow=_latency(self._shadow_ms),
        )

    def _compare(self, shown: dict[str, Any], shadow: dict[str, Any]) -> None:
        for finding, row in shadow.items():
            other = shown[finding]
            self._verdicts[finding][other["positive"], row["positive"]] += 1
            self._differences[finding] += abs(other["probability"] - row["probability"])

    def _agreement(self, finding: Finding) -> FindingAgreement:
        verdicts = self._verdicts[finding.value]
        films = verdicts.total()
        return FindingAgreement(
            finding=finding,
            both_positive=verdicts[True, True],
            only_current=verdicts[True, False],
            only_shadow=verdicts[False, True],
            neither=verdicts[False, False],
            agreement=round((verdicts[True, True] + verdicts[False, False]) / films, 4),
            mean_absolute_difference=round(self._differences[finding.value] / films, 4),
        )


def _by_finding(answer_json: str) -> dict[str, Any]:
    return {row["finding"]: row for row in json.loads(answer_json)["findings"]}


def _mean(values: Iterable[int]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 3) if found else 0.0


def _latency(ms: Sequence[float]) -> Latency | None:
    if not ms:
        return None
    ordered = sorted(ms)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return Latency(median_ms=round(median(ordered), 1), p95_ms=round(p95, 1))


def _in_utc(moment: datetime) -> datetime:
    # SQLite forgets the zone; the archive writes UTC only.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
