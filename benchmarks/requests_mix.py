"""What the load run sends: files of three kinds, files that were sent before, lists, images."""

import io
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from PIL import Image

from benchmarks.images import sample_png, unique_dicoms, unique_pngs

_DICOM_SIDE_PX = 512
# Of twenty requests; the order is drawn, always the same.
_SHARES = {"png": 5, "jpeg": 2, "dicom": 2, "repeated": 5, "list": 3, "image": 3}
_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to upload; `sha256` is its name in the ledger."""

    content: bytes
    sha256: str


@dataclass
class Mix:
    """The requests one after another, and what has been accepted so far.

    Attributes:
        ids: of studies that were accepted, the latest ones.
        sent: files that were accepted, the latest ones.
    """

    ids: list[str] = field(default_factory=list)
    sent: list[Upload] = field(default_factory=list)
    _draw: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def __post_init__(self) -> None:
        png = sample_png()
        self._files = {
            "png": unique_pngs(png),
            "jpeg": _unique_jpegs(png),
            "dicom": _unique_dicoms(png),
        }
        deck = [kind for kind, share in _SHARES.items() for _ in range(share)]
        self._kinds = itertools.chain.from_iterable(self._shuffled(deck) for _ in itertools.count())

    def _shuffled(self, deck: list[str]) -> list[str]:
        return self._draw.sample(deck, len(deck))

    def next(self) -> tuple[str, Upload | str | None]:
        """A kind and what belongs to it: a file, a study's id, or None for a list."""
        kind = next(self._kinds)
        if kind == "repeated" and self.sent:
            return kind, self._draw.choice(self.sent)
        if kind == "image" and self.ids:
            return kind, self._draw.choice(self.ids)
        if kind in ("list", "image"):
            return "list", None
        content = next(self._files[kind if kind in self._files else "png"])
        return kind if kind in self._files else "png", Upload(content, sha256(content).hexdigest())

    def accepted(self, file: Upload, study_id: str) -> None:
        """Remember that a file is kept."""
        for memory, item in ((self.ids, study_id), (self.sent, file)):
            memory.append(item)  # type: ignore[arg-type]  # each its own kind
            del memory[:-_REMEMBERED]


def _unique_jpegs(png: bytes) -> Iterator[bytes]:
    """The image as JPEG, each with another comment behind its first marker."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).save(stream, "JPEG", quality=90)
    jpeg = stream.getvalue()
    for number in itertools.count():
        comment = str(number).encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        yield jpeg[:2] + segment + jpeg[2:]


def _unique_dicoms(png: bytes) -> Iterator[bytes]:
    """The image as small DICOM files of 12 bits."""
    small = Image.open(io.BytesIO(png)).resize((_DICOM_SIDE_PX, _DICOM_SIDE_PX))
    return unique_dicoms(np.asarray(small, np.uint16) * 16, bits=12)
