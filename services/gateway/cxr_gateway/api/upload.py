"""Receives the one file of a multipart request: streamed to the archive's folder, never whole in
memory, refused as soon as it is too large or anything else than the one file.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cxr_gateway.archive import Archive, IncomingFile
from cxr_gateway.core.errors import UploadTimeout
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import (
    BadRequest,
    PayloadTooLarge,
    ServiceError,
    Unprocessable,
    UnsupportedMedia,
)

FIELD = "file"
MAX_NAME_CHARS = 255
# What a request may be longer than its file: boundary, headers of the part.
ENVELOPE_BYTES = 64 * 1024
# Written in pieces of this size, so that a 50 MB file costs neither memory nor many thread hops.
_PIECE_BYTES = 1024 * 1024


@dataclass
class Upload:
    """A received file, outside every study until the archive keeps it."""

    incoming: IncomingFile
    sha256: str
    size_bytes: int
    file_name: str | None
    received_at: datetime
    started: float = field(default_factory=time.perf_counter)


async def receive_upload(request: Request, archive: Archive, settings: GatewaySettings) -> Upload:
    """The file of the request's only field, `file`. The caller has to keep or discard it.

    Raises:
        UnsupportedMedia: not a multipart form.
        BadRequest: the form is malformed or cut short.
        Unprocessable: no file, an empty file, two files, or another field.
        PayloadTooLarge: more than `max_upload_bytes`; what has come is gone.
        UploadTimeout: the client fell silent.
        StorageFull: the archive has no room.
    """
    parser, form = _open_form(request, settings.max_upload_bytes)
    receiver = _Receiver(archive)
    try:
        async for chunk in _chunks(request, settings.upload_idle_timeout_s):
            _feed(parser, form, chunk)
            if len(form.pending) >= _PIECE_BYTES:
                await receiver.put(form.take())
        form.check_complete()
        incoming = await receiver.put(form.take())
    except BaseException:
        await asyncio.shield(receiver.discard())
        raise
    return Upload(
        incoming=incoming,
        sha256=receiver.sha256,
        size_bytes=form.size_bytes,
        file_name=_displayable(form.file_name),
        received_at=datetime.now(UTC),
    )


class _Receiver:
    """Writes pieces to an incoming file, which is made with the first of them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._digest = hashlib.sha256()
        self._incoming: IncomingFile | None = None
        self._writing: asyncio.Task[IncomingFile] | None = None

    @property
    def sha256(self) -> str:
        """Of what has been written."""
        return self._digest.hexdigest()

    async def put(self, piece: bytes) -> IncomingFile:
        """Append `piece`."""
        self._writing = asyncio.create_task(self._archive.in_thread(self._write, piece))
        return await asyncio.shield(self._writing)

    async def discard(self) -> None:
        """Remove the file, after whatever is still being written to it."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        if self._incoming is not None:
            await self._archive.in_thread(self._incoming.discard)

    def _write(self, piece: bytes) -> IncomingFile:
        if self._incoming is None:
            self._incoming = self._archive.files.begin()
        self._digest.update(piece)
        self._incoming.write(piece)
        return self._incoming


def _open_form(request: Request, max_bytes: int) -> tuple[MultipartParser, "_Form"]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        found = kind.decode("latin-1") or "without a content type"
        raise UnsupportedMedia(
            f"The request must be multipart/form-data with one file in `{FIELD}`; it is {found}."
        )
    form = _Form(max_bytes)
    try:
        return MultipartParser(boundary, form.callbacks()), form  # type: ignore[arg-type]
    except FormParserError as error:
        raise BadRequest("The multipart form's boundary is not acceptable.") from error


async def _chunks(request: Request, idle_timeout_s: float) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise UploadTimeout(
                f"Nothing came for {idle_timeout_s:g} s in the middle of the upload."
            ) from error
        if chunk is None:
            return
        yield chunk


def _feed(parser: MultipartParser, form: "_Form", chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except FormParserError as error:
        raise BadRequest("The multipart form is malformed.") from error
    if form.refusal is not None:
        raise form.refusal


class _Form:
    """Callbacks of the multipart parser: lets one part called `file` through."""

    def __init__(self, max_bytes: int) -> None:
        self.pending = bytearray()
        self.size_bytes = 0
        self.file_name: str | None = None
        # Noted and raised by the caller: the parser may be in the middle of a chunk.
        self.refusal: ServiceError | None = None
        self._max_bytes = max_bytes
        self._files = 0
        self._ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def take(self) -> bytes:
        """What has come since the last call."""
        piece = bytes(self.pending)
        self.pending.clear()
        return piece

    def check_complete(self) -> None:
        """Raise if the request ended before the form did, or without a file."""
        if not self._ended:
            raise BadRequest("The multipart form is cut short: its closing boundary is missing.")
        if not self._files:
            raise Unprocessable(f"The form needs exactly one file in `{FIELD}`; there is none.")
        if not self.size_bytes:
            raise Unprocessable(f"The file in `{FIELD}` is empty.")

    def _begin(self) -> None:
        self._disposition = b""

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            self._refuse(f"Unknown form field `{name}`. The form takes one file, `{FIELD}`.")
            return
        self._files += 1
        if self._files > 1:
            self._refuse(f"The form needs exactly one file in `{FIELD}`; there are more.")
            return
        file_name = options.get(b"filename")
        if file_name is None:
            self._refuse(f"`{FIELD}` must be a file (with a filename), not a text field.")
            return
        self.file_name = file_name.decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.size_bytes += end - start
        if self.size_bytes > self._max_bytes:
            self.refusal = self.refusal or PayloadTooLarge(
                f"The file is larger than the {self._max_bytes:,} bytes that are accepted.",
                max_bytes=self._max_bytes,
            )
        if self.refusal is None:
            self.pending += memoryview(data)[start:end]

    def _end(self) -> None:
        self._ended = True

    def _refuse(self, detail: str) -> None:
        self.refusal = self.refusal or Unprocessable(detail)


def _displayable(name: str | None) -> str | None:
    """The client's name without control characters, cut; for eyes only."""
    shown = "".join(character for character in name or "" if character.isprintable())
    return shown[:MAX_NAME_CHARS] or None
