"""A tar file as its uncompressed bytes, whatever packed it."""

import bz2
import gzip
import lzma
from contextlib import suppress
from typing import IO, Any

from pyarrow import fs

_MAGIC = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def open_tar(store: fs.FileSystem, path: str) -> IO[bytes]:
    """A seekable stream. Seeking forward reads on; backward in a packed file starts again."""
    raw: Any = store.open_input_file(path)
    try:
        opener: Any = _MAGIC.get(raw.read(2))
        raw.seek(0)
        stream: IO[bytes] = raw if opener is None else opener(raw, "rb")
    except BaseException:
        with suppress(OSError):
            raw.close()
        raise
    return stream
