"""The installation's own key for pseudonyms, made when it is first needed."""

import secrets

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.tables import PseudonymKeyRow

_NUMBER = 1
_KEY_BYTES = 32


def pseudonym_key(engine: Engine) -> bytes:
    """The key of the installation whose database this is, 32 bytes."""
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
    return bytes.fromhex(key)
