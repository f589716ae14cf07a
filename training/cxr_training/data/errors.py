"""The error of every data reader: a sentence with the file and the entry."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cxr_training.core.errors import UserError

Read = TypeVar("Read")


class DataError(UserError, ValueError):
    """The data is not as published; the message names the file and the line, if any."""

    def __init__(self, path: Path, detail: str, *, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {detail}")
        self.path = path
        self.line = line
        self.detail = detail


class HeldOutError(DataError):
    """The data is of test patients, and what was asked for is not evaluation."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            "is part of a test set, which is only ever evaluated on: name the folder of the "
            "training and validation patients",
        )


class Problems(dict[str, None]):
    """Sentences, in the order in which they were met, each once."""

    def refuse(self, error: DataError) -> None:
        """Keep a problem; two readers may meet the same."""
        self[str(error)] = None


# What a reader does with an entry that it cannot take. Training stops at the first; a check hands
# in `list.append`, and the reader goes on with the next entry.
Refuse = Callable[[DataError], None]


def at_once(error: DataError) -> None:
    """Raise `error`."""
    raise error


def tried(read: Callable[[], list[Read]], refuse: Refuse) -> list[Read]:
    """What `read` gives; nothing where it cannot go on and `refuse` lets that pass."""
    try:
        return read()
    except DataError as error:
        refuse(error)
        return []
