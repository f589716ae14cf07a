"""The archive: studies in a database, their files in a folder, and the order between the two.

A new study's file is on disk before its row is committed; a study that a crash leaves without a
row never existed, and its file is swept at the next start. So there is no half study.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Engine, Select, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cxr_contracts import CamGrid
from cxr_gateway.archive.db_errors import commit, database_failures, folder_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.archive.models import (
    Cursor,
    StoredStudy,
    in_todays_form,
    owned_by,
    urgency,
)
from cxr_gateway.archive.schema import migrate_if_older, refuse_other
from cxr_gateway.archive.statistics import put_statistics, statistics_of
from cxr_gateway.archive.sweeping import sweep_folder, sweep_storage
from cxr_gateway.archive.tables import NO_DEPARTMENT, KeyRow, StudyRow, open_engine
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.schemas import (
    ImageSource,
    Priority,
    Study,
    StudyPage,
    StudyStatus,
    StudySummary,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.measures import ImageStatistics
from cxr_serving.errors import Conflict, NotFound, ServiceError

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_DISK_THREADS = 8


class AlreadyArchived(Exception):
    """Another gateway archived the same content, or read the same study again, in between."""


class Archive:
    """Rows and files. Public methods are coroutines; the work is done in the archive's threads.

    A study is one department's, or nobody's. Where studies are looked for, `department` None means
    among all; where one is kept, it means in none, which is the same as a department of its own.

    Raises (all methods):
        Unavailable: the database is locked or unreachable beyond the timeout, or the folder is.
        StorageFull: no room; nothing was kept.
    """

    def __init__(self, files: FileStore, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self.files = files
        self._engine = engine
        self._threads = threads

    @property
    def engine(self) -> Engine:
        """The database, for blocking work in a thread; see `database_failures`."""
        return self._engine

    async def in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run blocking work of the archive in one of its threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def query(self, work: Callable[[Session], _T]) -> _T:
        """Read other tables of the archive's database in one of its threads."""
        return await self.in_thread(self._query, work)

    async def get(self, study_id: str, department: str | None) -> StoredStudy:
        """The study; NotFound if there is none of this id, or it is another department's."""
        stored = None
        if is_study_id(study_id):
            wanted = (StudyRow.id == study_id) & _seen_by(department)
            stored = await self.in_thread(self._find, wanted)
        if stored is None:
            raise NotFound("There is no study of this id.")
        return stored

    async def look_up(
        self, content_sha256: str, key: str | None, department: str | None
    ) -> StoredStudy | None:
        """The department's study of this content; Conflict if its `key` was used for another."""
        return await self.in_thread(self._look_up, content_sha256, key, department)

    async def add(
        self,
        study: Study,
        cams: list[CamGrid],
        key: str | None,
        department: str | None,
        measures: ImageStatistics | None = None,
    ) -> StoredStudy:
        """Commit a new study whose original is on disk already, and what its picture measures.

        Raises:
            AlreadyArchived: the content has got a study in between.
            Conflict: `key` has been used for another content in between.
            CommitUnanswered: the study may be committed, so its files have to stay.
        """
        stored = StoredStudy.of(study, cams, revision=1, department=department)
        rows = _columns(stored, study), statistics_of(study, measures)
        await self.in_thread(self._add, stored, *rows, key)
        return stored

    async def replace(
        self,
        before: StoredStudy,
        study: Study,
        cams: list[CamGrid],
        key: str | None,
        measures: ImageStatistics | None = None,
    ) -> StoredStudy:
        """Commit a new reading of a study, and remove the pictures of the one before.

        Raises:
            AlreadyArchived: the study has been read again in between.
            Conflict: `key` has been used for another content in between.
        """
        stored = StoredStudy.of(
            study, cams, revision=before.revision + 1, department=before.department
        )
        rows = _columns(stored, study), statistics_of(study, measures)
        await self.in_thread(self._replace, before, stored, *rows, key)
        try:
            owns = owned_by(stored.source, stored.revision)
            await self.in_thread(self.files.remove_others, stored.id, owns)
        except ServiceError:
            # The reading is committed; what is left over is never shown, and swept at a start.
            _LOG.warning("pictures of an earlier reading are left", exc_info=True)
        return stored

    async def remember_key(self, key: str, stored: StoredStudy) -> None:
        """Note that `key` was used for this study; Conflict if it was used for another."""
        await self.in_thread(self._remember_key, key, stored)

    async def page(
        self,
        *,
        statuses: Sequence[StudyStatus],
        priorities: Sequence[Priority],
        limit: int,
        after: Cursor | None,
        department: str | None,
    ) -> StudyPage:
        """Up to `limit` studies of these statuses and priorities (empty: of all)."""
        wanted = _wanted(statuses, priorities, department)
        return await self.in_thread(self._page, wanted, limit, after)

    async def check_writable(self) -> None:
        """Raise if a study could not be archived now."""
        await self.in_thread(self.files.check_writable)
        await self.in_thread(self._find, StudyRow.id == "")

    def prepare(self) -> None:
        """Sweep what a crash left, unless others use the archive.

        Raises:
            SchemaMismatch: the database has another schema than this gateway.
        """
        with database_failures(), self._engine.connect() as connection:
            refuse_other(connection)
        if not self.files.open():
            return
        if self.files.sweep_age is None:
            sweep_folder(self.files, self._engine)
        else:
            self.files.sweep(())  # a bucket is swept by `sweep_storage`, beside the work
        self.files.share()

    def _query(self, work: Callable[[Session], _T]) -> _T:
        with database_failures(), Session(self._engine) as session, session.begin():
            return work(session)

    def _find(self, condition: Any) -> StoredStudy | None:
        with database_failures(), Session(self._engine) as session:
            row = session.scalars(select(StudyRow).where(condition)).first()
            return None if row is None else _stored(row)

    def _look_up(
        self, content_sha256: str, key: str | None, department: str | None
    ) -> StoredStudy | None:
        owner = department or NO_DEPARTMENT
        with database_failures(), Session(self._engine) as session:
            if key is not None:
                _refuse_other_content(session.get(KeyRow, (owner, key)), content_sha256)
            same = (StudyRow.department == owner) & (StudyRow.content_sha256 == content_sha256)
            found = select(StudyRow).where(same)
            row = session.scalars(found).first()
            return None if row is None else _stored(row)

    def _add(
        self,
        stored: StoredStudy,
        columns: dict[str, Any],
        statistics: dict[str, Any] | None,
        key: str | None,
    ) -> None:
        with database_failures():
            try:
                with Session(self._engine) as session:
                    session.execute(insert(StudyRow).values(columns))
                    put_statistics(session, statistics)
                    _put_key(session, key, stored)
                    session.flush()
                    commit(session)
            except IntegrityError as error:
                # Either the content or the key; look_up raises if it was the key.
                self._look_up(stored.content_sha256, key, stored.department)
                raise AlreadyArchived from error

    def _replace(
        self,
        before: StoredStudy,
        after: StoredStudy,
        columns: dict[str, Any],
        statistics: dict[str, Any] | None,
        key: str | None,
    ) -> None:
        unchanged = (StudyRow.id == before.id) & (StudyRow.revision == before.revision)
        with database_failures(), Session(self._engine) as session, session.begin():
            changed = update(StudyRow).where(unchanged).values(columns).returning(StudyRow.id)
            if session.scalars(changed).first() is None:
                raise AlreadyArchived
            put_statistics(session, statistics)
            _put_key(session, key, after)

    def _remember_key(self, key: str, stored: StoredStudy) -> None:
        with database_failures():
            try:
                with Session(self._engine) as session, session.begin():
                    _put_key(session, key, stored)
            except IntegrityError:
                self._look_up(stored.content_sha256, key, stored.department)

    def _page(self, wanted: Select[StudyRow], limit: int, after: Cursor | None) -> StudyPage:
        with database_failures(), Session(self._engine) as session:
            total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
            rows = session.scalars(_after(wanted, after).limit(limit + 1)).all()
        items = [_summary(_stored(row).study) for row in rows[:limit]]
        more = len(rows) > limit
        end = str(Cursor(rows[limit - 1].urgency, rows[limit - 1].id)) if more else None
        return StudyPage(items=items, next_cursor=end, total=total)


