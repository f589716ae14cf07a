"""Answers in gzip for clients that take it: what a page is made of, and JSON.

A reverse proxy may do the same; `make run` has none. Images, DICOM and other files are compressed
as they are, and an event of a stream must not wait for the next one, so only the types below are.
Only answers to GET: what is posted is answered once, and as fast as can be.
"""

import asyncio
import re
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TYPES = re.compile(
    r"(text/(html|css|csv|plain|javascript)|application/(.+\+)?(json|javascript)|image/svg\+xml)(;.*)?"
)
# A smaller answer fits into one packet anyway.
MIN_BYTES = 1024
# More at once would keep the event loop busy for milliseconds.
_THREAD_BYTES = 128 * 1024
_LEVEL = 6
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_GZIP = re.compile(r"(^|,)\s*(gzip|\*)\s*(;\s*q=(?P<q>[\d.]+))?\s*(,|$)")


class CompressionMiddleware:
    """Compresses answers of more than `MIN_BYTES`, and says that they depend on what is taken."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(send, Headers(scope=scope)).send)


class _Answer:
    """One answer on its way; its head waits until it is known whether the body is compressed."""

    def __init__(self, send: Send, asked: Headers) -> None:
        self._send = send
        self._takes_gzip = _takes_gzip(asked.get("accept-encoding", ""))
        self._has = [tag.strip() for tag in asked.get("if-none-match", "").split(",")]
        self._head: Message | None = None
        self._compressor: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        """What the app sends."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            is_held = message["status"] == 304 and f"W/{headers.get('etag')}" in self._has
            if self._takes_gzip and is_held:
                # What the client has is the compressed one, by the tag that it was given.
                _weaken(headers)
            if _is_compressible(message["status"], headers):
                headers.add_vary_header("Accept-Encoding")
                if self._takes_gzip:
                    self._head = message
                    return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._head is not None:
            head, self._head = self._head, None
            if more or len(body) >= MIN_BYTES:
                self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
                body = await _compressed(self._compressor, body, more=more)
                _mark(MutableHeaders(scope=head), None if more else len(body))
            await self._send(head)
        elif self._compressor is not None:
            body = await _compressed(self._compressor, body, more=more)
        await self._send({**message, "body": body})


async def _compressed(compressor: "zlib._Compress", body: bytes, *, more: bool) -> bytes:
    def compress() -> bytes:
        compressed = compressor.compress(body)
        return compressed if more else compressed + compressor.flush()

    return await asyncio.to_thread(compress) if len(body) >= _THREAD_BYTES else compress()


def _is_compressible(status: int, headers: MutableHeaders) -> bool:
    return (
        status == 200
        and "content-encoding" not in headers
        and _TYPES.fullmatch(headers.get("content-type", "").lower()) is not None
    )


def _mark(headers: MutableHeaders, length: int | None) -> None:
    headers["Content-Encoding"] = "gzip"
    # These bytes are not those that a strong tag was made of, nor can parts of them be asked for.
    _weaken(headers)
    if "accept-ranges" in headers:
        del headers["Accept-Ranges"]
    del headers["Content-Length"]
    if length is not None:
        headers["Content-Length"] = str(length)


def _weaken(headers: MutableHeaders) -> None:
    if (tag := headers.get("etag")) is not None and not tag.startswith("W/"):
        headers["ETag"] = f"W/{tag}"


def _takes_gzip(accepted: str) -> bool:
    found = _GZIP.search(accepted.lower())
    return found is not None and (found["q"] is None or found["q"].strip("0.") != "")
