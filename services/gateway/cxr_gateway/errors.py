"""The gateway's own leaves of the error tree in `cxr_serving.errors`.

ServiceError
├── Forbidden           403 a page of another site wants to send something
├── UploadTimeout       408 the client fell silent in the middle of its upload
├── StorageFull         507 the archive's disk is full; nothing was kept
└── Unavailable
    ├── ReadersDown     503 neither reader answered; the study is kept, `study_id` says where
    ├── StorageDown     503 the S3 storage does not answer or refuses; `Retry-After` says when
    ├── CommitUnanswered 503 the database went away while it committed; the study may be kept
    └── SchemaMismatch      the database has another schema; met at a start only
"""

from cxr_serving.errors import ServiceError, Unavailable


class StorageFull(ServiceError):
    """The archive has no room; nothing of the request was kept."""

    status = 507
    type = "urn:cxr:problem:storage-full"
    title = "Archive full"


class ReadersDown(Unavailable):
    """Neither reader answered; the study is kept as failed and can be run again."""

    type = "urn:cxr:problem:readers-down"
    title = "Readers down"


class StorageDown(Unavailable):
    """The storage of the archive's files cannot be used; nothing of the request was kept."""

    retry_after_s = 10

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after_s)}


class CommitUnanswered(Unavailable):
    """The database went away while it committed: only it knows whether the study is kept."""


class SchemaMismatch(Unavailable):
    """The archive's database has another schema than this gateway works with."""


class UploadTimeout(ServiceError):
    """The client stopped sending in the middle of its upload; nothing was kept."""

    status = 408
    type = "urn:cxr:problem:upload-timeout"
    title = "Upload timed out"


class Forbidden(ServiceError):
    """Asked by somebody who may not."""

    status = 403
    type = "urn:cxr:problem:forbidden"
    title = "Forbidden"