def open_files(settings: GatewaySettings) -> FileStore:
    """The files of these settings: in the archive's folder, or in a bucket beside it."""
    with folder_failures():
        # Films and names of patients: for this user's eyes only.
        settings.archive_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.storage == "s3":
        # Its client is large; whoever keeps a folder does without.
        from cxr_gateway.archive.s3 import S3Store

        return S3Store(settings, _DISK_THREADS)
    return FileStore(settings.archive_dir)


@asynccontextmanager
async def open_archive(settings: GatewaySettings) -> AsyncIterator[Archive]:
    """The archive of these settings, swept and ready; closed at the end."""
    files = open_files(settings)
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    stopped = threading.Event()
    # One thread more than the disk's: the sweep of a bucket.
    threads = ThreadPoolExecutor(_DISK_THREADS + 1, thread_name_prefix="archive")
    archive = Archive(files, engine, threads)
    try:
        if settings.resolved_migrate_at_start:
            await archive.in_thread(migrate_if_older, engine, settings.database_timeout_s)
        await archive.in_thread(archive.prepare)
        sweeping = threads.submit(sweep_storage, files, engine, stopped)
        yield archive
        stopped.set()
        await asyncio.wrap_future(sweeping)
    finally:
        stopped.set()
        # Before what they use: work whose caller was cancelled holds its connection to its end.
        await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(files.close)
        await asyncio.to_thread(engine.dispose)


