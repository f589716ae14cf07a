"""What a call ends with when it does not succeed, by what its caller would do.

CxrError
├── NotReached       no answer came, after all attempts; `__cause__` is httpx's error
├── NotReady         `wait` gave up
└── ProblemError     the gateway refused; `problem` is its RFC 9457 body
    ├── NotAllowed   401, 403: another key or role is needed
    ├── NotFound     404, 410: no such thing, any more
    ├── Conflict     409: look at it again, then decide
    ├── Refused      other 4xx: mend the request or the file
    └── Unavailable  408, 429, 5xx: the same call may succeed later
"""

from cxr_client.models import Problem

_LATER = (408, 429)
_KINDS: "dict[int, type[ProblemError]]"


class CxrError(Exception):
    """Base of all that this package raises."""


class NotReached(CxrError):
    """No answer came."""


class NotReady(CxrError):
    """A study is not analysed within the time that was given."""


class ProblemError(CxrError):
    """The gateway answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem = problem

    @property
    def type(self) -> str:
        """The last part of the problem's `type`, e.g. `not-found`; docs/problems.md has them."""
        return self.problem.type.rpartition(":")[2]


class NotAllowed(ProblemError):
    """Another key or another role is needed."""


class NotFound(ProblemError):
    """There is no such thing."""


class Conflict(ProblemError):
    """Something else is there, or has changed since."""


class Refused(ProblemError):
    """The request or the file is not acceptable; sent again, it is refused again."""


class Unavailable(ProblemError):
    """The same call may succeed later."""

    @property
    def study_id(self) -> str | None:
        """Under which an upload was kept that no inference service analysed."""
        found = (self.problem.model_extra or {}).get("study_id")
        return found if isinstance(found, str) else None


_KINDS = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 410: NotFound}


def error_of(problem: Problem) -> ProblemError:
    """The error that a problem is raised as."""
    if problem.status >= 500 or problem.status in _LATER:
        return Unavailable(problem)
    return _KINDS.get(problem.status, Refused)(problem)
