"""One call of a webhook: signed, to an address that was checked, without a redirection."""

import functools
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from cxr_gateway.webhooks.addresses import AddressPolicy
from cxr_gateway.webhooks.signing import signature
from cxr_serving.errors import Unprocessable
from cxr_serving.product import VERSION

_GONE = 410
_MAX_RETRY_AFTER_S = 86_400


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        status: of the answer; None without one.
        error: why it was not taken, a sentence; None if it was.
        is_gone: the receiver wants no more.
        retry_after_s: not to be tried again before.
    """

    status: int | None
    error: str | None
    is_gone: bool = False
    retry_after_s: float = 0.0


class WebhookSender:
    """Calls webhooks.

    Args:
        http: does not follow redirections, and takes no proxy from the environment.
        policy: of the addresses.
    """

    def __init__(self, http: httpx.AsyncClient, policy: AddressPolicy) -> None:
        self._http = http
        self._policy = policy

    async def check(self, url: str) -> None:
        """Raise Unprocessable for an address that is not called."""
        await self._policy.place_of(url)

    async def send(self, url: str, secret: str, message_id: str, body: str) -> Outcome:
        """Call a webhook; whatever happens is an outcome."""
        try:
            address, host = await self._policy.place_of(url)
        except Unprocessable as error:
            return Outcome(None, error.detail)
        asked, timestamp_s = httpx.URL(url), int(time.time())
        request = self._http.build_request(
            "POST",
            asked.copy_with(host=address),
            content=body.encode(),
            headers={
                "Host": asked.netloc.decode(),
                "Content-Type": "application/json",
                "User-Agent": f"cxr-gateway/{VERSION}",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp_s),
                "webhook-signature": signature(secret, message_id, timestamp_s, body),
            },
            # The certificate is checked for the name, wherever the name was found to be.
            extensions={"sni_hostname": host},
        )
        try:
            response = await self._http.send(request, stream=True)
            await response.aclose()  # what it says is not read: it could be endless
        except httpx.HTTPError as error:
            return Outcome(None, f"It does not answer ({type(error).__name__}).")
        if response.is_success:
            return Outcome(response.status_code, None)
        after = response.headers.get("retry-after", "")
        return Outcome(
            response.status_code,
            f"It answered with status {response.status_code}.",
            is_gone=response.status_code == _GONE,
            retry_after_s=min(int(after), _MAX_RETRY_AFTER_S) if after.isdecimal() else 0.0,
        )


@asynccontextmanager
async def open_sender(policy: AddressPolicy, timeout_s: float) -> AsyncIterator[WebhookSender]:
    """A sender, closed at the end of the block; every wait ends after `timeout_s`."""
    async with httpx.AsyncClient(
        timeout=timeout_s, trust_env=False, follow_redirects=False, verify=_public_authorities()
    ) as http:
        yield WebhookSender(http, policy)


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    """Whom httpx believes; to read them takes a tenth of a start, so once a process."""
    return httpx.create_ssl_context(trust_env=False)
