"""Changes as server-sent events: followed by many at once, each within its rights."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi import Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from prometheus_client import Gauge
from starlette.types import Receive, Scope, Send

from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.api.shares import Most, Shares
from cxr_gateway.archive.changes import Position
from cxr_gateway.audit import AuditLog, by_request
from cxr_gateway.changes.feed import ChangeFeed
from cxr_gateway.changes.schemas import ChangePage
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.principal import Principal
from cxr_gateway.core.request_state import is_head, principal_of
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError, Unavailable

_AT_ONCE = 100
_RETRY_MS = 2000
# How long a key or session is believed without being looked up again.
_BELIEVED_S = 5.0
_HEADERS = {
    "Cache-Control": "no-store",
    # nginx would keep events back until its buffer is full.
    "X-Accel-Buffering": "no",
}


class EventStreams:
    """The streams of this process.

    Args:
        feed: what is streamed.
        authenticator: says whether whoever follows still may.
        audit: where it is put on record of which studies a stream told.
        settings: limits and times.
        count: how many there are.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        authenticator: Authenticator,
        audit: AuditLog,
        settings: GatewaySettings,
        count: Gauge,
    ) -> None:
        self._feed = feed
        self._authenticator = authenticator
        self._audit = audit
        self._settings = settings
        self._count = count
        most = Most(settings.max_event_streams, settings.max_event_streams_per_principal)
        self._shares = Shares("streams", most, is_open=settings.resolved_access == "open")
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End all streams, soon; there are no new ones."""
        self._closed.set()

    async def open(self, request: Request, after: Position | None) -> StreamingResponse:
        """The stream of what whoever asks may see, from a place on; None: from now on.

        Raises:
            CursorGone: as of `ChangeFeed.page`.
            TooManyRequests, Overloaded: there are as many as there may be.
            Unavailable: the gateway is stopping.
        """
        if self._closed.is_set():
            raise Unavailable("The gateway is stopping; try again.")
        principal = principal_of(request)
        start = after or await self._feed.now()
        await self._feed.page(start, 1, principal.department)
        place = ExitStack()
        place.enter_context(self._shares.take(principal, client_address(request)))
        place.enter_context(self._count.track_inprogress())
        events = self._nothing() if is_head(request) else self._events(request, principal, start)
        return _Stream(events, place)

    async def _events(
        self, request: Request, principal: Principal, after: Position
    ) -> AsyncIterator[bytes]:
        ends = time.monotonic() + self._settings.event_stream_max_s
        believed = time.monotonic() + _BELIEVED_S
        told = set[str]()
        # An id without data moves the client's place, and is no event.
        yield format_sse_event(id=str(after), retry=_RETRY_MS)
        while not self._closed.is_set() and time.monotonic() < ends:
            try:
                if time.monotonic() >= believed:
                    if not await self._may_go_on(request, principal):
                        return
                    believed = time.monotonic() + _BELIEVED_S
                page = await self._feed.page(after, _AT_ONCE, principal.department)
                await self._put_on_record(request, page, told)
            except ServiceError:
                return  # the client comes back, and is told why if it lasts
            for change in page.items:
                data = change.model_dump_json()
                yield format_sse_event(event="change", id=change.cursor, data_str=data)
            reached = Position.parse(page.next_cursor)
            if page.has_more:
                after = reached
                continue
            if not await self._news(reached, ends):
                yield format_sse_event(id=str(reached), comment="still here")
            after = reached

    async def _news(self, after: Position, ends: float) -> bool:
        """Wait; whether something happened before a heartbeat is due."""
        left_s = max(0.0, ends - time.monotonic())
        waits = {
            asyncio.ensure_future(self._feed.wait(after)),
            asyncio.ensure_future(self._closed.wait()),
        }
        try:
            done, _ = await asyncio.wait(
                waits,
                timeout=min(self._settings.event_heartbeat_s, left_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return bool(done)

    async def _put_on_record(self, request: Request, page: ChangePage, told: set[str]) -> None:
        """Before it is sent: which studies are named that this stream has not told of yet."""
        new = [one for one in dict.fromkeys(x.study_id for x in page.items) if one not in told]
        if new:
            told.update(new)
            await self._audit.record(
                by_request(request, "streamEvents", None, 200, {"studies": new})
            )

    async def _may_go_on(self, request: Request, principal: Principal) -> bool:
        """Whether the session or key is still good, and gives the same rights."""
        if not self._settings.is_closed:
            return True
        caller = await self._authenticator.authenticate(request, attended=False)
        return caller.principal == principal

    async def _nothing(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for line in nothing:
            yield line


class _Stream(StreamingResponse):
    """Gives its place back at its end, even if it never began."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], place: ExitStack) -> None:
        super().__init__(events, headers=_HEADERS)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        with self._place:
            await super().__call__(scope, receive, send)
