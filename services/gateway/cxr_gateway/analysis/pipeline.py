"""The way of an upload: decode, OOD detector, both services, merge, triage, archive, response.

The original is written and synced while the inference services work, and is on disk before the
answer; the derived images are made later, by `images.py`. A result that has begun is finished even
if its client has gone: it runs in a task of its own. Two uploads of the same bytes take turns, so
the second finds the study of the first.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from cxr_contracts import CamGrid
from cxr_gateway.analysis.analyzer import Analysis, Analyzer, Prepared
from cxr_gateway.analysis.merge import TOP_FINDINGS, predict
from cxr_gateway.analysis.triage import behind_others
from cxr_gateway.archive import (
    AlreadyArchived,
    Archive,
    IncomingFile,
    StoredStudy,
    original_name,
)
from cxr_gateway.archive.pending import end_pending
from cxr_gateway.core.errors import (
    CommitUnanswered,
    FilesLeft,
    InferenceUnavailable,
    TooManyRequests,
)
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.locks import NamedLocks
from cxr_gateway.core.metrics import GatewayMetrics
from cxr_gateway.core.schemas import (
    FailureKind,
    ModelRole,
    Study,
    StudyProblem,
    StudyStatus,
    Timings,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.turns import FairTurns
from cxr_gateway.imaging import DecodedImage, Limits
from cxr_serving.errors import (
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unprocessable,
    UnsupportedMedia,
)

_RETRY_AFTER_S = 1
_UNFINISHED = (StudyStatus.FAILED, StudyStatus.PARTIAL, StudyStatus.PENDING)


@dataclass
class Upload:
    """A received file, outside every study until the archive keeps it.

    `screened` is one that a screening of the archive chose: it was taken long ago. `sender` is who
    sent it, None for the machine's own.
    """

    incoming: IncomingFile
    sha256: str
    size_bytes: int
    file_name: str | None
    received_at: datetime
    screened: bool = False
    sender: str | None = None
    started: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class AnalysedStudy:
    """What a client gets: a stored study, and whether it was not there before."""

    stored: StoredStudy
    is_new: bool


@dataclass(frozen=True)
class _Subject:
    """The study that is being read, before anything is known about it."""

    study_id: str
    content_sha256: str
    file_name: str | None
    received_at: datetime
    screened: bool = False


class AnalysisPipeline:
    """Reads uploads and reads studies again."""

    def __init__(
        self,
        archive: Archive,
        analyzer: Analyzer,
        metrics: GatewayMetrics,
        settings: GatewaySettings,
        on_analysed: Callable[[StoredStudy, Analysis], None],
    ) -> None:
        self._archive = archive
        self._analyzer = analyzer
        self._metrics = metrics
        self._limits = Limits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
        self._on_analysed = on_analysed
        self._max_in_flight = settings.max_studies_in_flight
        self._max_of_sender = settings.max_studies_per_principal
        metrics.studies_in_flight_limit.set(self._max_in_flight)
        self._in_flight = 0
        self._of_sender: Counter[str] = Counter()
        self.idle = asyncio.Event()
        self.idle.set()
        self._turns = FairTurns(settings.max_concurrent_analyses)
        self._contents = NamedLocks()
        self._tasks: set[asyncio.Task[AnalysedStudy]] = set()

    def check_room(self, sender: str | None) -> None:
        """Refuse one more study of `sender`; None has no share.

        Raises:
            TooManyRequests: they have as many as one may.
            Overloaded: there are as many as there may be at once.
        """
        if sender is not None and self._of_sender[sender] >= self._max_of_sender:
            raise TooManyRequests(
                f"{self._max_of_sender} studies of this user or key are being read, as many as one "
                "may have.",
                retry_after_s=_RETRY_AFTER_S,
            )
        if self._in_flight >= self._max_in_flight:
            raise Overloaded(
                f"{self._in_flight} studies are being read, as many as this gateway takes at once."
            )

    @contextmanager
    def admit(self, sender: str | None) -> Iterator[None]:
        """Count a study that has arrived until the end of the block; see `check_room`."""
        self.check_room(sender)
        self._in_flight += 1
        if sender is not None:
            self._of_sender[sender] += 1
        self.idle.clear()
        try:
            with self._metrics.studies_in_flight.track_inprogress():
                yield
        finally:
            self._in_flight -= 1
            if sender is not None:
                self._of_sender[sender] -= 1
                if not self._of_sender[sender]:
                    del self._of_sender[sender]
            if not self._in_flight:
                self.idle.set()

    def receiving(self) -> AbstractContextManager[object]:
        """Measure how long a client takes to send its file."""
        return self._metrics.stage("receive")

    async def analyze(
        self, upload: Upload, key: str | None, department: str | None
    ) -> AnalysedStudy:
        """Read a received file, or find the study that it has already; the file is kept or gone.

        Departments share nothing: the same file of another one is another study.

        Raises:
            InferenceUnavailable: neither inference service answered; the study is kept.
            Conflict: `key` was used for another content.
            UnsupportedMedia, Unprocessable, PayloadTooLarge: what decoded refuses.
            StorageFull, Unavailable: the archive cannot keep it.
        """
        return await self._finish(self._read(upload, key, department))

    async def accept(
        self, upload: Upload, key: str | None, department: str | None
    ) -> AnalysedStudy:
        """Keep a received file, decoded and checked, to be analysed later; else as `analyze`.

        What is refused or rejected, and what was analysed before, is answered at once.
        """
        # While it is being analysed its turn is taken, and nobody is to wait for that here.
        known = await self._archive.look_up(upload.sha256, key, department)
        if known is not None and known.status is StudyStatus.PENDING:
            await self._archive.in_thread(upload.incoming.discard)
            return AnalysedStudy(known, is_new=False)
        return await self._finish(self._read(upload, key, department, later=True))

    async def complete(self, study_id: str, *, is_last: bool) -> bool:
        """Analyse a study that was accepted; whether that is done.

        Args:
            study_id: which.
            is_last: whether it is kept as failed if neither inference service answers, or if its
                file cannot be decoded again.
        """
        try:
            stored = await self._archive.get(study_id, None)
        except NotFound:
            return True
        if stored.status is not StudyStatus.PENDING:
            await self._archive.query(partial(end_pending, study_id=study_id))
            return True
        work = self._complete(stored, is_last=is_last)
        return (await self._begun(work)).stored.status is not StudyStatus.PENDING

    async def rerun(
        self, study_id: str, department: str | None, sender: str | None
    ) -> AnalysedStudy:
        """Read a failed or partial study again; any other is answered as it stands.

        Raises:
            NotFound: no such study, or another department's.
            InferenceUnavailable: neither inference service answered, again.
        """
        stored = await self._archive.get(study_id, department)
        return await self._finish(self._rerun(stored, sender))

    async def close(self) -> None:
        """Wait for the analyses that are going on."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self, work: Coroutine[Any, Any, AnalysedStudy]) -> AnalysedStudy:
        result = await self._begun(work)
        if result.stored.status is StudyStatus.FAILED:
            study = result.stored.study
            raise InferenceUnavailable(
                "Neither inference service answered. The study is kept and can be run again.",
                study_id=study.id,
                problems=[problem.model_dump() for problem in study.problems],
            )
        return result

    async def _begun(self, work: Coroutine[Any, Any, AnalysedStudy]) -> AnalysedStudy:
        """The result of work that goes on to its end, even if nobody waits for it any more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _read(
        self, upload: Upload, key: str | None, department: str | None, *, later: bool = False
    ) -> AnalysedStudy:
        try:
            async with self._contents.hold(_name_of(upload.sha256, department)):
                while True:
                    stored = await self._archive.look_up(upload.sha256, key, department)
                    try:
                        if stored is None:
                            new = await self._read_new(upload, key, department, later=later)
                            return AnalysedStudy(new, is_new=True)
                        if later and stored.status is StudyStatus.PENDING:
                            return AnalysedStudy(stored, is_new=False)
                        known = await self._read_known(stored, key, upload.sender)
                        return AnalysedStudy(known, is_new=False)
                    except AlreadyArchived:
                        continue  # another gateway on the same archive was quicker
        finally:
            if not upload.incoming.settled:
                await self._archive.in_thread(upload.incoming.discard)

    async def _complete(self, stored: StoredStudy, *, is_last: bool) -> AnalysedStudy:
        async with self._contents.hold(_name_of(stored.content_sha256, stored.department)):
            current = await self._archive.get(stored.id, stored.department)
            if current.status is StudyStatus.PENDING:
                with contextlib.suppress(AlreadyArchived):
                    try:
                        current = await self._read_known(current, None, None, keeps_failed=is_last)
                    except (UnsupportedMedia, Unprocessable, PayloadTooLarge, Overloaded) as error:
                        if not is_last:
                            raise
                        failed = _undecoded(current.study, error)
                        current = await self._archive.replace(current, failed, [], None)
            return AnalysedStudy(current, is_new=False)

    async def _rerun(self, stored: StoredStudy, sender: str | None) -> AnalysedStudy:
        async with self._contents.hold(_name_of(stored.content_sha256, stored.department)):
            while True:
                current = await self._archive.get(stored.id, stored.department)
                try:
                    again = await self._read_known(current, None, sender)
                    return AnalysedStudy(again, is_new=False)
                except AlreadyArchived:
                    continue

    async def _read_known(
        self,
        stored: StoredStudy,
        key: str | None,
        sender: str | None,
        *,
        keeps_failed: bool = True,
    ) -> StoredStudy:
        if stored.status not in _UNFINISHED:
            if key is not None:
                await self._archive.remember_key(key, stored)
            return stored
        started = time.perf_counter()
        before = stored.study
        subject = _Subject(before.id, before.content_sha256, before.file_name, before.received_at)
        original = partial(self._archive.files.opened, stored.id, stored.original)
        async with self._turn(sender):
            prepared = await self._analyzer.prepare(original, self._limits)
            analysis = await self._analyzer.analyze(prepared)
        if analysis.status is StudyStatus.FAILED and not keeps_failed:
            return stored
        study = self._merged(subject, prepared, analysis, started)
        with self._metrics.stage("record"):
            after = await self._archive.replace(
                stored, study, _cams(analysis), key, analysis.measures
            )
        return self._announced(after, study, analysis, started)

    async def _read_new(
        self, upload: Upload, key: str | None, department: str | None, *, later: bool
    ) -> StoredStudy:
        subject = _Subject(
            new_study_id(), upload.sha256, upload.file_name, upload.received_at, upload.screened
        )
        async with self._turn(upload.sender):
            prepared = await self._analyzer.prepare(upload.incoming.opened, self._limits)
            decoded = prepared.decoded
            storing = asyncio.create_task(self._keep_original(upload, subject, decoded))
            try:
                analysis = await self._analyzer.analyze(prepared, asks=not later)
                waits = later and analysis.ood.accepted
                analysis.stages_ms["archive"] = await storing
                study = self._merged(subject, prepared, analysis, upload.started)
                if waits:
                    study = _pending(study)
                with self._metrics.stage("record"):
                    stored = await self._archive.add(
                        study,
                        _cams(analysis),
                        key,
                        department,
                        None if waits else analysis.measures,
                    )
            except CommitUnanswered:
                # The row may be there, so its files stay; else they are swept at a start.
                raise
            except BaseException:
                # Whatever it was: without a row there must be no files.
                await asyncio.gather(storing, return_exceptions=True)
                with contextlib.suppress(FilesLeft):  # swept later; what came before is told
                    await self._archive.in_thread(
                        self._archive.files.remove_study, subject.study_id
                    )
                raise
        return stored if waits else self._announced(stored, study, analysis, upload.started)

    @asynccontextmanager
    async def _turn(self, sender: str | None) -> AsyncIterator[None]:
        """Hold one of the `max_concurrent_analyses` until the end of the block."""
        async with AsyncExitStack() as held:
            with self._metrics.stage("wait"), self._metrics.studies_waiting.track_inprogress():
                await held.enter_async_context(self._turns.hold(sender))
            yield

    def _merged(
        self, subject: _Subject, prepared: Prepared, analysis: Analysis, started: float
    ) -> Study:
        with self._metrics.stage("merge"):
            return _assembled(subject, prepared, analysis, started)

    def _announced(
        self, stored: StoredStudy, study: Study, analysis: Analysis, started: float
    ) -> StoredStudy:
        self._metrics.count(study, time.perf_counter() - started)
        self._on_analysed(stored, analysis)
        return stored

    async def _keep_original(
        self, upload: Upload, subject: _Subject, decoded: DecodedImage
    ) -> float:
        name, files = original_name(decoded.metadata.source), self._archive.files
        with self._metrics.stage("archive") as span:
            await self._archive.in_thread(files.keep, upload.incoming, subject.study_id, name)
        return span.ms


def _name_of(content_sha256: str, department: str | None) -> str:
    """What uploads take turns by."""
    return f"{content_sha256} {department or ''}"


def _pending(study: Study) -> Study:
    """A study of which the image alone is known yet."""
    return study.model_copy(
        update={
            "status": StudyStatus.PENDING,
            "top_findings": [],
            "findings": [],
            "triage": None,
            "models": [],
            "problems": [],
        }
    )


def _undecoded(study: Study, error: ServiceError) -> Study:
    """A study whose file was decoded when it came, and is not any more."""
    detail = f"The file cannot be decoded again: {error.detail}"
    parts = [
        StudyProblem(service=role, kind=FailureKind.ERROR, detail=detail)
        for role in (ModelRole.CLASSIFIER, ModelRole.DETECTOR)
    ]
    return study.model_copy(update={"status": StudyStatus.FAILED, "problems": parts})


def _cams(analysis: Analysis) -> list[CamGrid]:
    return analysis.classified.cams if analysis.classified else []


def _assembled(subject: _Subject, prepared: Prepared, analysis: Analysis, started: float) -> Study:
    prediction = predict(analysis.classified, analysis.detected, analysis.triage)
    stages_ms = analysis.stages_ms
    return Study(
        id=subject.study_id,
        status=analysis.status,
        received_at=subject.received_at,
        file_name=subject.file_name,
        content_sha256=subject.content_sha256,
        image=prepared.decoded.metadata,
        quality=analysis.quality,
        patient=prepared.decoded.patient,
        ood=analysis.ood,
        top_findings=prediction.findings[:TOP_FINDINGS],
        findings=prediction.findings,
        boxes=prediction.boxes,
        rescoring=None,
        heatmaps=[cam.finding for cam in _cams(analysis)],
        triage=behind_others(prediction.triage) if subject.screened else prediction.triage,
        models=analysis.models,
        calibrated=analysis.classified.calibrated if analysis.classified else None,
        timings_ms=Timings(
            decode=stages_ms["decode"],
            ood=stages_ms.get("ood"),
            classifier=stages_ms.get("classifier"),
            detector=stages_ms.get("detector"),
            archive=stages_ms.get("archive"),
            total=round((time.perf_counter() - started) * 1000, 2),
        ),
        problems=analysis.problems,
    )
