"""Who may do what: one line for each operation of the gateway, and none that is forgotten.

`cxr-gateway docs permissions` writes it down. An operation is a
route's operation id, or its name where it has none; the gateway does not start with a route that
has no line here.
"""

import re
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
SEES = _for(Role.VIEWER, Role.CLINICIAN, Role.INTEGRATOR)
SENDS = _for(Role.CLINICIAN, Role.INTEGRATOR)
DECIDES = _for(Role.CLINICIAN)
AUDITS = _for(Role.AUDITOR)

# Every path under these is an operation, or 404; the page has the others.
API_PREFIXES = ("/api/", "/dicomweb/", "/fhir/")
# The name of the route that serves the page, and every path that no other route has.
PAGE = "get_page"

PERMISSIONS: dict[str, Rule] = {
    "createStudy": SENDS,
    "createStudies": SENDS,
    "listStudies": SEES,
    "listChanges": SEES,
    "streamEvents": SEES,
    "getStudy": SEES,
    "rerunStudy": DECIDES,
    "getWorklist": SEES,
    # A study that a clinician has opened waits no longer; a viewer's look does not count.
    "setWorklist": DECIDES,
    "getReview": SEES,
    "putReviewEntry": DECIDES,
    "withdrawReviewEntry": DECIDES,
    "getFirstReads": SEES,
    "putFirstRead": DECIDES,
    "getReport": SEES,
    "getReportPdf": SEES,
    "writeReport": DECIDES,
    "getStudyImage": SEES,
    "getStudyGreys": SEES,
    "getStudyPixels": SEES,
    "getStudyOverlay": SEES,
    "getStudyHeatmap": SEES,
    "getStudyOriginal": SEES,
    "getStudyDeidentified": SENDS,
    "getStudyFindingsReport": SEES,
    "getStudyBoxesReport": SEES,
    "getStudyPresentationState": SEES,
    "getStudySecondaryCapture": SEES,
    "getStudyHeatMapCapture": SEES,
    "getStudySummaryDocument": SEES,
    "getStudyResultMessage": SEES,
    "storeInstances": SENDS,
    "searchDicomStudies": SEES,
    "searchDicomSeries": SEES,
    "searchDicomInstances": SEES,
    "searchDicomInstancesOfSeries": SEES,
    "retrieveDicomStudy": SEES,
    "retrieveDicomSeries": SEES,
    "retrieveDicomInstance": SEES,
    "retrieveDicomStudyMetadata": SEES,
    "retrieveDicomSeriesMetadata": SEES,
    "retrieveDicomInstanceMetadata": SEES,
    "getDiagnosticReport": SEES,
    "getDiagnosticReportBundle": SEES,
    "deleteStudy": ADMINS,
    # They send what happens here elsewhere.
    "createWebhook": ADMINS,
    "listWebhooks": ADMINS,
    "deleteWebhook": ADMINS,
    "testWebhook": ADMINS,
    "listWebhookDeliveries": ADMINS,
    "retryWebhookDelivery": ADMINS,
    "listAuditEntries": AUDITS,
    "getSystem": SEES,
    "getModels": ADMINS,
    "getShadowReport": ADMINS,
    "getDrift": ADMINS,
    # They say how single readers work.
    "getAgreement": ADMINS,
    "getCorrections": ADMINS,
    "getCorrectionsCoco": ADMINS,
    "getFirstReadsTable": ADMINS,
    "getMe": SIGNED_IN,
    "startSignIn": EVERYBODY,
    "finishSignIn": EVERYBODY,
    "signOut": EVERYBODY,
    # By the provider's signature.
    "endSessions": EVERYBODY,
    "getInfo": ADMINS,
    "getLiveness": EVERYBODY,
    "getReadiness": EVERYBODY,
    # A scraper has no key. It tells counts and no patient; the reverse proxy does not lead to it,
    # and in a cluster a network policy names who may ask.
    "getMetrics": EVERYBODY,
    "openapi": EVERYBODY,
    # What the words of this API mean.
    "listProblemTypes": EVERYBODY,
    "getProblemType": EVERYBODY,
    # The page shows the sign-in, and nothing of a patient before.
    PAGE: EVERYBODY,
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

    def methods_of(self, path: str) -> list[str]:
        """The methods that `path` has, sorted; none for what is answered 404.

        The page's route matches every path; under `API_PREFIXES` it answers 404.
        """
        found: set[str] = set()
        for operation in self._all:
            if operation.pattern.match(path) and not (
                operation.id == PAGE and path.startswith(API_PREFIXES)
            ):
                found |= operation.methods
        if "GET" in found:
            found.add("HEAD")
        return sorted(found | {"OPTIONS"}) if found else []


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

- **viewer** sees studies. **clinician** sees, sends, opens and finishes studies in the worklist,
  says what is right and wrong of the answers, writes and signs reports, and has studies analysed
  again. **integrator** is for hospital systems: sends and sees, by an API key. **auditor** reads
  the audit log and nothing else; nobody changes or deletes it. **admin** may do everything else.
- A user or key of a department sees that department's studies; another's is answered 404, like one
  that is not there ([ADR 0024](adr/0024-sign-in-keys-and-departments.md)).
- Nobody: 401. A role that is too small: 403. While the gateway is open to this machine only,
  whoever sits at it has every role.

| operation | request | everybody | signed in | viewer | clinician | integrator | auditor | admin |
|---|---|:-:|:-:|:-:|:-:|:-:|:-:|:-:|
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
