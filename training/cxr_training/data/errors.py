"""The error of every data reader: a sentence with the file and the entry."""

from pathlib import Path


class DataError(ValueError):
    """The data is not as published; the message names the file and the line, if any."""

    def __init__(self, path: Path, detail: str, *, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {detail}")
        self.path = path
        self.line = line
