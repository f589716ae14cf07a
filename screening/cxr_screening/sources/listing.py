"""What a source holds, listed without reading more of it than names."""

import csv
import glob as globbing
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from cxr_screening.errors import ScreeningError
from cxr_screening.sources import archive, dicomweb
from cxr_screening.sources.compressed import open_tar
from cxr_screening.sources.items import Item
from cxr_screening.store import S3_PREFIX, first_line, open_store

_IMAGES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".ima"}
_ZIPS = {".zip"}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# A DICOM file is often called by its UID or has no suffix at all.
_UID_SUFFIX = re.compile(r"\.\d+$")
_NO_FILM = {"DICOMDIR", "VERSION", "LICENSE", "README", "INDEX"}


@dataclass
class Listing:
    """The items of a source, as they are found; `skipped` counts files of other kinds."""

    skipped: int = 0
    broken: list[str] = field(default_factory=list)


def list_source(source: str, listing: Listing, *, query: str = "") -> Iterator[Item]:
    """Every radiograph of a source.

    Args:
        source: a folder, file, glob, CSV file, `s3://` address, `dicomweb+http(s)://` address, or
            `archive`.
        listing: what is counted on the way.
        query: of a DICOMweb source, attributes that studies have to match, as in an address.

    Raises:
        ScreeningError: the source is not there or does not answer.
    """
    if source == "archive":
        return archive.list_items()
    if source.startswith(dicomweb.PREFIXES):
        return dicomweb.list_items(source, query)
    if (
        not source.startswith(S3_PREFIX)
        and globbing.has_magic(source)
        and not Path(source).exists()
    ):
        return _of_glob(source, listing)
    store, path = open_store(source)
    try:
        info = store.get_file_info(path)
    except OSError as error:
        raise ScreeningError(f"{source} does not answer: {first_line(error)}.") from error
    prefix = S3_PREFIX if source.startswith(S3_PREFIX) else ""
    if info.type == fs.FileType.NotFound:
        raise ScreeningError(f"There is no {source}.")
    if info.type == fs.FileType.Directory:
        return _of_folder(store, path, prefix, listing)
    if PurePosixPath(path).suffix.lower() == ".csv":
        return _of_csv(store, path, prefix, listing)
    return _of_file(store, path, prefix, listing, named=True)


def _of_glob(pattern: str, listing: Listing) -> Iterator[Item]:
    store = fs.LocalFileSystem()
    for path in sorted(globbing.iglob(pattern, recursive=True)):  # noqa: PTH207
        if Path(path).is_file():
            yield from _of_file(store, str(Path(path).absolute()), "", listing)


def _of_folder(store: fs.FileSystem, folder: str, prefix: str, listing: Listing) -> Iterator[Item]:
    # A folder at a time: what a bucket holds as a whole fits no memory.
    try:
        found = store.get_file_info(fs.FileSelector(folder))
    except OSError as error:
        raise ScreeningError(f"{prefix}{folder} cannot be listed: {first_line(error)}.") from error
    for info in sorted(found, key=lambda one: one.path):
        if info.base_name.startswith("."):
            continue
        if info.type == fs.FileType.Directory:
            yield from _of_folder(store, info.path, prefix, listing)
        elif info.type == fs.FileType.File:
            yield from _of_file(store, info.path, prefix, listing)


def _of_file(
    store: fs.FileSystem, path: str, prefix: str, listing: Listing, *, named: bool = False
) -> Iterator[Item]:
    location, name = prefix + path, PurePosixPath(path).name
    if PurePosixPath(name).suffix.lower() in _ZIPS or name.lower().endswith(_TARS):
        try:
            if name.lower().endswith(_TARS):
                yield from _of_tar(store, path, location, listing)
            else:
                yield from _of_zip(store, path, location, listing)
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, pa.ArrowException):
            # A row says why when it is fetched; the members before it are listed.
            listing.broken.append(location)
            yield Item("file", location)
        return
    if named or _may_be_image(name):
        yield Item("file", location)
    else:
        listing.skipped += 1


def _of_zip(store: fs.FileSystem, path: str, location: str, listing: Listing) -> Iterator[Item]:
    with store.open_input_file(path) as file, zipfile.ZipFile(file) as members:
        for info in members.infolist():
            if info.is_dir():
                continue
            if _may_be_image(PurePosixPath(info.filename).name):
                yield Item("zip", location, info.filename, size=info.file_size)
            else:
                listing.skipped += 1


def _of_tar(store: fs.FileSystem, path: str, location: str, listing: Listing) -> Iterator[Item]:
    seen: dict[str, int] = {}
    with open_tar(store, path) as stream, tarfile.open(fileobj=stream, mode="r:") as members:
        for info in members:
            if not info.isfile():
                continue
            if not _may_be_image(PurePosixPath(info.name).name):
                listing.skipped += 1
                continue
            # A tar may hold a name twice.
            seen[info.name] = seen.get(info.name, 0) + 1
            name = info.name if seen[info.name] == 1 else f"{info.name}#{seen[info.name]}"
            yield Item("tar", location, name, info.offset_data, info.size)


def _of_csv(store: fs.FileSystem, path: str, prefix: str, listing: Listing) -> Iterator[Item]:
    with store.open_input_stream(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        rows = csv.reader(text)
        header = next(rows, None)
        if not header:
            raise ScreeningError(f"{prefix}{path} is empty.")
        names = [name.strip().lower() for name in header]
        if "path" not in names:
            raise ScreeningError(f"{prefix}{path} has no column called path.")
        column = names.index("path")
        base = PurePosixPath(path).parent
        for row in rows:
            if len(row) <= column or not (place := row[column].strip()):
                continue
            if place.startswith(S3_PREFIX):
                other, inside = open_store(place)
                yield from _of_file(other, inside, S3_PREFIX, listing, named=True)
            else:
                yield from _of_file(store, str(base / place), prefix, listing, named=True)


def _may_be_image(name: str) -> bool:
    if name.startswith(".") or name.upper() in _NO_FILM:
        return False
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in _IMAGES or not suffix or bool(_UID_SUFFIX.search(name))
