"""PNG and JPEG files taken apart, and put together again with lengths and check sums that hold."""

import struct
import zlib

Part = tuple[bytes, bytes]


def png_chunks(data: bytes) -> list[Part]:
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_of(chunks: list[Part]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        parts += [struct.pack(">I", len(body)), name, body]
        parts.append(struct.pack(">I", zlib.crc32(name + body)))
    return b"".join(parts)


def jpeg_segments(data: bytes) -> tuple[list[Part], bytes]:
    """The segments up to the scan, and the scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        found.append((data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, data[at:]


def jpeg_of(segments: list[Part], scan: bytes) -> bytes:
    parts = [b"\xff\xd8"]
    for marker, body in segments:
        parts += [marker, struct.pack(">H", min(len(body) + 2, 0xFFFF)), body]
    return b"".join([*parts, scan])
