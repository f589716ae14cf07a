"""Reading a multipart request that carries exactly one file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cxr_serving.errors import BadRequest, Unprocessable, UnsupportedMedia


@dataclass
class UploadedFile:
    """A file as it came. `name` and `media_type` are only what the client claims."""

    name: str | None
    media_type: str | None
    data: bytes


@dataclass
class _Part:
    headers: dict[str, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)

    @property
    def options(self) -> Mapping[bytes, bytes]:
        return parse_options_header(self.headers.get("content-disposition", b""))[1]

    @property
    def field_name(self) -> str:
        return self.options.get(b"name", b"").decode("utf-8", "replace")


class _AppState:
    """Callbacks of the multipart parser: the parts, in memory.

    Starlette's own parser writes files to a spooled temporary file, with a thread hop for every
    chunk once that is on disk. A body here is bounded by BodyLimitMiddleware and is needed whole
    in memory by the decoder anyway.
    """

    def __init__(self) -> None:
        self.finished: list[_Part] = []
        self._part = _Part()
        self._name = bytearray()
        self._value = bytearray()

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.data += memoryview(data)[start:end]

    def _end(self) -> None:
        self.finished.append(self._part)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()


def forbid_unknown_query(request: Request, *known: str) -> None:
    """Raise Unprocessable if the query has another parameter than `known`; it may be misspelt."""
    if unknown := sorted(set(request.query_params) - set(known)):
        raise Unprocessable(
            f"Unknown query parameter: {', '.join(unknown)}. "
            f"Known: {', '.join(known) if known else 'none'}."
        )


async def read_single_file(request: Request, field_name: str) -> UploadedFile:
    """The one file of a multipart form, whose field is called `field_name`.

    Raises:
        UnsupportedMedia: The request is no multipart form.
        BadRequest: The form is malformed or cut short.
        Unprocessable: The field is missing, empty or there twice, or there is another field.
    """
    parts = await _read_parts(request, field_name)
    names = [part.field_name for part in parts]
    if unknown := sorted(set(names) - {field_name}):
        raise Unprocessable(
            f"Unknown form field: {', '.join(unknown)}. The form takes one file, `{field_name}`."
        )
    if len(parts) != 1:
        found = "none" if not parts else str(len(parts))
        raise Unprocessable(f"The form needs exactly one file in `{field_name}`; there is {found}.")
    part = parts[0]
    if not part.data:
        raise Unprocessable(f"The file in `{field_name}` is empty.")
    file_name = part.options.get(b"filename")
    media_type = part.headers.get("content-type")
    return UploadedFile(
        name=None if file_name is None else file_name.decode("utf-8", "replace"),
        media_type=None if media_type is None else media_type.decode("latin-1"),
        data=bytes(part.data),
    )


async def _read_parts(request: Request, field_name: str) -> list[_Part]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise UnsupportedMedia(
            f"The request must be multipart/form-data with one file in `{field_name}`; "
            f"it is {kind.decode('latin-1') or 'without a content type'}."
        )
    parts = _AppState()
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest("The multipart form is malformed.") from error
    return parts.finished
