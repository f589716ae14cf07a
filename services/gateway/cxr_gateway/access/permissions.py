"""Who may do what: one line for each operation of the gateway, and none that is forgotten.

`python -m cxr_gateway.access.permissions > docs/permissions.md` writes it down. An operation is a
route's operation id, or its name where it has none; the gateway does not start with a route that
has no line here.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, compile_path

from cxr_gateway.core.principal import Principal, PrincipalKind, Role


@dataclass(frozen=True)
class Rule:
    """Whom an operation is for: everybody, whoever is signed in, or these roles."""

    roles: frozenset[Role] = frozenset()
    for_everybody: bool = False

    def allows(self, principal: Principal) -> bool:
        """Whether `principal` may."""
        if self.for_everybody:
            return True
        if not self.roles:
            return principal.kind is not PrincipalKind.NOBODY
        return not self.roles.isdisjoint(principal.roles)


def _for(*roles: Role) -> Rule:
    return Rule(frozenset({*roles, Role.ADMIN}))


EVERYBODY = Rule(for_everybody=True)
SIGNED_IN = Rule()
ADMINS = _for()
SEES = _for(Role.READER, Role.CLINICIAN, Role.INTEGRATOR)
SENDS = _for(Role.CLINICIAN, Role.INTEGRATOR)
DECIDES = _for(Role.CLINICIAN)

PERMISSIONS: dict[str, Rule] = {
    "createStudy": SENDS,
    "listStudies": SEES,
    "getStudy": SEES,
    "rerunStudy": DECIDES,
    "getStudyImage": SEES,
    "getStudyOverlay": SEES,
    "getStudyHeatmap": SEES,
    "getStudyOriginal": SEES,
    "getStudyDeidentified": SENDS,
    "deleteStudy": ADMINS,
    "listAuditEntries": ADMINS,
    "getSystem": SEES,
    "getModels": ADMINS,
    "getShadowReport": ADMINS,
    "getDrift": ADMINS,
    "getMe": SIGNED_IN,
    "startSignIn": EVERYBODY,
    "finishSignIn": EVERYBODY,
    "signOut": EVERYBODY,
    "getInfo": ADMINS,
    "getLiveness": EVERYBODY,
    "getReadiness": EVERYBODY,
    # A scraper has no key. It tells counts and no patient; the front door does not lead to it, and
    # in a cluster a network policy names who may ask.
    "getMetrics": EVERYBODY,
    "openapi": EVERYBODY,
    # The page shows the sign-in, and nothing of a patient before.
    "get_page": EVERYBODY,
}


@dataclass(frozen=True)
class Operation:
    """A route and whom it is for."""

    id: str
    methods: frozenset[str]
    path: str
    rule: Rule
    pattern: re.Pattern[str]


class Operations:
    """The operations of an app, in the order in which its router tries them.

    Raises:
        LookupError: a route has no line in the table, or is of a kind that has no operation.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._all = [_operation(context) for context in iter_route_contexts(routes)]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._all)

    def of(self, method: str, path: str) -> Operation | None:
        """What a request asks for; None for what the router answers 404 or 405."""
        for operation in self._all:
            if method in operation.methods and operation.pattern.match(path):
                return operation
        return None


def _operation(context: RouteContext) -> Operation:
    route = context.original_route
    name = getattr(route, "operation_id", None) or context.name
    if context.path is None or not context.methods or name not in PERMISSIONS:
        raise LookupError(f"{name or route} ({context.path}) has no line in the permissions' table")
    pattern, _, _ = compile_path(context.path)
    return Operation(name, frozenset(context.methods), context.path, PERMISSIONS[name], pattern)


_HEAD = """\
# Who may do what

Written by `make generate` from the table that the gateway uses; do not edit it here. A route
without a line in that table, `access/permissions.py`, keeps the gateway from starting.

- **reader** sees studies. **clinician** sees, sends, and has studies read again. **integrator** is
  for hospital systems: sends and sees, by an API key. **admin** may do everything.
- A user or key of a department sees that department's studies; another's is answered 404, like one
  that is not there ([ADR 0025](adr/0025-departments.md)).
- Nobody: 401. A role that is too small: 403. While the gateway is open to this machine only,
  whoever sits at it has every role.

| operation | request | everybody | signed in | reader | clinician | integrator | admin |
|---|---|:-:|:-:|:-:|:-:|:-:|:-:|
"""


def markdown(operations: Operations) -> str:
    """The table as `docs/permissions.md`."""
    return _HEAD + "".join(f"{_row(operation)}\n" for operation in operations)


def _row(operation: Operation) -> str:
    rule = operation.rule
    signed_in = rule.for_everybody or not rule.roles
    columns = [rule.for_everybody, signed_in, *(signed_in or role in rule.roles for role in Role)]
    marks = " | ".join("yes" if may else "" for may in columns)
    request = f"`{' '.join(sorted(operation.methods))} {operation.path}`"
    return f"| {operation.id} | {request} | {marks} |"


if __name__ == "__main__":
    from cxr_gateway.app import create_app
    from cxr_gateway.core.settings import GatewaySettings

    app = create_app(GatewaySettings.model_construct())
    sys.stdout.write(markdown(Operations(app.routes)))
