"""What can be submitted, as the bytes and the headers of a request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

# How many files one request may have.
MAX_FILES = 32
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


class DicomDataset(Protocol):
    """What pydicom's `Dataset` is to this package."""

    def save_as(self, target: BytesIO, /, **options: Any) -> Any:
        """Write the file."""


Source = str | Path | bytes | BinaryIO | DicomDataset


@dataclass(frozen=True)
class Upload:
    """A file in memory: it may have to be sent more than once."""

    content: bytes
    name: str | None

    @property
    def media_type(self) -> str:
        """What the bytes look like; the gateway looks again."""
        if self.content.startswith(_PNG):
            return "image/png"
        return "image/jpeg" if self.content.startswith(_JPEG) else "application/dicom"

    @property
    def headers(self) -> dict[str, str]:
        """Of a request whose body is the file."""
        named = {"Content-Type": self.media_type}
        if self.name:
            named["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(self.name)}"
        return named


def upload_of(source: Source, name: str | None = None) -> Upload:
    """The file of a path, of bytes, of an open file, or of a pydicom data set.

    Args:
        source: PNG, JPEG or DICOM.
        name: how the gateway is to show it; without, the path's or the open file's.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return Upload(path.read_bytes(), name or path.name)
    if isinstance(source, bytes):
        return Upload(source, name)
    if hasattr(source, "save_as"):
        buffer = BytesIO()
        source.save_as(buffer, enforce_file_format=True)
        return Upload(buffer.getvalue(), name)
    found = name or getattr(source, "name", None)
    return Upload(source.read(), Path(found).name if isinstance(found, str) else None)


def in_requests(sources: Iterable[Source], max_bytes: int) -> Iterator[list[Upload]]:
    """Files in groups that one request takes; one that is too large for any is alone.

    Args:
        sources: read when their turn comes.
        max_bytes: of all files of a request.
    """
    group: list[Upload] = []
    for source in sources:
        upload = upload_of(source)
        size_bytes = sum(len(one.content) for one in group) + len(upload.content)
        if group and (len(group) == MAX_FILES or size_bytes > max_bytes):
            yield group
            group = []
        group.append(upload)
    if group:
        yield group
