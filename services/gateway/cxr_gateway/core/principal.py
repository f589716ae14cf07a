"""Who makes a request: what sign-in, API keys, permissions and the audit log have in common."""

from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import HTTPConnection


class Role(StrEnum):
    """What someone may do; the table of permissions says it route by route."""

    READER = "reader"
    CLINICIAN = "clinician"
    INTEGRATOR = "integrator"
    ADMIN = "admin"


class PrincipalKind(StrEnum):
    """How someone came in."""

    LOCAL = "local"
    USER = "user"
    KEY = "key"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        kind: how they came in.
        subject: what the audit log calls them: `local`, an OpenID subject, an API key's id, or
            `nobody`. Never a secret, and no name.
        roles: what they have been given.
        department: whose studies they see; None for those of all.
    """

    kind: PrincipalKind
    subject: str
    roles: frozenset[Role]
    department: str | None = None


# Whoever sits at the machine, where nothing but loopback is listened on.
LOCAL = Principal(PrincipalKind.LOCAL, "local", frozenset(Role))
NOBODY = Principal(PrincipalKind.NOBODY, "nobody", frozenset())


def principal_of(connection: HTTPConnection) -> Principal:
    """Who asks; `NOBODY` before it is known."""
    principal: Principal = getattr(connection.state, "principal", NOBODY)
    return principal
