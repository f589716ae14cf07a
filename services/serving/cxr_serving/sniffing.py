"""What a file seems to be, by its first bytes; its name and declared media type are never asked."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"\x00\x00\x00\x0cjP  ", "a bare JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a bare JPEG 2000 codestream"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\x8aMNG", "an MNG animation"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"n+1\x00", "a NIfTI volume"),
    (344, b"n+1\x00", "a NIfTI volume"),
    (4, b"ftypheic", "an HEIC image"),
    (4, b"ftypheix", "an HEIC image"),
    (4, b"ftypmif1", "an HEIF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyp", "a video"),
    (8, b"WEBP", "a WebP image"),
    (8, b"AVI ", "a video"),
)


def describe(data: bytes) -> str:
    """What a file that is none of the accepted kinds seems to be, in a few words."""
    if not data:
        return "an empty file"
    if data[:8] != PNG_SIGNATURE and PNG_SIGNATURE.startswith(data[:8]):
        return "the first bytes of a PNG and nothing more"
    for offset, magic, name in _OTHERS:
        if data[offset : offset + len(magic)] == magic:
            return name
    head = data[:512]
    return _describe_text(head) or "a file of an unknown kind"


def _describe_text(head: bytes) -> str | None:
    if not head.strip(b"\x00"):
        return "a file of zero bytes"
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if lowered.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG document"
    return "a text file" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    """Whether `head` is UTF-8 without control characters; its end may cut a character in two."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