def _seen_by(department: str | None) -> ColumnElement[bool]:
    return true() if department is None else StudyRow.department == department


def _wanted(
    statuses: Sequence[StudyStatus], priorities: Sequence[Priority], department: str | None
) -> Select[StudyRow]:
    wanted = select(StudyRow).where(_seen_by(department))
    if statuses:
        wanted = wanted.where(StudyRow.status.in_([status.value for status in statuses]))
    if priorities:
        wanted = wanted.where(StudyRow.priority.in_([rank.value for rank in priorities]))
    return wanted


def _after(wanted: Select[StudyRow], after: Cursor | None) -> Select[StudyRow]:
    ordered = wanted.order_by(StudyRow.urgency, StudyRow.id.desc())
    if after is None:
        return ordered
    same = (StudyRow.urgency == after.urgency) & (StudyRow.id < after.id)
    return ordered.where((StudyRow.urgency > after.urgency) | same)


def _put_key(session: Session, key: str | None, stored: StoredStudy) -> None:
    if key is None:
        return
    owner, content = stored.department or NO_DEPARTMENT, stored.content_sha256
    used = session.get(KeyRow, (owner, key))
    _refuse_other_content(used, content)
    if used is None:
        row = KeyRow(department=owner, key=key, content_sha256=content, study_id=stored.id)
        session.add(row)


def _refuse_other_content(used: KeyRow | None, content_sha256: str) -> None:
    if used is not None and used.content_sha256 != content_sha256:
        raise Conflict("This Idempotency-Key was used for a file with other content.")


def _columns(stored: StoredStudy, study: Study) -> dict[str, Any]:
    priority = study.triage.priority if study.triage else None
    return {
        "id": stored.id,
        "content_sha256": stored.content_sha256,
        "status": stored.status.value,
        "priority": priority.value if priority else None,
        "urgency": urgency(stored.status, priority),
        "received_at": study.received_at,
        "source": stored.source.value,
        "revision": stored.revision,
        "result_json": stored.result_json,
        "cams_json": stored.cams_json,
        "department": stored.department or NO_DEPARTMENT,
    }


def _stored(row: StudyRow) -> StoredStudy:
    return StoredStudy(
        id=row.id,
        content_sha256=row.content_sha256,
        status=StudyStatus(row.status),
        source=ImageSource(row.source),
        revision=row.revision,
        result_json=in_todays_form(row.result_json),
        cams_json=row.cams_json,
        department=row.department or None,
    )


def _summary(study: Study) -> StudySummary:
    return StudySummary.model_validate(study.model_dump(include=set(StudySummary.model_fields)))
