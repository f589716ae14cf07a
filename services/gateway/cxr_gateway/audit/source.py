"""The address that a request came from, also behind proxies.

A proxy adds the address that it was asked from to the end of `X-Forwarded-For`; what stands before
that, a client may have written itself. So as many entries count, from the end, as there are
proxies of one's own, which a setting says.
"""

import ipaddress

from starlette.requests import HTTPConnection

FORWARDED = "X-Forwarded-For"


def source_of(connection: HTTPConnection, proxies: int) -> str | None:
    """The address behind `proxies` proxies; the peer's where the header does not reach so far."""
    header = ",".join(connection.headers.getlist(FORWARDED))
    entries = [entry.strip() for entry in header.split(",")]
    if 0 < proxies <= len(entries) and (address := _address(entries[-proxies])) is not None:
        return address
    return None if connection.client is None else _address(connection.client.host)


def _address(text: str) -> str | None:
    """`text` in its usual form, if it is an address: nothing else gets into the log."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return None
