"""Who may come in: the settings of sign-in, API keys, departments and rate limits."""

import ipaddress
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from cxr_gateway.core.principal import Role
from cxr_gateway.core.sealing import MIN_KEY_BYTES, Keyring
from cxr_serving.settings import ServiceSettings

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")
Access = Literal["open", "closed", "behind-log-in"]


class AccessSettings(ServiceSettings):
    """A part of the gateway's settings; an empty text is a setting that is not made."""

    access: Literal["", "open", "closed", "behind-log-in"] = Field(
        default="",
        description="`closed`: by sign-in or API key. `open`: everybody who reaches it, which must "
        "be this machine only. `behind-log-in`: everybody, for a proxy before it has asked them "
        "who they are. Unset: `closed` with an `oidc_issuer`, else `open`.",
    )
    published_address: str = Field(
        default="",
        description="The address at which a reverse proxy publishes this gateway; unset, `host`.",
    )
    public_url: str = Field(
        default="",
        description="As browsers write it, `https://cxr.example.org`; sign-in comes back to it.",
    )
    forwarded_user_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="With `behind-log-in`: in this header the proxy names who it has let in, for "
        "the audit log; it must remove what a client wrote there. Unset: everybody is `local`.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        description="Proxies of one's own in front: so many entries of X-Forwarded-For, from its "
        "end, are believed where it counts from which address a request came.",
    )

    oidc_issuer: str = Field(default="", description="The OpenID provider; turns sign-in on.")
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Unset for a public client."
    )
    oidc_scope: str = "openid profile"
    oidc_audience: str = Field(
        default="",
        description="Access tokens (JWT) of the provider for this audience are accepted, too.",
    )
    oidc_role_claim: str = Field(
        default="groups", description="Holds the roles; a dot leads into an object."
    )
    oidc_roles: str = Field(
        default="",
        description="`GROUP=ROLE; GROUP=ROLE`; unset, the claim names the roles themselves.",
    )
    oidc_department_claim: str = Field(
        default="",
        description="Holds the department; whoever has none then sees nothing, admins everything. "
        "Unset: there are no departments.",
    )
    oidc_acr_values: str = Field(
        default="",
        description="Ways of signing in, separated by spaces, one of which the provider must say "
        "was used (`acr`); a second factor, for instance.",
    )
    oidc_max_age_s: int | None = Field(
        default=None,
        ge=0,
        description="Whoever gave their password longer ago is asked again (`auth_time`).",
    )
    oidc_timeout_s: float = Field(default=5.0, gt=0)

    session_idle_s: float = Field(default=3600.0, gt=0, description="Ends an unused session.")
    session_max_s: float = Field(default=12 * 3600.0, gt=0, description="Ends any session.")
    session_recheck_s: float = Field(
        default=900.0,
        ge=0,
        description="How often a session's roles are read again at the provider, where it gives "
        "refresh tokens; one that it has ended there ends. 0: at the sign-in only.",
    )
    sign_in_max_s: float = Field(
        default=600.0, gt=0, description="How long a sign-in at the provider may take."
    )

    secrets_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals in the database what has to be read again: webhooks' secrets, the "
        "provider's tokens of sessions. 32 characters or more; several, apart by spaces, while one "
        "is changed: the first seals, each opens. Unset: they lie there readable.",
    )

    requests_per_minute: int = Field(
        default=1200, gt=0, description="Of one user or key, for each process of the gateway."
    )
    failures_per_minute: int = Field(
        default=60, gt=0, description="Refused keys, tokens and sign-ins of one address."
    )

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        _ = self.roles_by_group
        if not self.oidc_issuer:
            return self
        for name in ("oidc_client_id", "public_url"):
            if not getattr(self, name):
                raise ValueError(f"CXR_GATEWAY_OIDC_ISSUER is set, so {_variable(name)} must be")
        for name in ("oidc_issuer", "public_url"):
            _check_url(_variable(name), getattr(self, name))
        if self.access in ("open", "behind-log-in"):
            raise ValueError(f"CXR_GATEWAY_OIDC_ISSUER is of no use: access is {self.access}")
        if self.oidc_audience == self.oidc_client_id:
            # A browser's ID token would pass for an access token.
            raise ValueError("CXR_GATEWAY_OIDC_AUDIENCE must not be the client's id")
        return self

    @model_validator(mode="after")
    def _secrets_keys_are_long(self) -> Self:
        if any(len(key) < MIN_KEY_BYTES for key in self._secrets_keys):
            raise ValueError(
                f"CXR_GATEWAY_SECRETS_KEY has fewer than {MIN_KEY_BYTES} characters; "
                "`openssl rand -hex 32` makes one"
            )
        return self

    @property
    def _secrets_keys(self) -> list[str]:
        return self.secrets_key.get_secret_value().split()

    @property
    def keyring(self) -> Keyring:
        """By which secrets are kept in the database."""
        return Keyring(self._secrets_keys)

    @property
    def resolved_access(self) -> Access:
        """`access`, or what follows from `oidc_issuer`."""
        return self.access or ("closed" if self.oidc_issuer else "open")

    @property
    def is_closed(self) -> bool:
        """Whether everybody has to say who they are."""
        return self.resolved_access == "closed"

    @property
    def is_https(self) -> bool:
        """Whether browsers come by https."""
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        """Of the page: scheme, host and port, without a slash at the end."""
        return self.public_url.rstrip("/")

    @property
    def roles_by_group(self) -> dict[str, Role]:
        """`oidc_roles` as a table; ValueError for what is no role."""
        if not self.oidc_roles.strip():
            return {role.value: role for role in Role}
        table = {}
        for pair in filter(None, (part.strip() for part in self.oidc_roles.split(";"))):
            # The last one parts: a group may be a directory's distinguished name.
            group, _, role = pair.rpartition("=")
            if not group.strip() or role.strip() not in list(Role):
                known = ", ".join(Role)
                raise ValueError(f"CXR_GATEWAY_OIDC_ROLES: `{pair}` is not GROUP=ROLE ({known})")
            table[group.strip()] = Role(role.strip())
        return table


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches `host`."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _variable(name: str) -> str:
    return f"CXR_GATEWAY_{name.upper()}"


def _check_url(variable: str, url: str) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
    if not secure or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{variable} must begin with https:// (http:// on loopback only)")
