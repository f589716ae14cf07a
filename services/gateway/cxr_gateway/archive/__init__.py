"""The archive: studies as they were analysed, found again after every restart.

The only home of SQLAlchemy. `Session` is re-exported for those who hand the archive's functions to
`Archive.query`: nothing outside calls its methods.
"""

from sqlalchemy.orm import Session

from cxr_gateway.archive.archive import AlreadyArchived, Archive, open_archive
from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.archive.files import FileStore, IncomingFile
from cxr_gateway.archive.models import IMAGE_NAME, Cursor, StoredFile, StoredStudy, original_name
from cxr_gateway.archive.schema import query_once
from cxr_gateway.archive.store import open_files

__all__ = [
    "IMAGE_NAME",
    "AlreadyArchived",
    "Archive",
    "Cursor",
    "FileStore",
    "IncomingFile",
    "Session",
    "StoredFile",
    "StoredStudy",
    "folder_failures",
    "open_archive",
    "open_files",
    "original_name",
    "query_once",
]
