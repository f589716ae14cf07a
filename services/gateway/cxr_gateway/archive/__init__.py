"""The archive: studies as they were analysed, found again after every restart.

The only home of SQLAlchemy. `Session` is re-exported for those who hand the archive's functions to
`Archive.query`: nothing outside calls its methods.
"""

from sqlalchemy.orm import Session

from cxr_gateway.archive.archive import AlreadyArchived, Archive, open_archive
from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.archive.files import FileStore, IncomingFile
from cxr_gateway.archive.models import (
    GREYS_NAME,
    IMAGE_NAME,
    PIXELS_NAME,
    Cursor,
    DicomQuery,
    StoredFile,
    StoredStudy,
    StudyFilter,
    original_name,
)
from cxr_gateway.archive.schema import query_once
from cxr_gateway.archive.sorting import Sorting, SortKey, parse_cursor
from cxr_gateway.archive.store import open_files

__all__ = [
    "GREYS_NAME",
    "IMAGE_NAME",
    "PIXELS_NAME",
    "AlreadyArchived",
    "Archive",
    "Cursor",
    "DicomQuery",
    "FileStore",
    "IncomingFile",
    "Session",
    "SortKey",
    "Sorting",
    "StoredFile",
    "StoredStudy",
    "StudyFilter",
    "folder_failures",
    "open_archive",
    "open_files",
    "original_name",
    "parse_cursor",
    "query_once",
]
