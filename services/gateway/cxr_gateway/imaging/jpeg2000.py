"""JPEG 2000 (ISO/IEC 15444-1, annex A): the headers of a codestream, before a decoder believes it.

OpenJPEG allocates for every tile, precinct and code block that a header speaks of, before it looks
whether there is any data: 800 bytes can make it take gigabytes and minutes. And it fills in what a
cut file lacks. So the parts are counted here, and the tile-parts followed to the end marker.
"""

import struct
from collections.abc import Iterator

from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.codestream import Frame

_START = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD = 0xFF52, 0xFF53, 0xFF90, 0xFF93
_EOC_BYTES, _SOT_BYTES = b"\xff\xd9", b"\xff\x90\x00\x0a"
# In JP2 boxes the codestream starts some hundred bytes into the data.
_MAX_BOX_BYTES = 4096
_MAX_TILES = 4096
_MAX_LAYERS = 256
_MAX_LEVELS = 32
# 50 megapixels in blocks of 16 x 16, the smallest in use (64 x 64 is usual), have 200,000.
_MAX_BLOCKS = 250_000
_WIDEST_PRECINCT = 15  # the exponent where none is given


def j2k_stream_frame(data: bytes) -> Frame:
    """What the SIZ segment says, of a codestream that is whole and of reasonable structure.

    Args:
        data: bare, or in the boxes of a JP2 file.

    Raises:
        Unprocessable: truncated, damaged, or cut into absurdly many parts.
    """
    start = data.find(_START, 0, _MAX_BOX_BYTES)
    if start < 0 or len(data) < start + 43:
        raise Unprocessable("The compressed pixel data does not start like a JPEG 2000.")
    frame = _frame(data, start)
    position = start + 2
    for marker, begin, end in _segments(data, position):
        position = begin - 4
        if marker == _SOT:
            break
        if marker in (_COD, _COC):
            _check_coding(data[begin:end], frame, is_default=marker == _COD)
    _follow_tile_parts(data, position)
    return frame


def _frame(data: bytes, start: int) -> Frame:
    """The SIZ segment (A.5.1)."""
    (_, _, x_size, y_size, x_offset, y_offset, tile_width, tile_height, x_tile, y_tile, n) = (
        struct.unpack_from(">HHIIIIIIIIH", data, start + 4)
    )
    if x_size <= x_offset or y_size <= y_offset or not tile_width or not tile_height or not n:
        raise Unprocessable("The JPEG 2000 is damaged: its size segment contradicts itself.")
    tiles = -(-(x_size - x_tile) // tile_width) * -(-(y_size - y_tile) // tile_height)
    if tiles > _MAX_TILES:
        raise Unprocessable(f"The JPEG 2000 has {tiles} tiles; at most {_MAX_TILES} are read.")
    return Frame(x_size - x_offset, y_size - y_offset, n, (data[start + 42] & 0x7F) + 1)


def _segments(data: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment, up to where tile data start (SOD)."""
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == _SOD:
            return
        end = position + 2 + length
        if marker < 0xFF00 or length < 2 or end > len(data):
            break
        yield marker, position + 4, end
        position = end
    raise Unprocessable("The JPEG 2000 is truncated or damaged within its header.")


def _check_coding(segment: bytes, frame: Frame, *, is_default: bool) -> None:
    """Count what the coding style (A.6.1, A.6.2) cuts the image into."""
    # COD: style, progression, layers, transform; COC: component (one or two bytes), style.
    head = 5 if is_default else (2 if frame.components < 257 else 3)
    if len(segment) < head + 5:
        raise Unprocessable("The JPEG 2000 is damaged: its coding style is too short.")
    layers = int.from_bytes(segment[2:4], "big") if is_default else 1
    levels, width_exponent, height_exponent = segment[head], segment[head + 1], segment[head + 2]
    if layers > _MAX_LAYERS or levels > _MAX_LEVELS:
        raise Unprocessable(
            f"The JPEG 2000 has {layers} layers and {levels} levels; at most {_MAX_LAYERS} and "
            f"{_MAX_LEVELS} are read."
        )
    precincts = segment[head + 5 :] if segment[0 if is_default else head - 1] & 1 else b""
    blocks = 0
    for resolution in range(levels + 1):
        size = precincts[resolution] if resolution < len(precincts) else None
        across = size & 15 if size is not None else _WIDEST_PRECINCT
        down = size >> 4 if size is not None else _WIDEST_PRECINCT
        # From the second resolution on, three bands share a precinct, each of half its sides.
        halved = 1 if resolution else 0
        shrink = levels - resolution + halved
        columns = _parts(frame.width, shrink, min((width_exponent & 15) + 2, across - halved))
        rows = _parts(frame.height, shrink, min((height_exponent & 15) + 2, down - halved))
        blocks += columns * rows * (3 if resolution else 1)
    if blocks * frame.components > _MAX_BLOCKS:
        raise Unprocessable(
            f"The JPEG 2000 is cut into {blocks * frame.components} blocks; at most "
            f"{_MAX_BLOCKS} are read."
        )


def _parts(length: int, shrink: int, exponent: int) -> int:
    """How many blocks of 2^`exponent` samples cover `length` divided by 2^`shrink`."""
    samples = -(-length >> shrink)
    return -(-samples >> max(exponent, 0))


def _follow_tile_parts(data: bytes, position: int) -> None:
    """Go from tile-part to tile-part (A.4.2) to the end marker; all have to lie in the data."""
    while data[position : position + 2] != _EOC_BYTES:
        if data[position : position + 4] != _SOT_BYTES:
            raise Unprocessable("The compressed image is truncated or damaged in a tile.")
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        if any(marker in (_COD, _COC) for marker, _, _ in _segments(data, position + 12)):
            raise Unprocessable("The JPEG 2000 changes its coding style within a tile.")
        position = position + length if length else data.find(_EOC_BYTES, position)
