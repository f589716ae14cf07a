"""What a request is called in logs, metrics and traces: words of a bounded set."""

from starlette.types import Scope

# What probes and monitors ask, every few seconds: their lines would bury the others. They
# say nothing of a patient.
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics", "/info"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method_of(scope: Scope) -> str:
    """The method, or `other` for one that HTTP does not know."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def route_of(scope: Scope) -> str:
    """The template of the matched route; `unmatched` where none did.

    A path that no route knows must not become a name: anyone could make new ones.
    """
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path or "/"
