"""The gateway's own leaves of the error tree in `cxr_serving.errors`.

    ServiceError
    ├── StorageFull         507 the archive's disk is full; nothing was kept
    └── Unavailable
        └── ReadersDown     503 neither reader answered; the study is kept, `study_id` says where
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
