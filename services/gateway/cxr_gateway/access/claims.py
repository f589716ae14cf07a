"""What a provider says of somebody, as roles and a department."""

from collections.abc import Mapping
from typing import Any

from cxr_gateway.archive.sessions import Person
from cxr_gateway.archive.tables import MAX_DEPARTMENT_CHARS, MAX_NAME_CHARS, MAX_SUBJECT_CHARS
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Unauthenticated
from cxr_gateway.core.principal import Principal, PrincipalKind, Role

Claims = Mapping[str, Any]


def principal_from(claims: Claims, settings: AccessSettings) -> Principal:
    """Who the claims of a verified token are about; Unauthenticated without a usable subject."""
    subject = claims.get("sub")
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= MAX_SUBJECT_CHARS
        or not subject.isprintable()
    ):
        raise Unauthenticated("token without a subject")
    table = settings.roles_by_group
    roles = frozenset(
        table[name] for name in _texts(claim(claims, settings.oidc_role_claim)) if name in table
    )
    department = None
    # Admins see every department's studies, so they are of none.
    if settings.oidc_department_claim and Role.ADMIN not in roles:
        department = _department(claim(claims, settings.oidc_department_claim))
        if department is None:
            roles = frozenset()
    return Principal(PrincipalKind.USER, subject, roles, department)


def person_from(claims: Claims, id_token: str, settings: AccessSettings) -> Person:
    """The person of a verified ID token."""
    principal = principal_from(claims, settings)
    names = (claims.get("name"), claims.get("preferred_username"), principal.subject)
    name = next(name for name in names if isinstance(name, str) and name)
    sid = claims.get("sid")
    shown = "".join(character for character in name if character.isprintable())
    return Person(
        principal.subject,
        shown[:MAX_NAME_CHARS],
        principal.roles,
        principal.department,
        id_token,
        sid if isinstance(sid, str) and 0 < len(sid) <= MAX_SUBJECT_CHARS else None,
    )


def claim(claims: Claims, name: str) -> Any:
    """A claim by its name; where there is none of the whole name, a dot leads into an object."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _department(value: Any) -> str | None:
    match _texts(value):
        case [str(name)] if 0 < len(name) <= MAX_DEPARTMENT_CHARS and name.isprintable():
            return name
    # None, or several: whose radiographs an upload would be among cannot be told.
    return None
