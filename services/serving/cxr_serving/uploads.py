"""Receiving files, in a multipart form or one as the body: as they come, or whole in memory.

Starlette's own parser writes files to a spooled temporary file, with a thread hop for every chunk
once that is on disk. Here the caller decides where the pieces go.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
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

# A preamble is for people whose program knows no multipart; more than this is something else.
_MAX_PREAMBLE_BYTES = 8192


@dataclass
class UploadedFile:
    """A file as it came. `name` and `media_type` are only what the client claims."""

    name: str | None
    media_type: str | None
    data: bytes


def forbid_unknown_query(request: Request, *known: str) -> None:
    """Raise Unprocessable if the query has another parameter than `known`; it may be misspelt."""
    if unknown := sorted(set(request.query_params) - set(known)):
        raise Unprocessable(
            f"Unknown query parameter: {', '.join(unknown)}. "
            f"Known: {', '.join(known) if known else 'none'}."
        )


async def read_single_file(request: Request, field_name: str) -> UploadedFile:
    """The one file of a multipart form, whose field is called `field_name`, whole in memory.

    The size of the body is bounded by `BodyLimitMiddleware`.

    Raises:
        UnsupportedMedia: The request is no multipart form.
        BadRequest: The form is malformed or cut short.
        Unprocessable: The field is missing, empty or there twice, or there is another field.
    """
    refuse_content_encoding(request)
    form = SingleFileForm(request.headers.get("content-type", ""), field_name)
    async for chunk in request.stream():
        form.feed(chunk)
    form.check_complete()
    return UploadedFile(name=form.file_name, media_type=form.media_type, data=form.take())


class _FileForm(ABC):
    """A multipart form that is fed in chunks: its files are in the field `field_name`.

    Args:
        content_type: the request's header.
        field_name: of the only field.
        wanted: what the form has to have, in words.

    Raises:
        UnsupportedMedia: the header is not that of a multipart form.
        BadRequest: the form's boundary cannot be one.
    """

    def __init__(self, content_type: str, field_name: str, wanted: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMedia(
                f"The request must be multipart/form-data with {wanted} in `{field_name}`; "
                f"it is {kind.decode('latin-1') or 'without a content type'}."
            )
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise BadRequest("The multipart form's boundary is not acceptable.") from error
        self._opening: bytearray | None = bytearray()
        self._boundary = b"--" + boundary
        self._field_name = field_name
        self._wanted = wanted
        # Noted and raised by `feed`: the parser may be in the middle of a chunk.
        self._refusal: ServiceError | None = None
        self._files = 0
        self._ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body.

        Raises:
            BadRequest: the form is malformed.
            Unprocessable: another field, too many files, or a text instead of a file.
            PayloadTooLarge: more bytes than are accepted.
        """
        try:
            self._parser.write(self._from_boundary(chunk))
        except FormParserError as error:
            raise BadRequest("The multipart form is malformed.") from error
        if self._refusal is not None:
            raise self._refusal

    def _from_boundary(self, chunk: bytes) -> bytes:
        """`chunk` without what may come before the first part: preamble and padding (RFC 2046)."""
        if self._opening is None:
            return chunk
        self._opening += chunk
        opening = bytes(self._opening)
        at = 0 if opening.startswith(self._boundary) else opening.find(b"\n" + self._boundary) + 1
        end = opening.find(b"\n", at + len(self._boundary))
        if (at or opening.startswith(self._boundary)) and end >= 0:
            self._opening = None
            line = opening[at:end].rstrip(b" \t\r")
            return line + b"\r\n" + opening[end + 1 :]
        if len(opening) > _MAX_PREAMBLE_BYTES + len(self._boundary):
            raise BadRequest("The multipart form is malformed: its boundary never comes.")
        return b""

    def check_complete(self) -> None:
        """Raise if the request ended before the form did, or without a file."""
        opening = bytes(self._opening or b"")
        if self._boundary not in opening and not self._boundary.startswith(opening):
            raise BadRequest("The multipart form is malformed: its boundary never comes.")
        if not self._ended:
            raise BadRequest("The multipart form is cut short: its closing boundary is missing.")
        if not self._files:
            raise Unprocessable(
                f"The form needs {self._wanted} in `{self._field_name}`; there is none."
            )

    def _callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers.clear()

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        name, file_name = _names(self._headers.get(b"content-disposition", b""))
        field_name = self._field_name
        if name != field_name:
            self._refuse(
                Unprocessable(
                    f"Unknown form field `{name}`. The form takes {self._wanted} in `{field_name}`."
                )
            )
            return
        if file_name is None:
            self._refuse(
                Unprocessable(f"`{field_name}` must be a file (with a filename), not a text field.")
            )
            return
        self._files += 1
        self._begin_file(file_name)

    @abstractmethod
    def _begin_file(self, name: str) -> None: ...

    @abstractmethod
    def _data(self, data: bytes, start: int, end: int) -> None: ...

    def _end(self) -> None:
        self._ended = True

    def _refuse(self, refusal: ServiceError) -> None:
        self._refusal = self._refusal or refusal


