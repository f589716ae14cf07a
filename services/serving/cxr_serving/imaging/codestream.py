"""What a compressed frame says of its own size, before a decoder believes it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cxr_serving.errors import Unprocessable

SOS, EOI, APP1 = 0xDA, 0xD9, 0xE1
_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})  # Huffman tables, reserved, arithmetic conditioning
JPEG_LS_FRAME = 0xF7
LOSSLESS_FRAMES = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_MAX_SEGMENTS = 10_000
# A progressive file of 10 scans is usual; each one costs a pass over all coefficients (0.14 s at 50
# megapixels), so a small file of thousands of scans is a way to occupy a processor for minutes.
_MAX_SCANS = 40


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    `point_transform` is by how many bits the samples of a lossless JPEG were shifted down.
    """

    width: int
    height: int
    components: int
    precision: int
    point_transform: int = 0


def is_frame_marker(marker: int) -> bool:
    """Whether a JPEG marker code starts a frame header (SOF0 to SOF15, JPEG-LS's SOF55)."""
    return marker == JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker code, start and end of each segment's content, up to and with the first scan's.

    Raises:
        Unprocessable: truncated or damaged before the first scan.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _next_marker(data, position)
        if marker == EOI:
            raise Unprocessable("The JPEG holds no image: it ends before its first scan.")
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            continue  # restart and start markers carry no segment
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(data):
            raise Unprocessable("The JPEG is truncated or damaged within its header.")
        yield marker, position + 2, end
        if marker == SOS:
            return
        position = end
    raise Unprocessable(f"The JPEG has more than {_MAX_SEGMENTS} header segments.")


def jpeg_frame(segment: bytes) -> Frame:
    """A frame header's content (ISO/IEC 10918-1, B.2.2; the same in JPEG-LS)."""
    if len(segment) < 6:
        raise Unprocessable("The JPEG is damaged: its frame header is too short.")
    precision, height, width, components = struct.unpack_from(">BHHB", segment)
    return Frame(width, height, components, precision)


def jpeg_stream_frame(data: bytes) -> Frame:
    """The frame header of a JPEG or JPEG-LS codestream that has one scan at least."""
    if not data.startswith(b"\xff\xd8"):
        raise Unprocessable("The compressed pixel data does not start like a JPEG.")
    frame, is_lossless = None, False
    for marker, start, end in jpeg_segments(data):
        if is_frame_marker(marker):
            frame = jpeg_frame(data[start:end])
            is_lossless = marker in LOSSLESS_FRAMES
        elif marker == SOS:
            check_scans(data, end)
            if frame is not None and is_lossless:
                frame = replace(frame, point_transform=data[end - 1] & 0x0F)
    if frame is None:
        raise Unprocessable("The JPEG is damaged: a scan comes before the frame header.")
    return frame


def check_scans(data: bytes, first_scan: int) -> None:
    """Refuse a cut file, which lacks the end marker, and one of far too many scans.

    The decoders would fill in what is cut off. Within coded data FF is always followed by
    something smaller, so the two bytes are the marker.

    Args:
        data: the whole codestream.
        first_scan: where the first scan's coded data start.
    """
    if data.rfind(b"\xff\xd9", first_scan) < 0:
        raise Unprocessable("The JPEG is truncated: its end marker is missing.")
    if data.count(b"\xff\xda", first_scan) >= _MAX_SCANS:
        raise Unprocessable(f"The JPEG has more than {_MAX_SCANS} scans.")


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """The next marker's code and the position behind it; fill bytes (FF) are skipped."""
    if position < len(data) and data[position] != 0xFF:
        raise Unprocessable("The JPEG is damaged: a marker is missing in its header.")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise Unprocessable("The JPEG is truncated within its header.")
    return data[position], position + 1
