"""The address that a request came from."""

import ipaddress

from starlette.requests import HTTPConnection


def client_address(connection: HTTPConnection) -> str | None:
    """Where a request comes from; None for a peer without an address."""
    return None if connection.client is None else plain_address(connection.client.host)


def plain_address(text: str) -> str | None:
    """`text` in its usual form, if it is an address: nothing else gets into a log."""
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        return None
