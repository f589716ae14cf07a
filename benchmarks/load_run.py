"""The plan of a load run, and what it showed."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much.

    Attributes:
        rated_s: at the rated load.
        hostile_s: at the rated load, beside a client that means harm (`hostile.py`).
        overload_s: at `overload` times the capacity.
        calibration_s: while the capacity is found; not used if `capacity` is given.
        share: of the capacity that is the rated load.
        capacity: requests a second, or None to find it.
    """

    rated_s: float = 1200.0
    hostile_s: float = 120.0
    overload_s: float = 120.0
    calibration_s: float = 30.0
    share: float = 0.6
    overload: float = 2.0
    capacity: float | None = None


@dataclass(frozen=True, slots=True)
class RequestResult:
    """One request: when it was sent since the run began, and what came back; status 0: nothing did.

    `failure` is then what came instead.
    """

    phase: str
    kind: str
    sent_s: float
    took_ms: float
    status: int
    retry_after: bool
    study: str | None = None
    failure: str = ""

    @property
    def good(self) -> bool:
        """Whether the complete result came."""
        return self.status in (200, 201) and self.study != "partial"


@dataclass
class Outcome:
    """Everything that the report shows.

    Attributes:
        memory: seconds since the run began, service, resident MB.
        hostile: what that client was answered: a count for each kind and status.
        unsent: arrivals beyond what is sent at once.
        lost: accepted uploads that are not in the archive as they were sent.
    """

    plan: Plan
    capacity: float = 0.0
    results: list[RequestResult] = field(default_factory=list)
    memory: list[tuple[float, str, float]] = field(default_factory=list)
    phases: dict[str, tuple[float, float]] = field(default_factory=dict)
    hostile: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    accepted: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