class SingleFileForm(_FileForm):
    """A form that lets one file through.

    Args:
        content_type: the request's header.
        field_name: of the one field.
        max_bytes: of the file; None where something else bounds it.
    """

    def __init__(self, content_type: str, field_name: str, max_bytes: int | None = None) -> None:
        super().__init__(content_type, field_name, "exactly one file")
        self.pending = bytearray()
        self.size_bytes = 0
        self.file_name: str | None = None
        self.media_type: str | None = None
        self._max_bytes = max_bytes

    def take(self) -> bytes:
        """What has come of the file since the last call."""
        piece = bytes(self.pending)
        self.pending.clear()
        return piece

    def check_complete(self) -> None:
        """Raise if the request ended before the form did, or without a file."""
        super().check_complete()
        if not self.size_bytes:
            raise Unprocessable(f"The file in `{self._field_name}` is empty.")

    def _begin_file(self, name: str) -> None:
        if self._files > 1:
            found = f"The form needs exactly one file in `{self._field_name}`; there are more."
            self._refuse(Unprocessable(found))
            return
        media_type = self._headers.get(b"content-type")
        self.file_name = name
        self.media_type = None if media_type is None else media_type.decode("latin-1")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.size_bytes += end - start
        if self._max_bytes is not None:
            try:
                _check_size(self.size_bytes, self._max_bytes)
            except PayloadTooLarge as refusal:
                self._refuse(refusal)
        if self._refusal is None:
            self.pending += memoryview(data)[start:end]


class SeveralFilesForm(_FileForm):
    """A form with one file or several, each a field of the same name.

    Args:
        content_type: the request's header.
        field_name: of each field.
        max_files: how many there may be.
        max_bytes: of all of them together.
    """

    def __init__(
        self, content_type: str, field_name: str, *, max_files: int, max_bytes: int
    ) -> None:
        super().__init__(content_type, field_name, f"1 to {max_files} files")
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.pending_bytes = 0
        self._pending: list[tuple[int, bytearray]] = []
        self._max_files = max_files
        self._max_bytes = max_bytes

    def take(self) -> list[tuple[int, bytes]]:
        """What has come since the last call: the file's number, and a piece of it.

        An empty file has one empty piece.
        """
        pieces = [(number, bytes(piece)) for number, piece in self._pending]
        self._pending, self.pending_bytes = [], 0
        return pieces

    def _begin_file(self, name: str) -> None:
        if self._files > self._max_files:
            self._refuse(
                Unprocessable(
                    f"A request takes at most {self._max_files} files; send the others in another."
                )
            )
            return
        self.names.append(name)
        self.sizes.append(0)
        self._pending.append((self._files - 1, bytearray()))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._refusal is not None:
            return
        self.sizes[-1] += end - start
        if sum(self.sizes) > self._max_bytes:
            self._refuse(
                PayloadTooLarge(
                    f"The files are together larger than the {self._max_bytes:,} bytes that a "
                    "request may have; send fewer at once.",
                    max_bytes=self._max_bytes,
                )
            )
            return
        number = self._files - 1
        if not self._pending or self._pending[-1][0] != number:
            self._pending.append((number, bytearray()))
        self._pending[-1][1].extend(memoryview(data)[start:end])
        self.pending_bytes += end - start


class RawFile:
    """A body that is the file itself; it is fed and asked as a `SingleFileForm` is.

    Args:
        disposition: the request's Content-Disposition, which may name the file.
        max_bytes: of the file.
    """

    def __init__(self, disposition: str, max_bytes: int) -> None:
        self.pending = bytearray()
        self.size_bytes = 0
        self.file_name = _names(disposition.encode("latin-1", "replace"))[1]
        self._max_bytes = max_bytes

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body; PayloadTooLarge beyond `max_bytes`."""
        self.size_bytes += len(chunk)
        _check_size(self.size_bytes, self._max_bytes)
        self.pending += chunk

    def take(self) -> bytes:
        """What has come since the last call."""
        piece = bytes(self.pending)
        self.pending.clear()
        return piece

    def check_complete(self) -> None:
        """Unprocessable if nothing came."""
        if not self.size_bytes:
            raise Unprocessable("The file is empty.")


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise PayloadTooLarge(
            f"The file is larger than the {max_bytes:,} bytes that are accepted.",
            max_bytes=max_bytes,
        )


def _names(disposition: bytes) -> tuple[str, str | None]:
    """The field's name and the file's, however a client writes them.

    `filename*` (RFC 5987) stands before `filename`, and either may be alone. .NET sends the
    encoded words of RFC 2047, which RFC 7578 does not know.
    """
    header = Message()
    header["Content-Disposition"] = disposition.decode("utf-8", "replace")
    # `str | tuple`, whatever the annotation says: RFC 2231's come as character set, language, text.
    options: Any = header.get_params(failobj=[], header="content-disposition")
    found = {name: collapse_rfc2231_value(value) for name, value in options}
    plain = parse_options_header(disposition)[1].get(b"filename")
    extended = found.get("filename") if b"filename*" in disposition.lower() else None
    file_name = extended or (None if plain is None else plain.decode("utf-8", "replace"))
    return found.get("name", ""), None if file_name is None else _decoded_words(file_name)


def _decoded_words(text: str) -> str:
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def refuse_content_encoding(request: Request) -> None:
    """Raise UnsupportedMedia for a compressed body: images are compressed, and bombs are easy."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMedia(
            f"Content-Encoding is {encoding[:40]}; bodies are accepted as they are, without one."
        )
