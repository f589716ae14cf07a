"""Who makes a request: what sign-in, API keys, permissions and the audit log have in common."""

import getpass
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What someone may do; the table of permissions says it route by route."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    INTEGRATOR = "integrator"
    AUDITOR = "auditor"
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

    @property
    def sender(self) -> str | None:
        """By what shares are counted; None for whoever sits at the machine, who has no share."""
        return None if self.kind is PrincipalKind.LOCAL else f"{self.kind} {self.subject}"


# Whoever sits at the machine, where nothing but loopback is listened on.
LOCAL = Principal(PrincipalKind.LOCAL, "local", frozenset(Role))
NOBODY = Principal(PrincipalKind.NOBODY, "nobody", frozenset())


def operator_name(given: str | None) -> str:
    """Who runs a command: as they say, or as the system calls its user; at most 200 characters."""
    try:
        name = given or getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may be a number without a name.
        name = "operator"
    return name[:200]
