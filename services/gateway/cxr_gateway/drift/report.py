"""The weeks of an installation against a reference, as the page and the metrics tell them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cxr_contracts import (
    IMAGE_NUMBERS,
    CategoryReference,
    DriftReference,
    NumberReference,
    StatisticReference,
)
from cxr_gateway.archive.statistics import ImageGroup
from cxr_gateway.core.image_numbers import UNKNOWN_VIEW
from cxr_gateway.drift.psi import DRIFTED, WATCH, DriftFlag, counts_in, flag_of, psi
from cxr_gateway.drift.schemas import (
    DriftBin,
    DriftReferenceSummary,
    DriftReport,
    DriftRules,
    DriftStatistic,
    DriftWeek,
    WeekOfStatistic,
)
from cxr_gateway.drift.weeks import Week, counts_of, values_of

_OTHER = "other values"
_SCORES_OF_INPUT = "ood_score"
_ORDER = (DriftFlag.DRIFTED, DriftFlag.WATCH, DriftFlag.STABLE, DriftFlag.TOO_FEW)
_DECIMALS = 4


def report_of(
    weeks: Sequence[Week], reference: DriftReference | None, why_none: str, min_images: int
) -> DriftReport:
    """The report of some weeks.

    Args:
        weeks: the latest last.
        reference: of the models that answer; None if there is none.
        why_none: a sentence in that case.
        min_images: a distribution of fewer images is not evaluated.
    """
    latest, statistics = None, list[DriftStatistic]()
    if reference is not None:
        latest = _compared_week(weeks, reference, min_images)
        statistics = [
            _statistic(one, weeks, reference, latest, min_images) for one in reference.statistics
        ]
        statistics.sort(key=lambda one: (_ORDER.index(one.flag), -(one.psi or 0.0)))
    return DriftReport(
        summary=_summary(statistics, latest, min_images) if reference else why_none,
        compared_week=latest,
        reference=_summary_of(reference) if reference else None,
        rules=DriftRules(watch=WATCH, drifted=DRIFTED, min_images=min_images),
        weeks=[_week(week, reference) for week in weeks],
        statistics=statistics,
    )


def _summary(statistics: Sequence[DriftStatistic], latest: str | None, min_images: int) -> str:
    if latest is None:
        return f"No week has {min_images} images to compare yet, so nothing is compared."
    drifted = sum(one.flag is DriftFlag.DRIFTED for one in statistics)
    watched = sum(one.flag is DriftFlag.WATCH for one in statistics)
    verb = "have" if drifted > 1 else "has"
    of_all = f"{drifted or 'None'} of {len(statistics)} distributions"
    more = ""
    if watched:
        also = "more " if drifted else ""
        more = f" {watched} {also}{'is' if watched == 1 else 'are'} to be watched."
    return f"{of_all} {verb} drifted in week {latest}.{more}"


def _compared_week(weeks: Sequence[Week], reference: DriftReference, min_images: int) -> str | None:
    for week in reversed(weeks):
        if _number_of(_accepted(week.of(reference))) >= min_images:
            return week.name
    return None


def _week(week: Week, reference: DriftReference | None) -> DriftWeek:
    fitting = week.of(reference) if reference else []
    taken, compared = _number_of(week.groups), _number_of(fitting)
    return DriftWeek(
        week=week.name,
        starts_on=week.starts_on,
        images=week.total,
        compared=compared,
        refused=compared - _number_of(_accepted(fitting)),
        other_models=taken - compared,
    )


def _statistic(
    one: StatisticReference,
    weeks: Sequence[Week],
    reference: DriftReference,
    latest: str | None,
    min_images: int,
) -> DriftStatistic:
    bins = _bins(one)
    rows = [_week_of(one, week.name, week.of(reference), min_images) for week in weeks]
    now = next((row for row in rows if row.week == latest), None)
    is_input = one.name in IMAGE_NUMBERS and one.name != _SCORES_OF_INPUT
    return DriftStatistic(
        name=one.name,
        kind=one.kind,
        about="input" if is_input or one.kind == "category" else "score",
        flag=now.flag if now else DriftFlag.TOO_FEW,
        psi=now.psi if now else None,
        bins=bins,
        weeks=rows,
    )


def _week_of(
    one: StatisticReference,
    week: str,
    groups: Sequence[ImageGroup],
    min_images: int,
) -> WeekOfStatistic:
    # A refused image is no chest radiograph: its greys and size say nothing of those that are.
    counted = _counts(one, groups if one.name == _SCORES_OF_INPUT else _accepted(groups))
    n = sum(counted)
    value = None if n < min_images else round(psi(counted, _reference_counts(one)), _DECIMALS)
    return WeekOfStatistic(
        week=week,
        images=n,
        psi=value,
        flag=flag_of(value),
        shares=[round(count / n, _DECIMALS) for count in counted] if n else None,
    )


def _counts(one: StatisticReference, groups: Sequence[ImageGroup]) -> list[int]:
    if isinstance(one, NumberReference):
        return counts_in(values_of(groups, one.name), one.edges)
    words = counts_of(groups, one.name)
    words.pop(UNKNOWN_VIEW, None)
    known = [words.pop(category, 0) for category in one.categories]
    return [*known, sum(words.values())]


def _reference_counts(one: StatisticReference) -> list[int]:
    return [*one.counts, 0] if isinstance(one, CategoryReference) else one.counts


def _bins(one: StatisticReference) -> list[DriftBin]:
    counts = _reference_counts(one)
    total = sum(counts)
    shares = [round(count / total, _DECIMALS) for count in counts]
    if isinstance(one, CategoryReference):
        labels = [*one.categories, _OTHER]
        return [
            DriftBin(label=label, low=None, high=None, share=share)
            for label, share in zip(labels, shares, strict=True)
        ]
    ends = [None, *one.edges, None]
    return [
        DriftBin(label=_range(low, high), low=low, high=high, share=share)
        for low, high, share in zip(ends[:-1], ends[1:], shares, strict=True)
    ]


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"below {high:.4g}"
    if high is None:
        return f"{low:.4g} and above"
    return f"{low:.4g} to {high:.4g}"


def _summary_of(reference: DriftReference) -> DriftReferenceSummary:
    return DriftReferenceSummary(
        name=reference.name,
        created_at=datetime.fromisoformat(reference.created_at),
        ood=reference.ood,
        classifier=reference.classifier,
        images=reference.data.n_images,
        patients=reference.data.n_patients,
        split=reference.data.split,
    )


def _accepted(groups: Iterable[ImageGroup]) -> list[ImageGroup]:
    return [some for some in groups if some.accepted]


def _number_of(groups: Iterable[ImageGroup]) -> int:
    return sum(len(some.numbers) for some in groups)
