"""UIDs and names that follow from the originals by a key that never leaves the installation.

The same original always becomes the same pseudonym, so that the files of a study, and of a patient,
stay together however often they are exported; without the key nobody can tell which original it
was, not even by trying all that there could be.
"""

import hashlib
import hmac
import uuid

# The root for UIDs that are a UUID, written as one number (ITU-T X.667).
_UUID_ROOT = "2.25"


class Pseudonyms:
    """Makes them with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def uid(self, original: str) -> str:
        """A UID of its own for each original: a UUID of version 8 whose bits are the digest's."""
        bits = int.from_bytes(self._digest("uid", original)[:16], "big")
        bits = bits & ~(0xF << 76) | 8 << 76
        bits = bits & ~(0x3 << 62) | 2 << 62
        return f"{_UUID_ROOT}.{uuid.UUID(int=bits).int}"

    def patient(self, original: str) -> str:
        """What stands for a patient's number; nothing stands for none."""
        return self._digest("patient", original).hex()[:16].upper() if original else ""

    def _digest(self, kind: str, original: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{original}".encode(), hashlib.sha256)
