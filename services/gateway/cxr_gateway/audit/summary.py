"""What repeats itself and tells nobody anything: the first is an entry, the rest are counted.

Refusals, and whatever a client that is nobody asked for, had or broke off. So whoever is let in
nowhere cannot fill the log: a window has a bounded number of kinds, and
whatever is beyond is counted together.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cxr_gateway.archive.audit_entries import Event, as_details, as_written
from cxr_gateway.core.principal import PrincipalKind

# What a summary is called whose requests were of too many kinds to be told apart.
OTHERS = "others"
_MAX_KINDS = 200
_MAX_STUDIES = 50
_CONFLICT = 409
_Kind = tuple[str, str, str | None, str, int, str | None]


@dataclass
class _Repeated:
    event: Event
    count: int = 0
    first_at: str = ""
    last_at: str = ""
    studies: set[str] = field(default_factory=set)


class Summary:
    """Those of one window, counted by who, from where, what and how it ended."""

    def __init__(self) -> None:
        self._kinds: dict[_Kind, _Repeated] = {}
        self._others: _Repeated | None = None

    def counts(self, event: Event) -> bool:
        """Whether `event` is only counted; the first of its kind has to be written."""
        if not (is_refusal(event) or is_nobodys(event)):
            return False
        kind = (
            event.kind, event.subject, event.department, event.action, event.outcome, event.source,
        )  # fmt: skip
        found = self._kinds.get(kind)
        if found is None and len(self._kinds) < _MAX_KINDS:
            self._kinds[kind] = _Repeated(event)
            return False
        if found is None:
            found = self._others = self._others or _Repeated(_other(event))
        moment = as_written(datetime.now(UTC))
        found.count += 1
        found.first_at = found.first_at or moment
        found.last_at = moment
        if event.study_id is not None and len(found.studies) < _MAX_STUDIES:
            found.studies.add(event.study_id)
        return True

    def take(self) -> list[Event]:
        """An event for each kind that was repeated; the next window begins."""
        kinds = [*self._kinds.values(), *filter(None, [self._others])]
        self._kinds, self._others = {}, None
        return [_summed(kind) for kind in kinds if kind.count]


def is_refusal(event: Event) -> bool:
    """Whether a request was answered 4xx; a conflict is the end of an upload, and not repeated."""
    return (
        event.request_id is not None and 400 <= event.outcome < 499 and event.outcome != _CONFLICT
    )


def is_nobodys(event: Event) -> bool:
    """Whether nobody asked, and neither learned of a study nor changed anything."""
    return (
        event.request_id is not None
        and event.kind == PrincipalKind.NOBODY.value
        and event.study_id is None
        and event.details is None
        # What failed here is an entry each, as everybody's is.
        and event.outcome < 500
    )


def _other(event: Event) -> Event:
    return replace(
        event, kind="nobody", subject=OTHERS, department=None, source=None, outcome=0, study_id=None
    )


def _summed(kind: _Repeated) -> Event:
    details = {
        "repeated": kind.count,
        "first_at": kind.first_at,
        "last_at": kind.last_at,
        **({"studies": sorted(kind.studies)} if kind.studies else {}),
    }
    return replace(kind.event, study_id=None, request_id=None, details=as_details(details))
