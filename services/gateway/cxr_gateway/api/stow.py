"""STOW-RS (PS3.18, 10.5): instances of a multipart/related request, one after the other to disk."""

from dataclasses import dataclass, field
from email.message import Message
from io import BytesIO
from typing import Any

from fastapi import Request
from pydicom import dcmread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cxr_gateway.analysis.pipeline import Upload
from cxr_gateway.api.upload import Parts, receive_parts
from cxr_gateway.archive import Archive
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from cxr_serving.uploads import RawFile, refuse_content_encoding

PART_TYPE = "application/dicom"
DICOM_JSON = "application/dicom+json"
# Failure reasons of PS3.18, table I.2-2.
CANNOT_UNDERSTAND = 0xC000
OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110


@dataclass(frozen=True)
class Instance:
    """SOP class and instance of a received file, as far as its header says them."""

    sop_class_uid: str | None
    sop_instance_uid: str | None


@dataclass
class StowAnswer:
    """What became of each instance; PS3.18, table 10.5.3-2, as DICOM JSON.

    `studies` are those that the kept ones became.
    """

    studies: list[str] = field(default_factory=list)
    kept: list[tuple[Instance, str]] = field(default_factory=list)
    failed: list[tuple[Instance, int]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """200 if all were kept, 409 if none, 202 in between."""
        if not self.failed:
            return 200
        return 202 if self.kept else 409

    def document(self) -> dict[str, Any]:
        """The response's data set."""
        document: dict[str, Any] = {}
        if self.kept:
            items = [
                {**_reference(one), "00081190": {"vr": "UR", "Value": [url]}}
                for one, url in self.kept
            ]
            document["00081199"] = {"vr": "SQ", "Value": items}
        if self.failed:
            items = [
                {**_reference(one), "00081197": {"vr": "US", "Value": [reason]}}
                for one, reason in self.failed
            ]
            document["00081198"] = {"vr": "SQ", "Value": items}
        return document


def _reference(instance: Instance) -> dict[str, Any]:
    uids = {"00081150": instance.sop_class_uid, "00081155": instance.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items() if uid}


async def receive_instances(
    request: Request, archive: Archive, settings: GatewaySettings
) -> list[Upload]:
    """Every instance of a request, or the one that its body is; the caller keeps or discards each.

    Raises:
        UnsupportedMedia: neither multipart/related of application/dicom nor that itself.
        Unprocessable: the body is one empty instance.
        BadRequest: malformed, cut short, or without a part.
        PayloadTooLarge: all instances together are larger than one upload may be.
        UploadTimeout: the client fell silent.
        StorageFull: the archive has no room.
    """
    refuse_content_encoding(request)
    kind = request.headers.get("content-type", "")
    parts: Parts
    if kind.partition(";")[0].strip().lower() == PART_TYPE:
        parts = _OneInstance(settings.max_upload_bytes)
    else:
        parts = _Parts(_boundary(kind), settings.max_upload_bytes)
    return await receive_parts(parts, request, archive, settings)


def instance_of(content: bytes) -> Instance:
    """What a file says that it is; nothing where it cannot be read."""
    try:
        header = dcmread(
            BytesIO(content),
            stop_before_pixels=True,
            force=True,
            specific_tags=["SOPClassUID", "SOPInstanceUID"],
        )
        return Instance(
            str(header.get("SOPClassUID") or "") or None,
            str(header.get("SOPInstanceUID") or "") or None,
        )
    except Exception:
        return Instance(None, None)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    of = options.get(b"type", PART_TYPE.encode()).decode("latin-1").lower()
    if kind != b"multipart/related" or of != PART_TYPE:
        raise UnsupportedMedia(
            f'The request must be multipart/related; type="{PART_TYPE}", with an instance in '
            "each part."
        )
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadRequest("The request's Content-Type has no boundary.")
    return boundary


class _OneInstance:
    """A body that is one instance (PS3.18, 8.6.1.1), in the form of parts."""

    def __init__(self, max_bytes: int) -> None:
        self._file = RawFile("", max_bytes)

        self.sizes = [0]
        self.pending_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._file.feed(chunk)
        self.sizes, self.pending_bytes = [self._file.size_bytes], len(self._file.pending)

    def take(self) -> list[tuple[int, bytes]]:
        """What has come since, of part 0."""
        self.pending_bytes = 0
        return [(0, self._file.take())]

    def check_complete(self) -> None:
        """Raise Unprocessable for an empty body."""
        self._file.check_complete()


class _Parts:
    """The parts of a body that is fed in chunks, in the order of their coming."""

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.sizes: list[int] = []
        self.pending_bytes = 0
        self._pending: list[tuple[int, bytearray]] = []
        self._name, self._value = bytearray(), bytearray()
        self._refused: str | None = None
        self._ended, self._empty = False, False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise BadRequest("The request's boundary is not acceptable.") from error

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest("The multipart body is malformed.") from error
        if sum(self.sizes) > self._max_bytes:
            raise PayloadTooLarge(
                f"The instances are together larger than the {self._max_bytes:,} bytes that are "
                "accepted; send fewer at once.",
                max_bytes=self._max_bytes,
            )
        if self._empty:
            raise BadRequest("An instance of the request is empty.")
        if self._refused is not None:
            raise UnsupportedMedia(
                f"A part is of type {self._refused[:40]}; each must be {PART_TYPE}."
            )

    def take(self) -> list[tuple[int, bytes]]:
        """What has come since: the number of the part, and a piece of it."""
        pieces = [(number, bytes(piece)) for number, piece in self._pending]
        self._pending, self.pending_bytes = [], 0
        return pieces

    def check_complete(self) -> None:
        """Raise BadRequest unless the body came to its end, with a part."""
        if not self._ended:
            raise BadRequest("The multipart body is cut short: its closing boundary is missing.")
        if not self.sizes or not all(self.sizes):
            raise BadRequest("The request has no instance, or an empty one.")

    def _callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if self.sizes and not self.sizes[-1]:
            self._empty = True
        self.sizes.append(0)

    def _header(self) -> None:
        if bytes(self._name).lower() == b"content-type":
            header = Message()
            header["Content-Type"] = self._value.decode("latin-1")
            if header.get_content_type() != PART_TYPE:
                self._refused = header.get_content_type()
        self._name.clear()
        self._value.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        number = len(self.sizes) - 1
        self.sizes[number] += end - start
        self.pending_bytes += end - start
        if not self._pending or self._pending[-1][0] != number:
            self._pending.append((number, bytearray()))
        self._pending[-1][1].extend(memoryview(data)[start:end])

    def _end(self) -> None:
        self._ended = True
