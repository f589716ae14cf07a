"""Chosen images, written out as `cxr-gateway import-screening` takes them."""

import json
import os
from pathlib import Path

import duckdb

from cxr_screening.errors import ScreeningError
from cxr_screening.output import Output
from cxr_screening.private import PrivateFolder
from cxr_screening.rows import column_of
from cxr_screening.sources import Fetcher, FetchError

SELECTION = "selection.jsonl"
_MAX_BYTES = 200_000_000


def select(
    output: Output,
    engine: str,
    private: PrivateFolder,
    *,
    where: str,
    limit: int,
    target: Path,
) -> tuple[int, int]:
    """Write the files of chosen images and a list of them; how many, and how many are gone.

    Args:
        output: of a run.
        engine: whose rows.
        private: where it is noted what lies where.
        where: a condition of SQL over the columns.
        limit: at most so many, the highest scores first.
        target: a new folder; others may not look into it.

    Raises:
        ScreeningError: a condition that is none, no row, or nobody knows where the images lie.
    """
    dataset = output.dataset(engine)
    # The condition may read the rows, and no file beside them.
    with duckdb.connect(config={"enable_external_access": "false"}) as database:
        database.register("images", dataset)
        try:
            chosen = (
                database.sql(
                    f"SELECT * FROM images WHERE status = 'complete' AND ({where})"
                    f" ORDER BY score DESC NULLS LAST, id LIMIT {limit}"
                )
                .to_arrow_table()
                .to_pylist()
            )
        except duckdb.Error as error:
            said = (str(error).splitlines() or ["it is wrong"])[0]
            raise ScreeningError(f"--where is no condition over the columns: {said}") from error
    if not chosen:
        raise ScreeningError("No image fits --where.")
    places = private.places({row["id"] for row in chosen})
    if not places:
        raise ScreeningError(f"{private.path} does not say where these images lie.")
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ScreeningError(f"{target} cannot be made: {error.strerror}.") from error
    # On record first: what nobody knows of must not lie there.
    private.audit("images-selected", images=len(chosen), where=where, folder=str(target))
    fetcher = Fetcher(_MAX_BYTES)
    lines: list[str] = []
    for row in chosen:
        if (item := places.get(row["id"])) is None:
            continue
        try:
            content = fetcher.fetch(item)
        except FetchError:
            continue  # moved or removed since
        name = f"{len(lines):06}.file"
        _write(target / name, content)
        line = {
            "file": name,
            "reference": item.locator,
            "id": row["id"],
            "engine": engine,
            "findings": {
                finding.value: row[column_of(finding)] for finding in output.findings(engine)
            },
            "priority": row["priority"],
            "score": row["score"],
        }
        lines.append(json.dumps(line) + "\n")
    _write(target / SELECTION, "".join(lines).encode())
    return len(lines), len(chosen) - len(lines)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
