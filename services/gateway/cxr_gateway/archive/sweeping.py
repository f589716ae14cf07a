"""The one sweep of the archive's files: what a crash leaves, and no row names, is removed.

Files are written before their row, so files without a row are either somebody's work or orphans.
Whoever uses a folder alone knows that all of them are orphans, and also removes incoming files and
rendered images of earlier analyses; otherwise only files that are old enough are.
"""

import logging
import threading
from datetime import timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.archive.models import owned_by
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.core.errors import FilesLeft
from cxr_gateway.core.schemas import ImageSource
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_SWEEP_EVERY_S = 24 * 3600


def sweep(
    engine: Engine,
    files: FileStore,
    age: timedelta = timedelta(0),
    stopped: threading.Event | None = None,
) -> int:
    """Remove the files of studies that have no row; how many studies they were of.

    Args:
        engine: of the database.
        files: of the archive.
        age: files that changed more recently are left; 0 for the only user of the archive.
        stopped: ends the sweep early, in good order.
    """
    swept = 0
    for settled in files.settled_studies(age):
        if stopped is not None and stopped.is_set():
            break
        # Asked after the files were listed: a row is written after its file.
        with database_failures(), Session(engine) as session:
            known = set(session.scalars(select(StudyRow.id).where(StudyRow.id.in_(settled))))
        orphans = [study_id for study_id in settled if study_id not in known]
        for study_id in orphans:
            try:
                files.remove_study(study_id)
            except FilesLeft as error:
                _LOG.warning("files without a study are left", extra={"detail": error.detail})
            else:
                swept += 1
    if swept:
        _LOG.warning("files without a study were removed", extra={"studies": swept})
    return swept


def sweep_alone(engine: Engine, files: FileStore) -> None:
    """Sweep a folder that nobody else uses."""
    incoming, studies = files.remove_incoming(), sweep(engine, files)
    with database_failures(), Session(engine) as session:
        known = select(StudyRow.id, StudyRow.source, StudyRow.revision)
        rows = {
            study_id: owned_by(ImageSource(source), revision)
            for study_id, source, revision in session.execute(known)
        }
    on_disk = set(files.study_ids())
    outdated = sum(
        files.remove_others(study_id, rows[study_id]) for study_id in on_disk & rows.keys()
    )
    found = {
        "incoming": incoming,
        "studies": studies,
        "images": outdated,
        "without_files": len(rows.keys() - on_disk),
    }
    if any(found.values()):
        _LOG.warning("the archive was swept", extra=found)


def sweep_daily(engine: Engine, files: FileStore, stopped: threading.Event) -> None:
    """Sweep a bucket, now and once a day, until `stopped`; it may take long and be away."""
    while files.sweep_age is not None and not stopped.is_set():
        try:
            sweep(engine, files, files.sweep_age, stopped)
        except ServiceError as error:
            _LOG.warning("the storage was not swept", extra={"detail": error.detail})
        stopped.wait(_SWEEP_EVERY_S)
