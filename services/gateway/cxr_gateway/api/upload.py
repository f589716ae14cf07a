"""Receives the one file of a multipart request: streamed to the archive's folder, never whole in
memory, refused as soon as it is too large or anything else than the one file.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import Request

from cxr_gateway.analysis.pipeline import Upload
from cxr_gateway.archive import Archive, IncomingFile
from cxr_gateway.core.errors import UploadTimeout
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.uploads import SingleFileForm, refuse_content_encoding

FIELD = "file"
MAX_NAME_CHARS = 255
# What a request may be longer than its file: boundary, headers of the part.
ENVELOPE_BYTES = 64 * 1024
# Written in pieces of this size, so that a 50 MB file costs neither memory nor many thread hops.
_PIECE_BYTES = 1024 * 1024


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
    refuse_content_encoding(request)
    content_type = request.headers.get("content-type", "")
    form = SingleFileForm(content_type, FIELD, settings.max_upload_bytes)
    receiver = _Receiver(archive)
    try:
        async for chunk in _chunks(request, settings.upload_idle_timeout_s):
            form.feed(chunk)
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


def _displayable(name: str | None) -> str | None:
    """The client's name without control characters, cut; for eyes only."""
    shown = "".join(character for character in name or "" if character.isprintable())
    return shown[:MAX_NAME_CHARS] or None
