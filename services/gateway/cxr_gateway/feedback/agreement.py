"""How often readers agreed with the models: shares with intervals, and months that differ.

Only what a reader pressed a button for is counted, and readers press it for what they doubt more
than for the rest: the shares say how a model does among answers that were judged, not how good it
is. Their changes are what to look at.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from cxr_gateway.archive.reviews import ReviewRecord
from cxr_gateway.feedback.schemas import (
    AgreementChange,
    AgreementReport,
    AgreementRules,
    AgreementShare,
    FirstReadShare,
    ReportShare,
    Verdict,
)

# Of a standard normal distribution, for intervals of 95%.
_Z = 1.959964
MIN_JUDGED = 20
_DECIMALS = 4
_COMMENTED = Verdict.COMMENTED.value


def agreement_of(
    records: Iterable[ReviewRecord],
    months: int,
    now: datetime,
    first_reads: Sequence[FirstReadShare] = (),
    reports: Sequence[ReportShare] = (),
) -> AgreementReport:
    """The report of what stands.

    Args:
        records: without those that were taken back or replaced.
        months: how many, the current one included.
        now: the current month's.
        first_reads: of the same months.
        reports: of reports signed in the same months.
    """
    wanted = months_until(now, months)
    judged = [
        record
        for record in records
        if record.verdict != _COMMENTED and month_of(record.made_at) in set(wanted)
    ]
    by_month = _shares(judged, lambda record: month_of(record.made_at))
    known = {share.name: share for share in by_month}
    changes = _changes(judged)
    return AgreementReport(
        summary=_summary(judged, changes),
        rules=AgreementRules(min_judged=MIN_JUDGED, confidence=0.95),
        overall=_share("all", judged),
        by_finding=_by_count(_shares(judged, _subject)),
        by_reader=_by_count(_shares(judged, lambda record: record.made_by)),
        by_month=[known.get(month) or _share(month, []) for month in wanted],
        by_model=_by_count(_shares(judged, _model)),
        changes=changes,
        first_reads=list(first_reads),
        reports=list(reports),
    )


def wilson(agreed: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share by Wilson's score; 0 and 1 of nothing."""
    if n == 0:
        return 0.0, 1.0
    share, square = agreed / n, _Z * _Z
    middle = share + square / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def difference(after: tuple[int, int], before: tuple[int, int]) -> tuple[float, float, float]:
    """By how much a share changed, and the 95% interval of it (Newcombe's, of two Wilson's).

    Args:
        after: agreed, and of how many.
        before: likewise.
    """
    share_after, share_before = after[0] / after[1], before[0] / before[1]
    low_after, high_after = wilson(*after)
    low_before, high_before = wilson(*before)
    change = share_after - share_before
    down = math.hypot(share_after - low_after, high_before - share_before)
    up = math.hypot(high_after - share_after, share_before - low_before)
    return change, change - down, change + up


def month_of(moment: datetime) -> str:
    """`YYYY-MM`, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def months_until(now: datetime, months: int) -> list[str]:
    """The names of so many months, the last is now's."""
    last = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1
    return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(last - months + 1, last + 1)]


def first_moment(months: Sequence[str]) -> datetime:
    """When the first of the months began."""
    return datetime.strptime(months[0], "%Y-%m").replace(tzinfo=UTC)


def _subject(record: ReviewRecord) -> str:
    """What is judged: the answer's own name, or what was missed."""
    return record.target_label or record.label or ""


def _model(record: ReviewRecord) -> str:
    role, name, version = record.model_role, record.model_name, record.model_version
    return f"{role} {name} {version}" if role else "none"


def _shares(
    records: Iterable[ReviewRecord], name_of: Callable[[ReviewRecord], str]
) -> list[AgreementShare]:
    groups: dict[str, list[ReviewRecord]] = defaultdict(list)
    for record in records:
        groups[name_of(record)].append(record)
    return [_share(name, group) for name, group in sorted(groups.items())]


def _by_count(shares: list[AgreementShare]) -> list[AgreementShare]:
    return sorted(shares, key=lambda share: -share.judged)


def _share(name: str, records: Sequence[ReviewRecord]) -> AgreementShare:
    counts = dict.fromkeys(Verdict, 0)
    for record in records:
        counts[Verdict(record.verdict)] += 1
    n = len(records)
    low, high = wilson(counts[Verdict.ACCEPTED], n)
    return AgreementShare(
        name=name,
        judged=n,
        accepted=counts[Verdict.ACCEPTED],
        rejected=counts[Verdict.REJECTED],
        modified=counts[Verdict.MODIFIED],
        added=counts[Verdict.ADDED],
        share=round(counts[Verdict.ACCEPTED] / n, _DECIMALS) if n else None,
        low=round(low, _DECIMALS),
        high=round(high, _DECIMALS),
    )


def _changes(judged: Sequence[ReviewRecord]) -> list[AgreementChange]:
    """The latest month against those before, where it differs: of all answers, and by finding."""
    groups: dict[str, list[ReviewRecord]] = defaultdict(list)
    for record in judged:
        groups["all"].append(record)
        groups[_subject(record)].append(record)
    found = []
    for name, group in groups.items():
        months = sorted({month_of(record.made_at) for record in group})
        latest = [x for x in group if month_of(x.made_at) == months[-1]]
        before = [x for x in group if month_of(x.made_at) != months[-1]]
        if min(len(latest), len(before)) < MIN_JUDGED:
            continue
        counts = [
            (sum(x.verdict == "accepted" for x in some), len(some)) for some in (latest, before)
        ]
        change, low, high = difference(counts[0], counts[1])
        if low > 0 or high < 0:
            found.append(
                AgreementChange(
                    name=name,
                    month=months[-1],
                    judged=len(latest),
                    share=round(counts[0][0] / counts[0][1], _DECIMALS),
                    share_before=round(counts[1][0] / counts[1][1], _DECIMALS),
                    change=round(change, _DECIMALS),
                    low=round(low, _DECIMALS),
                    high=round(high, _DECIMALS),
                )
            )
    return sorted(found, key=lambda one: one.change)


def _summary(judged: Sequence[ReviewRecord], changes: Sequence[AgreementChange]) -> str:
    if not judged:
        return "No answer was judged in these months."
    agreed = sum(record.verdict == "accepted" for record in judged)
    said = f"Readers agreed with {agreed} of {len(judged)} answers that they judged."
    fell = [one.name for one in changes if one.change < 0]
    rose = [one.name for one in changes if one.change > 0]
    if fell:
        said += f" Agreement has fallen: {', '.join(fell)}."
    if rose:
        said += f" It has risen: {', '.join(rose)}."
    return said
