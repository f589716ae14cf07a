"""The one file of a multipart request: whole in memory, or piece by piece as it arrives.

Starlette's own parser writes files to a spooled temporary file, with a thread hop for every chunk
once that is on disk, and takes any number of fields.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cxr_serving.errors import (
    BadRequest,
    PayloadTooLarge,
    ServiceError,
    Unprocessable,
    UnsupportedMedia,
)


@dataclass
class UploadedFile:
    """A file as it came. `name` and `media_type` are only what the client claims."""

    name: str | None
    media_type: str | None
    data: bytes


class FileForm:
    """A multipart form of exactly one file; anything else is refused as soon as it is seen.

    Args:
        content_type: The request's header.
        field_name: Of the file.
        max_bytes: The largest file; None where something else bounds the request.

    Raises:
        UnsupportedMedia: The request is no multipart form.
        BadRequest: The form's boundary is malformed.
    """

    def __init__(self, content_type: str, field_name: str, *, max_bytes: int | None = None) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMedia(
                f"The request must be multipart/form-data with one file in `{field_name}`; "
                f"it is {kind.decode('latin-1') or 'without a content type'}."
            )
        self.file_name: str | None = None
        self.media_type: str | None = None
        self.size_bytes = 0
        self._field_name = field_name
        self._max_bytes = max_bytes
        self._pending = bytearray()
        self._files = 0
        self._ended = False
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        # Noted and raised after the chunk: the parser may be in the middle of it.
        self._refusal: ServiceError | None = None
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise BadRequest("The multipart form's boundary is not acceptable.") from error

    async def pieces(
        self, chunks: AsyncIterator[bytes], *, piece_bytes: int | None = None
    ) -> AsyncIterator[bytes]:
        """The file's content, from the body's `chunks`.

        Args:
            chunks: The body as it arrives.
            piece_bytes: A piece has at least so many, but for the last; None: one piece.

        Raises:
            BadRequest: The form is malformed or cut short.
            Unprocessable: No file, an empty file, two files, or another field.
            PayloadTooLarge: The file has more than `max_bytes`.
        """
        async for chunk in chunks:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise BadRequest("The multipart form is malformed.") from error
            if self._refusal is not None:
                raise self._refusal
            if piece_bytes is not None and len(self._pending) >= piece_bytes:
                yield self._take()
        self._check_complete()
        yield self._take()

    def _take(self) -> bytes:
        piece = bytes(self._pending)
        self._pending.clear()
        return piece

    def _check_complete(self) -> None:
        if not self._ended:
            raise BadRequest("The multipart form is cut short: its closing boundary is missing.")
        if not self._files:
            raise Unprocessable(
                f"The form needs exactly one file in `{self._field_name}`; there is none."
            )
        if not self.size_bytes:
            raise Unprocessable(f"The file in `{self._field_name}` is empty.")

    def _callbacks(self) -> dict[str, Any]:
        name, value = self._header
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def _headers_finished(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        wanted = self._field_name
        if name != wanted:
            self._refuse(f"Unknown form field: {name}. The form takes one file, `{wanted}`.")
            return
        self._files += 1
        if self._files > 1:
            self._refuse(f"The form needs exactly one file in `{wanted}`; there are more.")
            return
        file_name = options.get(b"filename")
        if file_name is None:
            self._refuse(f"`{wanted}` must be a file (with a filename), not a text field.")
            return
        media_type = self._headers.get(b"content-type")
        self.file_name = file_name.decode("utf-8", "replace")
        self.media_type = None if media_type is None else media_type.decode("latin-1")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.size_bytes += end - start
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            self._refusal = self._refusal or PayloadTooLarge(
                f"The file is larger than the {self._max_bytes:,} bytes that are accepted.",
                max_bytes=self._max_bytes,
            )
        if self._refusal is None:
            self._pending += memoryview(data)[start:end]

    def _end(self) -> None:
        self._ended = True

    def _refuse(self, detail: str) -> None:
        self._refusal = self._refusal or Unprocessable(detail)


async def read_single_file(request: Request, field_name: str) -> UploadedFile:
    """The one file of a multipart form, whole in memory; `BodyLimitMiddleware` bounds it.

    Raises:
        UnsupportedMedia: The request is no multipart form.
        BadRequest: The form is malformed or cut short.
        Unprocessable: No file, an empty file, two files, or another field than `field_name`.
    """
    form = FileForm(request.headers.get("content-type", ""), field_name)
    [data] = [piece async for piece in form.pieces(request.stream())]
    return UploadedFile(name=form.file_name, media_type=form.media_type, data=data)


def forbid_unknown_query(request: Request, *known: str) -> None:
    """Raise Unprocessable if the query has another parameter than `known`; it may be misspelt."""
    if unknown := sorted(set(request.query_params) - set(known)):
        raise Unprocessable(
            f"Unknown query parameter: {', '.join(unknown)}. "
            f"Known: {', '.join(known) if known else 'none'}."
        )
