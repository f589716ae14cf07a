"""The output: Parquet files that are at once the answer and the record of what is done.

    screening.json                                    whose key, identified or not, which engine
    engines/ENGINE.json                               models, thresholds, code
    images/engine=ENGINE/year=YEAR/part-RUN-N.parquet rows; failed-RUN-N.parquet those with an error
    progress.json                                     of the latest run

One process writes: the run's driver. A file appears under its name whole, by one rename or one
PUT, and holds the ids of its rows. So an image is done exactly if a file holds its id, whenever the
writer was killed; there is no second record that could disagree.
"""

import contextlib
import errno
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from cxr_contracts import Finding
from cxr_screening.engine import EngineIdentity
from cxr_screening.errors import ScreeningError
from cxr_screening.rows import SCHEMA_VERSION, VERSION_KEY, schema_of
from cxr_screening.store import first_line, open_store

IMAGES = "images"
_STATE, _ENGINES, _PROGRESS, _STAGING = "screening.json", "engines", "progress.json", "_staging"
# Of a radiograph without a date. Hive's own word for none is what pandas cannot read.
_NO_YEAR = 0
_PARTITIONING = pds.partitioning(
    pa.schema([("engine", pa.string()), ("year", pa.int32())]), flavor="hive"
)


@dataclass(frozen=True)
class OutputState:
    """What an output says of itself."""

    schema: int
    key_id: str
    identified: bool
    engine: str


