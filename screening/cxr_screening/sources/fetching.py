"""The bytes of one radiograph, from wherever it lies."""

import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa
from pyarrow import fs

from cxr_screening.errors import ScreeningError
from cxr_screening.sources import archive, dicomweb
from cxr_screening.sources.compressed import open_tar
from cxr_screening.sources.items import Item
from cxr_screening.store import first_line, open_store
from cxr_serving.errors import ServiceError

_OPEN_CONTAINERS = 4
_ENCRYPTED = 0x1


class FetchError(Exception):
    """One radiograph cannot be fetched; `kind` and the message stand in its row."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Fetcher:
    """Fetches; may be called in several threads at once.

    Args:
        max_bytes: a larger file is not read to its end.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._stores: dict[bool, fs.FileSystem] = {}
        self._containers: OrderedDict[str, Any] = OrderedDict()
        self._remote: dict[str, Any] = {}

    def fetch(self, item: Item) -> bytes:
        """The bytes; one more than the limit of what is larger, so that the engine refuses it.

        Raises:
            FetchError: with a sentence that names neither file nor server.
        """
        fetchers: dict[str, Callable[[Item], bytes]] = {
            "file": self._file,
            "zip": self._zip,
            "tar": self._tar,
            "dicomweb": self._dicomweb,
            "archive": self._archive,
        }
        try:
            return fetchers[item.kind](item)
        except FetchError:
            raise
        except FileNotFoundError as error:
            raise FetchError("missing", "The file is not there any more.") from error
        # Invalid: a seek to before the beginning, for what stands at a whole file's end.
        except (
            zipfile.BadZipFile,
            EOFError,
            zlib.error,
            NotImplementedError,
            pa.ArrowInvalid,
        ) as error:
            raise FetchError("damaged", "The archive file around it is damaged.") from error
        except (httpx.HTTPError, ServiceError, ScreeningError) as error:
            raise FetchError("source", "The source did not answer.") from error
        except (OSError, KeyError, pa.ArrowException) as error:
            said = first_line(error) if isinstance(error, PermissionError) else "reading failed"
            raise FetchError("unreadable", f"The file cannot be read: {said}.") from error

    def _store(self, location: str) -> tuple[fs.FileSystem, str]:
        remote = location.startswith("s3://")
        with self._lock:
            if remote not in self._stores:
                self._stores[remote], _ = open_store(location)
        return self._stores[remote], location.removeprefix("s3://") if remote else location

    def _file(self, item: Item) -> bytes:
        store, path = self._store(item.location)
        with store.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read(self._max_bytes + 1))

    def _zip(self, item: Item) -> bytes:
        with self._lock:
            members = self._container(item.location, self._open_zip)
            if members.getinfo(item.member).flag_bits & _ENCRYPTED:
                raise FetchError("encrypted", "The member of the zip file is encrypted.")
            with members.open(item.member) as stream:
                return bytes(stream.read(self._max_bytes + 1))

    def _tar(self, item: Item) -> bytes:
        with self._lock:
            stream = self._container(item.location, self._open_tar)
            stream.seek(item.offset)
            content = bytes(stream.read(min(item.size, self._max_bytes + 1)))
        if len(content) < min(item.size, self._max_bytes + 1):
            raise FetchError("damaged", "The archive file around it is cut short.")
        return content

    def _open_zip(self, location: str) -> Any:
        store, path = open_store(location)
        file = store.open_input_file(path)
        try:
            return zipfile.ZipFile(file)
        except (OSError, pa.ArrowException) as error:  # of a place before its beginning
            raise zipfile.BadZipFile from error

    def _open_tar(self, location: str) -> Any:
        return open_tar(*open_store(location))

    def _container(self, location: str, opened: Callable[[str], Any]) -> Any:
        if location in self._containers:
            self._containers.move_to_end(location)
            return self._containers[location]
        self._containers[location] = container = opened(location)
        while len(self._containers) > _OPEN_CONTAINERS:
            self._containers.popitem(last=False)[1].close()
        return container

    def _dicomweb(self, item: Item) -> bytes:
        client = self._kept("dicomweb", dicomweb.open_client)
        return dicomweb.fetch(client, item, self._max_bytes)

    def _archive(self, item: Item) -> bytes:
        return archive.fetch(self._kept("archive", archive.open_archive_files), item)

    def _kept(self, name: str, opened: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._remote:
                self._remote[name] = opened()
        return self._remote[name]
