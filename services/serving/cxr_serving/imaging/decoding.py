"""The one place where a foreign decoder's exception becomes a sentence for the client."""

from collections.abc import Iterator
from contextlib import contextmanager

from cxr_serving.errors import ServiceError, Unprocessable

_MAX_REASON_CHARACTERS = 200


@contextmanager
def decoding(kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a broken file into Unprocessable.

    Pillow and pydicom document no closed set of exceptions: on damaged input they raise
    anything from SyntaxError to struct.error. Their texts stay out of the answer: they name
    functions, files and bytes that say nothing to whoever sent the file. Only a lack of memory is
    ours to report.
    """
    try:
        yield
    except (ServiceError, MemoryError):
        raise
    except Exception as error:
        raise Unprocessable(f"The {kind} is damaged or incomplete.") from error


def plain(text: object) -> str:
    """One printable line of bounded length; the decoders quote bytes of the file."""
    line = " ".join(str(text).split())
    line = "".join(character for character in line if character.isprintable())
    if len(line) > _MAX_REASON_CHARACTERS:
        line = line[:_MAX_REASON_CHARACTERS] + "…"
    return line.rstrip(". ") or type(text).__name__
