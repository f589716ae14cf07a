"""What keeps a gateway from starting: a door that is open to others."""

from cxr_gateway.core.access_settings import is_loopback
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError


class OpenToOthers(ServiceError):
    """Everybody who reaches the gateway could read every film; met at a start only."""


def refuse_open_to_others(settings: GatewaySettings) -> None:
    """Raise OpenToOthers if the gateway is reached from elsewhere and asks nobody who they are."""
    if settings.resolved_access == "open" and not is_loopback(settings.reached_at):
        raise OpenToOthers(
            f"Others reach it at {settings.reached_at}, and it would ask nobody who they are: "
            "set CXR_GATEWAY_OIDC_ISSUER for sign-in, CXR_GATEWAY_ACCESS=closed for API keys "
            "alone, or CXR_GATEWAY_ACCESS=behind-log-in if a proxy before it asks."
        )
