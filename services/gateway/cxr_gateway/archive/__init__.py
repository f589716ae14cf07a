"""The archive: what was read, as it was read, found again after every restart."""

# Its tables are among those that are migrated, compared and backed up.
import cxr_gateway.archive.access_tables  # noqa: F401
from cxr_gateway.archive.archive import AlreadyArchived, Archive, open_archive, open_files
from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.archive.files import FileStore, IncomingFile
from cxr_gateway.archive.models import IMAGE_NAME, Cursor, StoredFile, StoredStudy, original_name
from cxr_gateway.archive.observed_tables import (
    PromotionRow,
    ShadowAnswerRow,
    StudyStatisticsRow,
)
from cxr_gateway.core.ids import new_study_id

__all__ = [
    "IMAGE_NAME",
    "AlreadyArchived",
    "Archive",
    "Cursor",
    "FileStore",
    "IncomingFile",
    "PromotionRow",
    "ShadowAnswerRow",
    "StoredFile",
    "StoredStudy",
    "StudyStatisticsRow",
    "folder_failures",
    "new_study_id",
    "open_archive",
    "open_files",
    "original_name",
]
