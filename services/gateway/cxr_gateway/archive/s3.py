"""The archive's files in a bucket of an S3-compatible storage; what is being received is local.

    <archive_dir>/incoming/<token>.part      as of `FileStore`
    s3://<bucket>/<prefix><study id>/<name>  put in one request: whole, or not there at all

Several gateways on several machines share the bucket, and none can know what the others are about
to commit: an object without a row is swept when it is old enough to be nobody's work.
"""

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cxr_gateway.archive.db_errors import archive_full
from cxr_gateway.archive.files import FileStore, IncomingFile
from cxr_gateway.core.errors import FilesLeft, StorageDown
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import NotFound, ServiceError

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 3
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
# What the storages call a full disk or quota; 507 is a status of HTTP.
_FULL = frozenset({"507", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"})


class S3Store(FileStore):
    """The bucket. Every method blocks: call them in a thread.

    Raises (all methods):
        StorageDown: the storage does not answer in time, or refuses.
        StorageFull: no room, there or in the local folder.
    """

    def __init__(self, settings: GatewaySettings, threads: int) -> None:
        super().__init__(settings.archive_dir)
        self._bucket = settings.s3_bucket
        self._prefix = settings.s3_prefix
        self.sweep_age = timedelta(seconds=settings.s3_sweep_age_s)
        self._client = _client(settings, threads)

    def keep(self, incoming: IncomingFile, study_id: str, name: str) -> None:
        """Put a received file into the bucket, which has it when this returns."""
        content = incoming.read()
        with self._failures():
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(study_id, name),
                Body=content,
                ContentMD5=_md5(content),
            )
        incoming.discard()

    def has(self, study_id: str, name: str) -> bool:
        """Whether the study has a file of this name."""
        with self._failures():
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._key(study_id, name))
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return False
                raise
        return True

    def read(self, study_id: str, name: str) -> bytes:
        """A file of a study; NotFound if it is not there."""
        with self._failures():
            key = self._key(study_id, name)
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return content

    def opened(self, study_id: str, name: str) -> BinaryIO:
        """A file of a study, in memory; NotFound if it is not there."""
        return BytesIO(self.read(study_id, name))

    def local(self, study_id: str, name: str) -> None:
        """None: nothing that was kept lies on this machine."""

    def names(self, study_id: str) -> list[str]:
        """The names of a study's files; none of a study that is not there."""
        start = self._key(study_id, "")
        with self._failures():
            return [found["Key"].removeprefix(start) for found in self._listed(start)]

    def remove_study(self, study_id: str) -> None:
        """Remove a study's files; FilesLeft for what cannot be removed now, and is swept later."""
        try:
            self.remove_others(study_id, lambda _name: False)
        except ServiceError as error:
            raise FilesLeft(
                f"The study is deleted, and its files could not be removed: {error.detail}"
            ) from error

    def remove_others(self, study_id: str, keep: Callable[[str], bool]) -> int:
        """Remove the study's files whose name `keep` refuses; how many they were."""
        outdated = [name for name in self.names(study_id) if not keep(name)]
        with self._failures():
            for name in outdated:
                self._client.delete_object(Bucket=self._bucket, Key=self._key(study_id, name))
        return len(outdated)

    def check_writable(self) -> None:
        """Write and remove a local file, and ask for the bucket."""
        super().check_writable()
        try:
            with self._failures():
                self._client.head_bucket(Bucket=self._bucket)
        except NotFound as error:
            raise StorageDown(f"The archive's storage has no bucket {self._bucket}.") from error

    def study_ids(self) -> list[str]:
        """Every study that has a file."""
        return [study_id for page in self.settled_studies(timedelta(0)) for study_id in page]

    def settled_studies(self, age: timedelta) -> Iterator[list[str]]:
        """The studies in the bucket whose last file is so old, some at a time."""
        before = datetime.now(UTC) - age
        latest: dict[str, datetime] = {}
        with self._failures():
            for found in self._listed(self._prefix):
                study_id = found["Key"].removeprefix(self._prefix).partition("/")[0]
                if not is_study_id(study_id):
                    continue
                if study_id not in latest and len(latest) >= _PAGE:
                    yield [name for name, changed in latest.items() if changed < before]
                    latest = {}
                latest[study_id] = max(found["LastModified"], latest.get(study_id, _LONG_AGO))
        yield [name for name, changed in latest.items() if changed < before]

    def _listed(self, start: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=start):
            yield from page.get("Contents", ())

    def _key(self, study_id: str, name: str) -> str:
        if not is_study_id(study_id):
            raise ValueError(f"not a study id: {study_id!r}")
        return f"{self._prefix}{study_id}/{name}"

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in _FULL:
                raise archive_full() from error
            if code in _ABSENT:
                raise NotFound("A file of this study is missing in the archive.") from error
            raise StorageDown(
                f"The archive's storage refuses ({code}); nothing of this request was kept. "
                f"Its bucket is {self._bucket}."
            ) from error
        except BotoCoreError as error:
            raise StorageDown(
                "The archive's storage does not answer; nothing of this request was kept."
            ) from error


def put_locked(
    settings: GatewaySettings, bucket: str, key: str, content: bytes, until: datetime
) -> None:
    """Put an object that nobody, its writer included, can change or remove before a time.

    The bucket must have been made with object lock.

    Raises:
        StorageDown: the storage does not answer in time, or refuses.
    """
    client = _client(settings, 1)
    try:
        client.put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentMD5=_md5(content),
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
        )
    except ClientError as error:
        raise StorageDown(f"The bucket {bucket} refuses ({_code(error)}).") from error
    except BotoCoreError as error:
        raise StorageDown(f"The storage of the bucket {bucket} does not answer.") from error
    finally:
        client.close()


def _client(settings: GatewaySettings, threads: int) -> Any:
    access, secret = settings.s3_access_key, settings.s3_secret_key
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        # None: as the environment, or the machine's role, has it.
        aws_access_key_id=access and access.get_secret_value(),
        aws_secret_access_key=secret and secret.get_secret_value(),
        config=Config(
            connect_timeout=settings.s3_timeout_s,
            read_timeout=settings.s3_timeout_s,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=threads,
            # Others than Amazon's do not know its newer checksums; an MD5 is sent.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _md5(content: bytes) -> str:
    """By which the storage refuses what does not arrive as it was sent."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


# Studies of one query for their rows.
_PAGE = 500
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
