"""RLE Lossless (PS3.5, annex G), stopped at the size that the picture has.

pydicom's own decoder expands a segment to its end before it compares sizes: 50 MB could become
3 GB. This one never holds more than the picture.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from cxr_serving.errors import Unprocessable

_HEADER_BYTES = 64
_MAX_SEGMENTS = 15


def decode_rle(
    frame: bytes, n_pixels: int, samples: int, bytes_per_sample: int
) -> NDArray[np.uint8]:
    """The samples' bytes, little endian: uint8 [n_pixels, samples, bytes_per_sample].

    Raises:
        Unprocessable: damaged, or of another number of segments or pixels than the header says.
    """
    n_segments = samples * bytes_per_sample
    if len(frame) < _HEADER_BYTES:
        raise Unprocessable("The RLE pixel data is truncated within its header.")
    found, *offsets = struct.unpack_from("<16L", frame)
    if found != n_segments or found > _MAX_SEGMENTS:
        raise Unprocessable(
            f"The RLE pixel data has {found} segments; the header's samples and bits need "
            f"{n_segments}."
        )
    ends = [*offsets[1:n_segments], len(frame)]
    out = np.empty((n_pixels, samples, bytes_per_sample), dtype=np.uint8)
    for index, (start, end) in enumerate(zip(offsets[:n_segments], ends, strict=True)):
        if not _HEADER_BYTES <= start <= end <= len(frame):
            raise Unprocessable("The RLE pixel data is damaged: its offsets are out of order.")
        plane = _unpack(frame[start:end], n_pixels)
        sample, significance = divmod(index, bytes_per_sample)
        # The most significant byte's segment comes first.
        out[:, sample, bytes_per_sample - 1 - significance] = np.frombuffer(plane, dtype=np.uint8)
    return out


def _unpack(packed: bytes, n_bytes: int) -> bytearray:
    """PackBits, at most `n_bytes` of it; Unprocessable if there is less."""
    out = bytearray()
    position, n_packed = 0, len(packed)
    while len(out) < n_bytes and position + 1 < n_packed:
        control = packed[position]
        if control < 128:
            out += packed[position + 1 : position + 2 + control]
            position += control + 2
        else:
            if control > 128:
                out += packed[position + 1 : position + 2] * (257 - control)
                position += 1
            position += 1
    if len(out) < n_bytes:
        raise Unprocessable(
            f"The RLE pixel data is truncated: {len(out)} of {n_bytes} bytes of a segment."
        )
    del out[n_bytes:]
    return out