class Output:
    """The folder or bucket of an output."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.store, self.root = open_store(address)
        self._local = isinstance(self.store, fs.LocalFileSystem)

    def state(self) -> OutputState | None:
        """What it says of itself; None where nothing is.

        Raises:
            ScreeningError: of a newer version, broken, or it does not answer.
        """
        content = self._read(_STATE)
        if content is None:
            return None
        try:
            values = json.loads(content)
            state = OutputState(**{name: values[name] for name in OutputState.__annotations__})
        except (ValueError, KeyError, TypeError) as error:
            raise ScreeningError(f"{self.address}/{_STATE} is not one of ours.") from error
        if state.schema > SCHEMA_VERSION:
            raise ScreeningError(
                f"{self.address} was written by a newer version (schema {state.schema}; this one "
                f"knows {SCHEMA_VERSION})."
            )
        return state

    def existing_state(self) -> OutputState:
        """Likewise; ScreeningError where nothing is."""
        state = self.state()
        if state is None:
            raise ScreeningError(f"There is no screening at {self.address}.")
        return state

    def begin(self, state: OutputState, engine: EngineIdentity) -> None:
        """Write what it says of itself, and sweep what a killed run left half written."""
        if not self._local and self.store.get_file_info(self.root.split("/")[0]).type is (
            fs.FileType.NotFound
        ):
            raise ScreeningError(f"There is no bucket of {self.address}.")
        self.sweep()
        named = json.dumps({"fingerprint": engine.fingerprint, **engine.parts}, indent=1)
        self._write(f"{_ENGINES}/{engine.short}.json", named.encode())
        self._write(_STATE, json.dumps(state.__dict__, indent=1).encode())

    def sweep(self) -> None:
        """Remove what was being written when a run was killed."""
        if self._local:
            folder = Path(self.root) / _STAGING
            for path in folder.glob("*") if folder.is_dir() else ():
                path.unlink(missing_ok=True)

    def engine(self, short: str) -> dict[str, Any]:
        """What is known of an engine that wrote here."""
        content = self._read(f"{_ENGINES}/{short}.json")
        return json.loads(content) if content else {}

    def findings(self, short: str) -> tuple[Finding, ...]:
        """What the classifier of an engine that wrote here knows, in the order of the columns."""
        return tuple(Finding(name) for name in self.engine(short).get("findings", Finding))

    def engines(self) -> list[str]:
        """Those that wrote here, by name."""
        found = self.store.get_file_info(
            fs.FileSelector(f"{self.root}/{IMAGES}", allow_not_found=True)
        )
        names = (info.base_name for info in found if info.type is fs.FileType.Directory)
        return sorted(name.removeprefix("engine=") for name in names)

    def files(self, engine: str) -> list[str]:
        """Paths of an engine's Parquet files."""
        selector = fs.FileSelector(
            f"{self.root}/{IMAGES}/engine={engine}", recursive=True, allow_not_found=True
        )
        found = self.store.get_file_info(selector)
        return sorted(
            info.path
            for info in found
            if info.type is fs.FileType.File and info.extension == "parquet"
        )

    def done_ids(self, engine: str) -> NDArray[np.uint64]:
        """Ids that have a row, sorted: 8 bytes each."""
        parts = [np.empty(0, np.uint64)]
        for path in self.files(engine):
            parts.append(self._column(path).to_numpy())
        return np.sort(np.concatenate(parts))

    def forget_failed(self, engine: str) -> int:
        """Remove the rows with an error, so that the images count as never read; how many."""
        count = 0
        for path in self.files(engine):
            if Path(path).name.startswith("failed-"):
                count += len(self._column(path))
                self.store.delete_file(path)
        return count

    def dataset(self, engine: str) -> pds.Dataset:
        """All rows of an engine, with `engine` and `year` (0: not known) of the path.

        Raises:
            ScreeningError: there are none, or of a newer version.
        """
        files = self.files(engine)
        if not files:
            raise ScreeningError(f"{self.address} holds no rows of engine {engine}.")
        self._check_version(files[-1])
        return pds.dataset(
            files,
            schema=pa.schema(
                [*schema_of(self.findings(engine)), ("engine", pa.string()), ("year", pa.int32())]
            ),
            filesystem=self.store,
            format="parquet",
            partitioning=_PARTITIONING,
            partition_base_dir=f"{self.root}/{IMAGES}",
        )

    def put_progress(self, values: dict[str, Any]) -> None:
        """Say how far the run is."""
        self._write(_PROGRESS, json.dumps(values, indent=1).encode(), synced=False)

    def progress(self) -> dict[str, Any]:
        """How far the latest run is, or came."""
        content = self._read(_PROGRESS)
        return json.loads(content) if content else {}

    def put(self, name: str, content: bytes) -> None:
        """A file beside the rows, whole or not at all."""
        self._write(name, content)

    def commit(self, engine: str, run: str, number: int, rows: pa.Table) -> None:
        """Write rows: a file for each year, those with an error apart.

        Raises:
            ScreeningError: no room, or no permission; nothing half-written is left under a name
                that a resume would trust.
        """
        failed = pc.equal(rows["status"], "failed")
        for prefix, kept in (
            ("part", rows.filter(pc.invert(failed))),
            ("failed", rows.filter(failed)),
        ):
            for year in pc.unique(kept["study_year"]).to_pylist():
                is_year = (
                    pc.is_null(kept["study_year"])
                    if year is None
                    else pc.fill_null(pc.equal(kept["study_year"], year), False)
                )
                name = (
                    f"{IMAGES}/engine={engine}/year={_NO_YEAR if year is None else year}/"
                    f"{prefix}-{run}-{number:06}.parquet"
                )
                self._write(name, _as_parquet(kept.filter(is_year)))

    def _column(self, path: str) -> pa.ChunkedArray:
        try:
            with self.store.open_input_file(path) as source, pq.ParquetFile(source) as file:
                self._refuse_newer(file.schema_arrow, path)
                return file.read(["id"])["id"]
        except (OSError, pa.ArrowException) as error:
            raise ScreeningError(f"{path} cannot be read: {first_line(error)}.") from error

    def _check_version(self, path: str) -> None:
        with self.store.open_input_file(path) as source, pq.ParquetFile(source) as file:
            self._refuse_newer(file.schema_arrow, path)

    def _refuse_newer(self, schema: pa.Schema, path: str) -> None:
        version = int((schema.metadata or {}).get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            raise ScreeningError(
                f"{path} has schema {version}, of a newer version; this one knows {SCHEMA_VERSION}."
            )

    def _read(self, name: str) -> bytes | None:
        try:
            with self.store.open_input_stream(f"{self.root}/{name}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise ScreeningError(f"{self.address} does not answer: {first_line(error)}.") from error

    def _write(self, name: str, content: bytes, *, synced: bool = True) -> None:
        try:
            if self._local:
                _replace(Path(self.root), name, content, synced=synced)
            else:
                with self.store.open_output_stream(f"{self.root}/{name}") as stream:
                    stream.write(content)
        except (OSError, pa.ArrowException) as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            said = "the disk is full" if full else first_line(error)
            raise ScreeningError(f"{self.address} cannot be written: {said}.") from error


def _replace(root: Path, name: str, content: bytes, *, synced: bool) -> None:
    """Write a local file whole, or leave what was there."""
    target, staging = root / name, root / _STAGING
    staging.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = staging / secrets.token_hex(8)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if synced:
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _as_parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())
