"""A radiograph that is to be read: where it lies."""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

Kind = Literal["file", "zip", "tar", "dicomweb", "archive"]


@dataclass(frozen=True, slots=True)
class Item:
    """One radiograph's place.

    Attributes:
        kind: how it is fetched.
        location: a path, an `s3://` address, a server's address or nothing for the archive.
        member: what lies in it: a name in a zip or tar file, UIDs, a study's number.
        offset: of a tar's member, in its uncompressed bytes.
        size: likewise.
    """

    kind: Kind
    location: str
    member: str = ""
    offset: int = 0
    size: int = 0

    @property
    def locator(self) -> str:
        """The place as people read it; two items never share one."""
        if self.kind == "archive":
            return f"archive:{self.member}"
        return f"{self.location}#{self.member}" if self.member else self.location


def pack(items: Sequence[Item]) -> str:
    """Items as text; neighbours have nearly the same names, so they shrink to a few bytes each.

    Text, since bytes that end with zeros do not survive every column of Ray Data.
    """
    content = zlib.compress(json.dumps([astuple(item) for item in items]).encode())
    return base64.b85encode(content).decode()


def unpack(content: str) -> list[Item]:
    """What `pack` was given."""
    return [Item(*fields) for fields in json.loads(zlib.decompress(base64.b85decode(content)))]
