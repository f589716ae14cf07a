"""What a crash leaves in the archive's storage, removed: files that no row names."""

import logging
import threading

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.archive.models import owned_by
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.core.schemas import ImageSource
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_SWEEP_EVERY_S = 24 * 3600


def sweep_folder(files: FileStore, engine: Engine) -> None:
    """Remove what a crash left in a folder that nobody else uses."""
    with database_failures(), Session(engine) as session:
        known = select(StudyRow.id, StudyRow.source, StudyRow.revision)
        rows = {
            study_id: owned_by(ImageSource(source), revision)
            for study_id, source, revision in session.execute(known)
        }
    on_disk = set(files.study_ids())
    incoming = files.sweep(on_disk - rows.keys())
    outdated = sum(
        files.remove_others(study_id, rows[study_id]) for study_id in on_disk & rows.keys()
    )
    found = {
        "incoming": incoming,
        "studies": len(on_disk - rows.keys()),
        "pictures": outdated,
        "without_files": len(rows.keys() - on_disk),
    }
    if any(found.values()):
        _LOG.warning("the archive was swept", extra=found)


def sweep_storage(files: FileStore, engine: Engine, stopped: threading.Event) -> None:
    """Sweep a bucket, now and once a day, until `stopped`; it may take long and be away."""
    while files.sweep_age is not None and not stopped.is_set():
        try:
            for studies in files.settled_studies(files.sweep_age):
                _sweep_some(files, engine, studies)
                if stopped.is_set():
                    return
        except ServiceError as error:
            _LOG.warning("the storage was not swept", extra={"detail": error.detail})
        stopped.wait(_SWEEP_EVERY_S)


def _sweep_some(files: FileStore, engine: Engine, studies: list[str]) -> None:
    # Asked after the files were listed: a row is written after its file.
    with database_failures(), Session(engine) as session:
        known = set(session.scalars(select(StudyRow.id).where(StudyRow.id.in_(studies))))
    orphans = [study_id for study_id in studies if study_id not in known]
    for study_id in orphans:
        files.remove_study(study_id)
    if orphans:
        _LOG.warning("the storage was swept", extra={"studies": len(orphans)})
