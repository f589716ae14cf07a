"""The archive: studies in a database, their files in a folder, and the order between the two.

A new study's file is on disk before its row is committed; a study that a crash leaves without a
row never existed, and its file is swept at the next start. So there is no half study.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    case,
    false,
    func,
    insert,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cxr_contracts import CamGrid
from cxr_gateway.archive.changes import ChangeKind, note
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.database_roles import warn_of_owner
from cxr_gateway.archive.db_errors import commit, database_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.archive.heartbeat import note_alive
from cxr_gateway.archive.models import (
    DONE_AFTER,
    Cursor,
    DicomQuery,
    StoredStudy,
    StudyFilter,
    owned_by,
    urgency,
)
from cxr_gateway.archive.pending import end_pending, free_pending, put_pending
from cxr_gateway.archive.removal import Removals
from cxr_gateway.archive.schema import migrate_if_older, refuse_other
from cxr_gateway.archive.searching import matching, search_columns
from cxr_gateway.archive.sorting import SortCursor, Sorting, sorted_page
from cxr_gateway.archive.statistics import put_statistics, statistics_of
from cxr_gateway.archive.store import DISK_THREADS, open_files
from cxr_gateway.archive.sweeping import sweep_alone, sweep_daily
from cxr_gateway.archive.tables import NO_DEPARTMENT, NO_SCORE, KeyRow, StudyRow
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.image_numbers import ImageStatistics
from cxr_gateway.core.schemas import (
    ImageSource,
    Study,
    StudyPage,
    StudyStatus,
    StudySummary,
    Worklist,
    WorklistState,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import Conflict, NotFound, ServiceError, Unavailable

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_SCORE_DECIMALS = 6  # as of a cursor
_DONE = WorklistState.DONE.value


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

    def __init__(
        self,
        files: FileStore,
        engine: Engine,
        threads: ThreadPoolExecutor,
        max_wait: timedelta | None = None,
    ) -> None:
        """`max_wait` is after how long an unopened study rises to the top; None is never."""
        self.files = files
        self._engine = engine
        self._threads = threads
        self._max_wait = max_wait

    @property
    def removals(self) -> Removals:
        """What removes studies and old audit entries, for blocking work in a thread."""
        return Removals(self._engine, self.files)

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
        """Commit a new study whose original is on disk already, and what its image measures.

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
        """Commit a new analysis of a study, and remove the images of the one before.

        Raises:
            AlreadyArchived: the study has been analysed again in between.
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
            # The analysis is committed; what is left over is never shown, and swept at a start.
            _LOG.warning("images of an earlier analysis are left", exc_info=True)
        return stored

    async def remember_key(self, key: str, stored: StoredStudy) -> None:
        """Note that `key` was used for this study; Conflict if it was used for another."""
        await self.in_thread(self._remember_key, key, stored)

    async def page(
        self,
        asked: StudyFilter,
        *,
        limit: int,
        after: Cursor | SortCursor | None,
        department: str | None,
        sorting: Sorting | None = None,
        now: datetime | None = None,
    ) -> StudyPage:
        """Up to `limit` of the studies that are asked for, `after` the cursor of the same order.

        Without `sorting` they are in reading order; `now` is when its first page is read, and the
        pages after it hold to its cursor's moment.
        """
        wanted = select(StudyRow).where(_seen_by(department), matching(asked))
        if sorting is not None:
            return await self.in_thread(self._sorted_page, wanted, sorting, limit, after)
        moment = int((now or datetime.now(UTC)).timestamp() * 1000)
        as_of_ms = after.as_of_ms if isinstance(after, Cursor) else moment
        return await self.in_thread(self._page, wanted, limit, after, as_of_ms)

    async def find_dicom(
        self, query: DicomQuery, department: str | None
    ) -> list[list[StoredStudy]]:
        """Studies that came as DICOM files, put together by their DICOM study.

        A list for each DICOM study, the latest first; in it its radiographs, the first received
        first. What was not analysed is left out.
        """
        return await self.in_thread(self._find_dicom, query, department)

    async def worklist(self, study_id: str, department: str | None) -> Worklist:
        """How far people are with a study; NotFound as of `get`."""
        return await self._in_worklist(study_id, department, None, None)

    async def set_worklist(
        self,
        study_id: str,
        department: str | None,
        state: WorklistState,
        by: str,
        to: str | None = None,
    ) -> Worklist:
        """Set it, unless it is so already; what holds after. NotFound as of `get`."""
        return await self._in_worklist(study_id, department, state, by, to)

    async def check_writable(self) -> None:
        """Raise if a study could not be archived now: a file and a row are written."""
        await self.in_thread(self.files.check_writable)
        await self.query(note_alive)

    def prepare(self) -> None:
        """Sweep what a crash left, unless others use the archive.

        Raises:
            SchemaMismatch: the database has another schema than this gateway.
        """
        with database_failures(), self._engine.connect() as connection:
            refuse_other(connection)
            warn_of_owner(connection)
        if not self.files.open():
            return
        if self.files.sweep_age is None:
            # A database that takes no writes now is no reason not to start: leases end, too.
            with suppress(Unavailable), database_failures(), self._engine.begin() as connection:
                free_pending(connection)
        if self.files.sweep_age is None:
            sweep_alone(self._engine, self.files)
        else:
            self.files.remove_incoming()  # a bucket is swept by `sweep_daily`, beside the work
        self.files.share()

    async def _in_worklist(
        self,
        study_id: str,
        department: str | None,
        state: WorklistState | None,
        by: str | None,
        to: str | None = None,
    ) -> Worklist:
        found = None
        if is_study_id(study_id):
            wanted = (StudyRow.id == study_id) & _seen_by(department)
            found = await self.in_thread(self._set_worklist, wanted, state, by, to)
        if found is None:
            raise NotFound("There is no study of this id.")
        return found

    def _set_worklist(
        self,
        wanted: ColumnElement[bool],
        state: WorklistState | None,
        by: str | None,
        to: str | None,
    ) -> Worklist | None:
        rank = case(
            (StudyRow.urgency >= DONE_AFTER, StudyRow.urgency - DONE_AFTER), else_=StudyRow.urgency
        )
        with database_failures(), Session(self._engine) as session, session.begin():
            if state is not None:
                change = {
                    "worklist_state": state.value,
                    "worklist_by": by,
                    "worklist_at": datetime.now(UTC),
                    "worklist_to": to,
                    "urgency": rank + (DONE_AFTER if state is WorklistState.DONE else 0),
                }
                other = wanted & (
                    (StudyRow.worklist_state != state.value)
                    | StudyRow.worklist_to.is_distinct_from(to)
                )
                changed = update(StudyRow).where(other).values(change).returning(StudyRow.id)
                if (study_id := session.scalar(changed)) is not None:
                    note(session, study_id, ChangeKind.WORKLIST)
            row = session.scalars(select(StudyRow).where(wanted)).first()
            return None if row is None else _worklist(row)

    def _find_dicom(self, query: DicomQuery, department: str | None) -> list[list[StoredStudy]]:
        uid = StudyRow.study_instance_uid
        wanted = (
            _seen_by(department)
            & (StudyRow.source == ImageSource.DICOM.value)
            & StudyRow.status.not_in([StudyStatus.FAILED.value, StudyStatus.PENDING.value])
            & uid.is_not(None)
        )
        for column, value in (
            (uid, query.study_instance_uid),
            (StudyRow.patient_id, query.patient_id),
            (StudyRow.accession_number, query.accession_number),
        ):
            if value is not None:
                wanted &= column == value
        if query.first_date is not None:
            wanted &= StudyRow.study_date >= query.first_date
        if query.last_date is not None:
            wanted &= StudyRow.study_date <= query.last_date
        page = (
            select(uid)
            .where(wanted)
            .group_by(uid)
            .order_by(func.max(StudyRow.id).desc())
            .limit(query.limit)
            .offset(query.offset)
        )
        with database_failures(), Session(self._engine) as session:
            uids = session.scalars(page).all()
            rows = session.scalars(
                select(StudyRow).where(wanted, uid.in_(uids)).order_by(StudyRow.id)
            )
            found: dict[str, list[StoredStudy]] = {str(one): [] for one in uids}
            for row in rows:
                found[str(row.study_instance_uid)].append(_stored(row))
        return list(found.values())

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
                    session.execute(insert(StudyRow), columns)
                    put_statistics(session, statistics)
                    _put_key(session, key, stored)
                    if stored.status is StudyStatus.PENDING:
                        put_pending(session, stored.id)
                    session.flush()
                    note(session, stored.id, ChangeKind.CREATED)
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
            # What is done stays done: people looked at the radiograph, whatever is said of it.
            rank = columns["urgency"] + case(
                (StudyRow.worklist_state == _DONE, DONE_AFTER), else_=0
            )
            values = columns | {"urgency": rank}
            changed = update(StudyRow).where(unchanged).values(values).returning(StudyRow.id)
            if session.scalars(changed).first() is None:
                raise AlreadyArchived
            put_statistics(session, statistics)
            _put_key(session, key, after)
            end_pending(session, after.id)
            session.flush()
            was_pending = before.status is StudyStatus.PENDING
            note(session, after.id, ChangeKind.ANALYSED if was_pending else ChangeKind.RERUN)

    def _remember_key(self, key: str, stored: StoredStudy) -> None:
        with database_failures():
            try:
                with Session(self._engine) as session, session.begin():
                    _put_key(session, key, stored)
            except IntegrityError:
                self._look_up(stored.content_sha256, key, stored.department)

    def _sorted_page(
        self, wanted: Select[StudyRow], sorting: Sorting, limit: int, after: SortCursor | None
    ) -> StudyPage:
        with database_failures(), Session(self._engine) as session:
            total = _count(session, wanted)
            rows, end = sorted_page(session, wanted, sorting, limit, after)
            return StudyPage(items=[_summary(row) for row in rows], next_cursor=end, total=total)

    def _page(
        self, wanted: Select[StudyRow], limit: int, after: Cursor | None, as_of_ms: int
    ) -> StudyPage:
        overdue = self._overdue(as_of_ms)
        with database_failures(), Session(self._engine) as session:
            total = _count(session, wanted)
            waiting: Sequence[StudyRow] = ()
            if after is None or after.overdue:
                first = _oldest_first(wanted.where(overdue), after)
                waiting = session.scalars(first.limit(limit + 1)).all()
            rest = _most_urgent_first(
                wanted.where(not_(overdue)), None if after is None or after.overdue else after
            )
            rows = [*waiting, *session.scalars(rest.limit(limit + 1 - len(waiting))).all()]
        items = [_summary(row) for row in rows[:limit]]
        end = None
        if len(rows) > limit:
            last = rows[limit - 1]
            is_overdue = limit <= len(waiting)
            end = str(Cursor(as_of_ms, is_overdue, last.urgency, last.score, last.id))
        return StudyPage(items=items, next_cursor=end, total=total)

    def _overdue(self, as_of_ms: int) -> ColumnElement[bool]:
        """Whether a study has waited too long at that moment; one that was rejected never has."""
        if self._max_wait is None:
            return false()
        before = datetime.fromtimestamp(as_of_ms / 1000, UTC) - self._max_wait
        return (
            (StudyRow.worklist_state == WorklistState.NEW.value)
            & (StudyRow.status != StudyStatus.REJECTED.value)
            & (StudyRow.received_at < before)
        )


@asynccontextmanager
async def open_archive(settings: GatewaySettings) -> AsyncIterator[Archive]:
    """The archive of these settings, swept and ready; closed at the end."""
    files = open_files(settings)
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    stopped = threading.Event()
    # One thread more than the disk's: the sweep of a bucket.
    threads = ThreadPoolExecutor(DISK_THREADS + 1, thread_name_prefix="archive")
    minutes = settings.max_wait_minutes
    archive = Archive(files, engine, threads, timedelta(minutes=minutes) if minutes else None)
    try:
        if settings.resolved_migrate_at_start:
            await archive.in_thread(migrate_if_older, engine, settings.database_timeout_s)
        await archive.in_thread(archive.prepare)
        sweeping = threads.submit(sweep_daily, engine, files, stopped)
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


def _count(session: Session, wanted: Select[StudyRow]) -> int:
    return session.scalar(select(func.count()).select_from(wanted.subquery())) or 0


def _oldest_first(wanted: Select[StudyRow], after: Cursor | None) -> Select[StudyRow]:
    ordered = wanted.order_by(StudyRow.id)
    return ordered if after is None else ordered.where(StudyRow.id > after.id)


def _most_urgent_first(wanted: Select[StudyRow], after: Cursor | None) -> Select[StudyRow]:
    ordered = wanted.order_by(StudyRow.urgency, StudyRow.score.desc(), StudyRow.id.desc())
    if after is None:
        return ordered
    same_score = (StudyRow.score == after.score) & (StudyRow.id < after.id)
    same_rank = (StudyRow.urgency == after.urgency) & ((StudyRow.score < after.score) | same_score)
    return ordered.where((StudyRow.urgency > after.urgency) | same_rank)


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
    score = study.triage.score if study.triage else None
    return {
        "id": stored.id,
        "content_sha256": stored.content_sha256,
        "status": stored.status.value,
        "priority": priority.value if priority else None,
        "urgency": urgency(stored.status, priority),
        "score": NO_SCORE if score is None else round(score, _SCORE_DECIMALS),
        "received_at": study.received_at,
        "source": stored.source.value,
        "revision": stored.revision,
        "result_json": stored.result_json,
        "cams_json": stored.cams_json,
        "department": stored.department or NO_DEPARTMENT,
        "patient_id": study.patient.patient_id,
        "issuer_of_patient_id": stored.issuer_of_patient_id,
        "accession_number": study.patient.accession_number,
        "study_instance_uid": study.patient.study_instance_uid,
        "study_date": study.patient.study_date,
        **search_columns(study),
    }


def _stored(row: StudyRow) -> StoredStudy:
    return StoredStudy(
        id=row.id,
        content_sha256=row.content_sha256,
        status=StudyStatus(row.status),
        source=ImageSource(row.source),
        revision=row.revision,
        result_json=row.result_json,
        cams_json=row.cams_json,
        department=row.department or None,
        issuer_of_patient_id=row.issuer_of_patient_id,
    )


def _worklist(row: StudyRow) -> Worklist:
    at = row.worklist_at
    # SQLite forgets the zone; the archive writes UTC only.
    in_utc = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    state, by, to = WorklistState(row.worklist_state), row.worklist_by, row.worklist_to
    return Worklist(state=state, by=by, at=in_utc, to=to)


def _summary(row: StudyRow) -> StudySummary:
    of_study = set(StudySummary.model_fields) & set(Study.model_fields)
    values = _stored(row).study.model_dump(include=of_study)
    return StudySummary.model_validate(values | {"worklist": _worklist(row)})
