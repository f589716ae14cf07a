"""The picture as it goes to the readers: a PNG that costs next to nothing to write and to read."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT = (8, 0, 0, 0, 0)


def stored_png(grey: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W] as an 8-bit grey PNG of stored blocks and no filter; see docs/adr/0005."""
    height, width = grey.shape
    rows = np.zeros((height, width + 1), np.uint8)  # column 0: filter type 0 of each row
    rows[:, 1:] = grey
    header = struct.pack(">IIBBBBB", width, height, *_GREY_8_BIT)
    data = zlib.compress(rows.data, 0)
    return b"".join(
        (_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", data), *_chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", crc)
