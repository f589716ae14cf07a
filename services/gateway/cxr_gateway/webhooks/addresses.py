"""To which addresses a webhook may go: public ones, and those that the operator allows.

A name is looked up before each call, every address of it has to be allowed, and the call goes to
one of just these: a name that points elsewhere a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from cxr_serving.errors import Unprocessable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
_RESOLVE_S = 5.0
_MAX_URL_CHARS = 2000
# Behind these prefixes lie IPv4 addresses that the IPv6 one does not show.
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name; none if it has none."""
    try:
        async with asyncio.timeout(_RESOLVE_S):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class AddressPolicy:
    """Says where to connect for a URL, or refuses it.

    Args:
        allowed: names, addresses and networks that need not be public.
        resolver: looks a name up.
    """

    def __init__(self, allowed: Sequence[str], resolver: Resolve = resolve) -> None:
        self._networks, self._names = [], set()
        for entry in allowed:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._names.add(entry.lower().rstrip("."))
        self._resolve = resolver

    async def place_of(self, url: str) -> tuple[str, str]:
        """The address to connect to, and the name by which the server is known.

        Raises:
            Unprocessable: the URL is not one of a web server that may be called.
        """
        host, port, is_plain = _parts(url)
        named = host.lower().rstrip(".") in self._names
        addresses = await self._resolve(host, port)
        if not addresses:
            raise Unprocessable(f"The name {host} has no address.")
        listed = True
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            is_listed = named or any(address in network for network in self._networks)
            listed = listed and is_listed
            if not is_listed and not _is_public(address):
                raise Unprocessable(
                    f"{host} is at an address that is not public. CXR_GATEWAY_WEBHOOK_ALLOW lists "
                    "names, addresses and networks that are called all the same."
                )
        if is_plain and not listed:
            raise Unprocessable(
                "The address must begin with https://; http:// is for what "
                "CXR_GATEWAY_WEBHOOK_ALLOW lists."
            )
        return addresses[0], host


def _parts(url: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if (
        parts.scheme not in ("https", "http")
        or not host
        or parts.username is not None
        or parts.fragment
        or len(url) > _MAX_URL_CHARS
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or "\\" in url
    ):
        raise Unprocessable("The address must be an https:// URL, without a user or a fragment.")
    return host, port or (443 if parts.scheme == "https" else 80), parts.scheme == "http"


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast
