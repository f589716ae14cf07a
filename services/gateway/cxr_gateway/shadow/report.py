"""A shadow's answers beside the shown ones, counted over the studies that both have read."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from cxr_contracts import Finding, Level, ModelIdentity
from cxr_gateway.archive import Session
from cxr_gateway.archive.shadow_answers import latest_pair, shadow_answers
from cxr_gateway.archive.tables import ShadowAnswerRow
from cxr_gateway.core.schemas import FailureKind, Priority
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
_STRENGTH = {Level.UNLIKELY.value: 0, Level.POSSIBLE.value: 1, Level.LIKELY.value: 2}


def shadow_report(
    session: Session, role: RoleName, pair: tuple[str, str] | None = None
) -> ShadowReport | None:
    """The report of a role, or None if nothing is recorded.

    Args:
        session: on the archive's database.
        role: whose.
        pair: sha256 of the shadow and of the model that answered; None: the latest recorded.
    """
    pair = pair or latest_pair(session, role)
    if pair is None:
        return None
    images = _Images()
    for answer, result_json in shadow_answers(session, role, pair, LATEST):
        images.add(answer, result_json)
    return images.report(role, pair[1])


class _Images:
    """What is counted while the rows come, the latest first."""

    def __init__(self) -> None:
        self._model: ModelIdentity | None = None
        self._times: list[datetime] = []
        self._failures: Counter[str] = Counter()
        self._priorities: Counter[tuple[str, str]] = Counter()
        self._boxes: list[tuple[int, int]] = []
        self._current_ms: list[float] = []
        self._shadow_ms: list[float] = []
        # Of each finding how often the shadow's level is as strong (0), stronger or weaker.
        self._levels: dict[str, Counter[int]] = defaultdict(Counter)
        self._differences: dict[str, float] = defaultdict(float)

    def add(self, row: ShadowAnswerRow, result_json: str) -> None:
        """Count one radiograph, whose study is `result_json`."""
        if self._model is None:
            self._model = ModelIdentity(
                name=row.model_name, version=row.model_version, sha256=row.model_sha256
            )
        self._times.append(row.recorded_at)
        if row.error is not None:
            self._failures[row.error] += 1
        if row.answer_json is None or row.priority is None or row.boxes is None:
            return
        self._priorities[row.current_priority, row.priority] += 1
        self._boxes.append((row.current_boxes, row.boxes))
        self._shadow_ms.append(row.duration_ms)
        if row.current_ms is not None:
            self._current_ms.append(row.current_ms)
        if row.role == "classifier":
            self._compare(_by_finding(result_json), _by_finding(row.answer_json))

    def report(self, role: RoleName, current_sha256: str) -> ShadowReport | None:
        """What was counted; None without any radiograph."""
        if self._model is None:
            return None
        changes = [
            PriorityChange(
                current=current, shadow=shadow, studies=self._priorities[current, shadow]
            )
            for current in Priority
            for shadow in Priority
            if self._priorities[current, shadow]
        ]
        own = [Finding(one) for one in self._levels if one not in set(Finding)]
        return ShadowReport(
            role=role,
            shadow=self._model,
            current_sha256=current_sha256,
            first_at=_in_utc(min(self._times)),
            last_at=_in_utc(max(self._times)),
            recorded=len(self._times),
            answered=len(self._boxes),
            failures=[
                FailureCount(kind=FailureKind(kind), studies=n)
                for kind, n in self._failures.most_common()
            ],
            findings=[self._agreement(one) for one in (*Finding, *own) if self._levels[one.value]],
            priorities=changes,
            priority_changes=sum(one.studies for one in changes if one.current != one.shadow),
            boxes_per_image_current=_mean(shown for shown, _ in self._boxes),
            boxes_per_image_shadow=_mean(shadow for _, shadow in self._boxes),
            latency_current=_latency(self._current_ms),
            latency_shadow=_latency(self._shadow_ms),
        )

    def _compare(self, shown: dict[str, Any], shadow: dict[str, Any]) -> None:
        # Two models may have labels of their own: what both know is compared.
        for finding, row in shadow.items():
            other = shown.get(finding)
            if other is None:
                continue
            stronger = _STRENGTH[row["level"]] - _STRENGTH[other["level"]]
            self._levels[finding][(stronger > 0) - (stronger < 0)] += 1
            self._differences[finding] += abs(other["probability"] - row["probability"])

    def _agreement(self, finding: Finding) -> FindingAgreement:
        levels = self._levels[finding.value]
        radiographs = levels.total()
        return FindingAgreement(
            finding=finding,
            same_level=levels[0],
            shadow_higher=levels[1],
            shadow_lower=levels[-1],
            agreement=round(levels[0] / radiographs, 4),
            mean_absolute_difference=round(self._differences[finding.value] / radiographs, 4),
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
