"""UIDs and names that follow from the originals by a key that never leaves the installation.

The same original always becomes the same pseudonym, so that the files of a study, and of a patient,
stay together however often they are exported; without the key nobody can tell which original it
was, not even by trying all that there could be.
"""

import hashlib
import hmac
import secrets
import uuid

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.tables import PseudonymKeyRow

_NUMBER = 1
_KEY_BYTES = 32
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


def pseudonyms_of(engine: Engine) -> Pseudonyms:
    """Those of the installation whose database this is; its key is made when it is first needed."""
    wanted = select(PseudonymKeyRow.key).where(PseudonymKeyRow.number == _NUMBER)
    with database_failures(), engine.begin() as connection:
        key = connection.scalar(wanted)
        if key is None:
            fresh = {"number": _NUMBER, "key": secrets.token_hex(_KEY_BYTES)}
            insert = insert_sqlite if engine.dialect.name == "sqlite" else insert_postgresql
            # Of several gateways that make one at once, the first one's is everybody's.
            connection.execute(insert(PseudonymKeyRow).values(fresh).on_conflict_do_nothing())
            key = connection.scalar(wanted)
    if key is None:
        raise RuntimeError("the pseudonyms' key was written and is not there")
    return Pseudonyms(bytes.fromhex(key))
