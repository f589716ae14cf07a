"""Folders and buckets behind one interface: pyarrow's file systems, by the form of an address."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from cxr_screening.errors import ScreeningError

S3_PREFIX = "s3://"


def open_store(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it.

    A bucket's server, keys and region are those of `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and
    their kin, as every S3 client reads them.

    Args:
        address: a path, or `s3://bucket/prefix`.

    Raises:
        ScreeningError: the environment says nothing usable.
    """
    if not address.startswith(S3_PREFIX):
        return fs.LocalFileSystem(), str(Path(address).absolute())
    path = address.removeprefix(S3_PREFIX).strip("/")
    if not path:
        raise ScreeningError(f"{address} names no bucket.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, str] = {}
    if endpoint:
        parts = urlsplit(endpoint)
        options = {"scheme": parts.scheme or "https", "endpoint_override": parts.netloc}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        store = fs.S3FileSystem(
            region=region or ("us-east-1" if endpoint else None),
            connect_timeout=10,
            request_timeout=60,
            **options,
        )
    except (OSError, pa.ArrowException) as error:
        raise ScreeningError(f"{address} cannot be reached: {first_line(error)}.") from error
    return store, path


def is_remote(address: str) -> bool:
    """Whether an address is not this machine's."""
    return address.startswith(S3_PREFIX)


def first_line(error: BaseException) -> str:
    """What an error says, short."""
    said = getattr(error, "strerror", None) or str(error)
    return (said.splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
