"""Receives the files of a request, in a multipart form or one as the body itself: streamed to the
archive's folder, never whole in memory, refused as soon as it is too large or anything else.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

from fastapi import Request

from cxr_gateway.analysis.pipeline import Upload
from cxr_gateway.archive import Archive, IncomingFile
from cxr_gateway.core.errors import UploadTimeout
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import UnsupportedMedia
from cxr_serving.uploads import (
    RawFile,
    SeveralFilesForm,
    SingleFileForm,
    refuse_content_encoding,
)

FIELD = "file"
# A body of one of these is the file itself; what it is, its bytes say.
RAW_TYPES = ("application/dicom", "image/png", "image/jpeg")
# More than a patient's examinations of a day, and few enough to be answered while a client waits.
MAX_FILES = 32
MAX_NAME_CHARS = 255
# What a request may be longer than its file: boundary, headers of the part.
ENVELOPE_BYTES = 64 * 1024
# Written in pieces of this size, so that a 50 MB file costs neither memory nor many thread hops.
_PIECE_BYTES = 1024 * 1024
# A connection's beginning says nothing of its pace.
_SLOW_AT_FIRST_S = 10.0


async def receive_upload(request: Request, archive: Archive, settings: GatewaySettings) -> Upload:
    """The file of a form's only field, `file`, or the body. The caller has to keep or discard it.

    Raises:
        UnsupportedMedia: neither a multipart form nor of a type in `RAW_TYPES`.
        BadRequest: the form is malformed or cut short.
        Unprocessable: no file, an empty file, two files, or another field.
        PayloadTooLarge: more than `max_upload_bytes`; what has come is gone.
        UploadTimeout: the client fell silent, or is too slow.
        StorageFull: the archive has no room.
    """
    refuse_content_encoding(request)
    form = _form_of(request, settings.max_upload_bytes)
    receiver = Receiver(archive)
    try:
        async for chunk in chunks_of(request, settings):
            form.feed(chunk)
            if len(form.pending) >= _PIECE_BYTES:
                await receiver.put(form.take())
        form.check_complete()
        await receiver.put(form.take())
        incoming = await receiver.finish()
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


async def receive_uploads(
    request: Request, archive: Archive, settings: GatewaySettings
) -> list[Upload]:
    """The files of a form, each in a field `file`; the caller has to keep or discard each.

    An empty file is among them.

    Raises:
        UnsupportedMedia: no multipart form.
        BadRequest: the form is malformed or cut short.
        Unprocessable: no file, more than `MAX_FILES`, or another field.
        PayloadTooLarge: more than `max_upload_bytes` together; what has come is gone.
        UploadTimeout: the client fell silent, or is too slow.
        StorageFull: the archive has no room.
    """
    refuse_content_encoding(request)
    kind = request.headers.get("content-type", "")
    form = SeveralFilesForm(kind, FIELD, max_files=MAX_FILES, max_bytes=settings.max_upload_bytes)
    uploads = await receive_parts(form, request, archive, settings)
    for upload, name in zip(uploads, form.names, strict=True):
        upload.file_name = _displayable(name)
    return uploads


class Parts(Protocol):
    """A body that is fed in chunks and has several files."""

    sizes: list[int]
    pending_bytes: int

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""

    def take(self) -> list[tuple[int, bytes]]:
        """What has come since: the number of the file, and a piece of it."""

    def check_complete(self) -> None:
        """Raise for a body that ended too early."""


async def receive_parts(
    parts: Parts, request: Request, archive: Archive, settings: GatewaySettings
) -> list[Upload]:
    """Write each file of a body to disk as it comes; if one cannot be, none is left there."""
    received: list[Receiver] = []

    async def put(pieces: list[tuple[int, bytes]]) -> None:
        for number, piece in pieces:
            if number == len(received):
                received.append(Receiver(archive))
            await received[number].put(piece)

    try:
        async for chunk in chunks_of(request, settings):
            parts.feed(chunk)
            if parts.pending_bytes >= _PIECE_BYTES:
                await put(parts.take())
        parts.check_complete()
        await put(parts.take())
        files = [await receiver.finish() for receiver in received]
    except BaseException:
        await asyncio.shield(_discard(received))
        raise
    return [
        Upload(incoming, receiver.sha256, n_bytes, None, datetime.now(UTC))
        for incoming, receiver, n_bytes in zip(files, received, parts.sizes, strict=True)
    ]


async def _discard(received: list["Receiver"]) -> None:
    for receiver in received:
        await receiver.discard()


def _form_of(request: Request, max_bytes: int) -> SingleFileForm | RawFile:
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in RAW_TYPES:
        return RawFile(request.headers.get("content-disposition", ""), max_bytes)
    if kind != "multipart/form-data":
        raise UnsupportedMedia(
            f"The request must be multipart/form-data with one file in `{FIELD}`, or the file "
            f"itself as {', '.join(RAW_TYPES)}; it is {kind[:100] or 'without a content type'}."
        )
    return SingleFileForm(content_type, FIELD, max_bytes)


class Receiver:
    """Writes pieces to an incoming file, made with the first of them, while the next one comes."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._digest = hashlib.sha256()
        self._incoming: IncomingFile | None = None
        self._writing: asyncio.Task[IncomingFile] | None = None

    @property
    def sha256(self) -> str:
        """Of what has been written."""
        return self._digest.hexdigest()

    async def put(self, piece: bytes) -> None:
        """Begin to append `piece`, once the last one is written; raises what that one met."""
        if self._writing is not None:
            await asyncio.shield(self._writing)
        self._writing = asyncio.create_task(self._archive.in_thread(self._write, piece))

    async def finish(self) -> IncomingFile:
        """The file with all of its pieces; RuntimeError if none was put."""
        if self._writing is None:
            raise RuntimeError("a file of no pieces")
        return await asyncio.shield(self._writing)

    async def discard(self) -> None:
        """Remove the file, after whatever is still being written to it."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._incoming is not None:
            await self._archive.in_thread(self._incoming.discard)

    def _write(self, piece: bytes) -> IncomingFile:
        if self._incoming is None:
            self._incoming = self._archive.files.begin()
        self._digest.update(piece)
        self._incoming.write(piece)
        return self._incoming


async def chunks_of(request: Request, settings: GatewaySettings) -> AsyncIterator[bytes]:
    """The body as it comes; UploadTimeout for a client that is silent, slow, or takes too long."""
    stream = request.stream()
    idle_s, begun, received = settings.upload_idle_timeout_s, time.monotonic(), 0
    while True:
        left_s = begun + settings.upload_max_s - time.monotonic()
        try:
            async with asyncio.timeout(min(idle_s, left_s)):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            if left_s <= idle_s:
                raise UploadTimeout(
                    f"The upload took longer than {settings.upload_max_s:g} s."
                ) from error
            raise UploadTimeout(
                f"Nothing came for {idle_s:g} s in the middle of the upload."
            ) from error
        if chunk is None:
            return
        received += len(chunk)
        counted_s = time.monotonic() - begun - _SLOW_AT_FIRST_S
        if received < settings.upload_min_bytes_per_s * counted_s:
            raise UploadTimeout(
                f"The upload is slower than {settings.upload_min_bytes_per_s:,} bytes a second."
            )
        yield chunk


def _displayable(name: str | None) -> str | None:
    """The client's name without control characters, cut; for eyes only."""
    shown = "".join(character for character in name or "" if character.isprintable())
    return shown[:MAX_NAME_CHARS] or None
