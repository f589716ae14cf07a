"""Turning requests away before their body is read."""

import contextlib
from collections.abc import Callable, Iterator

from fastapi import Request

from cxr_serving.errors import Overloaded


class Admission:
    """Bounds the requests inside a service, and the bytes of their bodies together.

    A queue bounds what waits for the model; this bounds the uploads that are still being read
    or decoded, so that memory has a limit however many clients come at once.

    Args:
        max_requests: Inside at the same time.
        max_bytes: Of all their bodies; one request is always let in, however large.
        unknown_bytes: What a request without a Content-Length counts as.
        retry_after_s: Asked for each refusal.
    """

    def __init__(
        self,
        *,
        max_requests: int,
        max_bytes: int,
        unknown_bytes: int,
        retry_after_s: Callable[[], int],
    ) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._unknown_bytes = unknown_bytes
        self._retry_after_s = retry_after_s
        self._requests = 0
        self._bytes = 0

    @contextlib.contextmanager
    def admit(self, request: Request) -> Iterator[None]:
        """Count `request` in until the end of the block.

        Raises:
            Overloaded: There is no room for it now.
        """
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else self._unknown_bytes
        full = self._requests >= self._max_requests or self._bytes + size > self._max_bytes
        if full and self._requests:
            raise Overloaded(
                f"{self._requests} requests are being answered already; try again.",
                retry_after_s=self._retry_after_s(),
            )
        self._requests += 1
        self._bytes += size
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= size
