"""Which store keeps the archive's files: its folder, or a bucket beside it."""

from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.core.settings import GatewaySettings

DISK_THREADS = 8


def open_files(settings: GatewaySettings) -> FileStore:
    """The files of these settings: in the archive's folder, or in a bucket beside it."""
    with folder_failures():
        # Radiographs and names of patients: readable by this user only.
        settings.archive_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.storage == "s3":
        # Its client is large; whoever keeps a folder does without.
        from cxr_gateway.archive.s3 import S3Store

        return S3Store(settings, DISK_THREADS)
    return FileStore(settings.archive_dir)
