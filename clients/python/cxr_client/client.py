"""The clients: one for plain code, one for asyncio; the same calls with the same meaning."""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Self, TypedDict, TypeVar, Unpack

import httpx

from cxr_client import calls
from cxr_client.calls import Call
from cxr_client.errors import NotReached, NotReady
from cxr_client.models import (
    Change,
    Finding,
    ImageSource,
    Level,
    Me,
    Priority,
    Report,
    ReportChange,
    ReportText,
    Review,
    ReviewChange,
    Study,
    StudyPage,
    StudyStatus,
    StudySummary,
    SubmittedFile,
    SystemStatus,
    Worklist,
    WorklistState,
)
from cxr_client.retries import Retries
from cxr_client.uploads import Source, in_requests, upload_of

T = TypeVar("T")
# A study waits for its turn, and is then analysed: longer than any deadline of the gateway's.
_TIMEOUT = httpx.Timeout(150.0, connect=10.0)
_PAGE, _CHANGES = 200, 1000
_DONE = frozenset(
    {StudyStatus.COMPLETE, StudyStatus.PARTIAL, StudyStatus.FAILED, StudyStatus.REJECTED}
)


class Filters(TypedDict, total=False):
    """Which studies are listed; several of one kind are any of them.

    `finding` is likely or possible, or of `level` alone; `q` is words that must all occur. `sort`
    is `reading` or by a field, with `-` before it the highest first; a page's `cursor` is of the
    same `sort`.
    """

    status: Iterable[StudyStatus | str]
    priority: Iterable[Priority | str]
    worklist: Iterable[WorklistState | str]
    source: Iterable[ImageSource | str]
    patient_id: str
    accession_number: str
    study_date_from: dt.date
    study_date_to: dt.date
    received_since: dt.datetime
    finding: Finding | str
    level: Level | str
    q: str
    sort: str


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    return http.build_request(
        call.method, call.path, params=call.params, headers=call.headers, content=call.content
    )


class Client:
    """Calls block until they have their answer.

    Every call raises `ProblemError` where the gateway refuses, and `NotReached` where none answers;
    it is made again before that where that may help.

    Args:
        url: of the gateway, e.g. `https://cxr.example.org`.
        key: an API key of `cxr-gateway keys create`; None where the gateway is open to its machine.
        retries: how often and how patiently.
        http: a client of the caller's own, for its proxies or certificates; it is not closed here.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._own = http is None
        self._http = http or httpx.Client(timeout=_TIMEOUT)
        self._http.base_url = httpx.URL(url)
        self._http.headers.update(_headers(key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        if self._own:
            self._http.close()

    def submit(
        self, source: Source, *, name: str | None = None, idempotency_key: str | None = None
    ) -> Study:
        """Have a radiograph analysed; the same bytes are the same study, however often they come.

        A `rejected` study is an answer: the image is no frontal chest radiograph, or unreadable.

        Args:
            source: a path, bytes, an open binary file, or a pydicom data set; PNG, JPEG or DICOM.
            name: how the gateway is to show it.
            idempotency_key: of the caller's own order; with another file it is a `Conflict`.

        Raises:
            Refused: the file is broken, too large or of another kind.
            Unavailable: no service answered; with `study_id` it is kept and can be run again.
        """
        return self.call(calls.submit(upload_of(source, name), idempotency_key))

    def submit_many(self, sources: Iterable[Source]) -> Iterator[SubmittedFile]:
        """Have radiographs analysed, several in a request; of each its study or its problem.

        Args:
            sources: as `submit` takes them, any number; read as they are sent.

        Raises:
            Refused: a file is larger than the gateway takes; what came before it was answered.
        """
        for group in in_requests(sources, self.system().max_upload_bytes):
            yield from self.call(calls.submit_many(group)).items

    def studies(self, **filters: Unpack[Filters]) -> Iterator[StudySummary]:
        """Every study that fits, in the order in which to read them or `sort`, page after page."""
        cursor: str | None = None
        while True:
            found = self.page(cursor=cursor, **filters)
            yield from found.items
            if (cursor := found.next_cursor) is None:
                return

    def page(
        self, *, limit: int = _PAGE, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> StudyPage:
        """One page of `studies`: at most `limit`, 1 to 200, after the `next_cursor` of another."""
        return self.call(calls.page(filters, limit, cursor))

    def changes(self, since: str | None = None) -> Iterator[Change]:
        """What happened to studies after `since`, up to now, in the order in which it happened.

        Keep the last one's `cursor` and ask from there later: none is missed, none comes twice.
        Without `since` every study that is there has its entry.

        Raises:
            NotFound: the archive was restored since that cursor; begin without one.
        """
        while True:
            found = self.call(calls.changes(since, _CHANGES))
            yield from found.items
            if not found.has_more:
                return
            since = found.next_cursor

    def study(self, study_id: str) -> Study:
        """One study with all its findings and boxes."""
        return self.call(calls.study(study_id))

    def wait(self, study_id: str, *, timeout_s: float = 120.0, poll_s: float = 1.0) -> Study:
        """The study once its analysis has ended, however it ended.

        Raises:
            NotReady: it did not end within `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while (study := self.study(study_id)).status not in _DONE:
            if time.monotonic() + poll_s > end:
                raise NotReady(f"Study {study_id} is {study.status} after {timeout_s:g} s.")
            time.sleep(poll_s)
        return study

    def rerun(self, study_id: str) -> Study:
        """Analyse a failed or partial study again."""
        return self.call(calls.rerun(study_id))

    def delete(self, study_id: str) -> None:
        """Delete a study for good."""
        self.call(calls.delete(study_id))

    def image(self, study_id: str) -> bytes:
        """The radiograph as a PNG, 8-bit grey."""
        return self.call(calls.file(study_id, "image.png"))

    def overlay(self, study_id: str) -> bytes:
        """A PNG with boxes, findings and priority burnt in."""
        return self.call(calls.file(study_id, "overlay.png"))

    def heat_map(self, study_id: str, finding: Finding) -> bytes:
        """A PNG to lay over the image: where one of the study's `heatmaps` comes from."""
        return self.call(calls.heat_map(study_id, finding))

    def original(self, study_id: str) -> bytes:
        """The file as it was uploaded."""
        return self.call(calls.file(study_id, "original"))

    def deidentified(self, study_id: str, *, pixels_reviewed: bool = False) -> bytes:
        """The file without its patient; `pixels_reviewed`: somebody saw that it shows no name."""
        return self.call(calls.file(study_id, "deidentified", pixels_reviewed=pixels_reviewed))

    def findings_report(self, study_id: str) -> bytes:
        """A DICOM structured report (TID 1500) of the findings."""
        return self.call(calls.file(study_id, "structured-report", "findings.dcm"))

    def hl7(self, study_id: str) -> str:
        """The result as an HL7 v2 message, ORU^R01."""
        return self.call(calls.hl7(study_id))

    def fhir(self, study_id: str) -> dict[str, Any]:
        """The result as a FHIR R4 DiagnosticReport."""
        return self.call(calls.fhir(study_id))

    def worklist(self, study_id: str) -> Worklist:
        """Whether a person has looked."""
        return self.call(calls.worklist(study_id))

    def set_worklist(self, study_id: str, state: WorklistState | str) -> Worklist:
        """Say that it was opened, is done, or is new again."""
        return self.call(calls.set_worklist(study_id, state))

    def review(self, study_id: str) -> Review:
        """What readers said of the answers."""
        return self.call(calls.review(study_id))

    def put_review(
        self, study_id: str, change: ReviewChange, *, entry_id: uuid.UUID | None = None
    ) -> Review:
        """Accept, reject, modify, add or comment; `entry_id` names it for a caller's own retry."""
        return self.call(calls.put_review(study_id, change, entry_id or uuid.uuid4()))

    def report(self, study_id: str) -> Report:
        """The report's draft, and the versions that people wrote."""
        return self.call(calls.report(study_id))

    def write_report(
        self, study_id: str, text: ReportText, *, based_on: int, revision: int, sign: bool = False
    ) -> Report:
        """Write the version after `based_on`, of the analysis `revision`; a key cannot sign."""
        change = ReportChange(based_on=based_on, revision=revision, text=text, sign=sign)
        return self.call(calls.write_report(study_id, change))

    def report_pdf(self, study_id: str, *, version: int | None = None) -> bytes:
        """A page for print; without `version` the last signed one, or else the last."""
        return self.call(calls.file(study_id, "report.pdf", version=version))

    def system(self) -> SystemStatus:
        """Services, models, levels and limits of the installation."""
        return self.call(calls.system())

    def me(self) -> Me:
        """Whose key it is, and what it may do."""
        return self.call(calls.me())

    def call(self, call: Call[T]) -> T:
        """Send a request of `cxr_client.calls`, again where that may help."""
        for attempt in range(1, self._retries.attempts + 1):
            response, failure = None, None
            try:
                response = self._http.send(_request(self._http, call))
            except httpx.TransportError as error:
                failure = error
            pause_s = self._retries.pause_s(attempt, response)
            if pause_s is None or (failure is not None and not call.repeatable):
                break
            time.sleep(pause_s)
        return _outcome(call, response, failure)


class AsyncClient:
    """As `Client`, for asyncio: each call is awaited, `studies` is iterated with `async for`.

    Args:
        url: of the gateway, e.g. `https://cxr.example.org`.
        key: an API key of `cxr-gateway keys create`; None where the gateway is open to its machine.
        retries: how often and how patiently.
        http: a client of the caller's own, for its proxies or certificates; it is not closed here.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._own = http is None
        self._http = http or httpx.AsyncClient(timeout=_TIMEOUT)
        self._http.base_url = httpx.URL(url)
        self._http.headers.update(_headers(key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        if self._own:
            await self._http.aclose()

    async def submit(
        self, source: Source, *, name: str | None = None, idempotency_key: str | None = None
    ) -> Study:
        """Have a radiograph analysed, as `Client.submit` does."""
        return await self.call(calls.submit(upload_of(source, name), idempotency_key))

    async def submit_many(self, sources: Iterable[Source]) -> AsyncIterator[SubmittedFile]:
        """Have radiographs analysed, several in a request, as `Client.submit_many` does."""
        for group in in_requests(sources, (await self.system()).max_upload_bytes):
            for item in (await self.call(calls.submit_many(group))).items:
                yield item

    async def studies(self, **filters: Unpack[Filters]) -> AsyncIterator[StudySummary]:
        """Every study that fits, in the order in which to read them or `sort`, page after page."""
        cursor: str | None = None
        while True:
            found = await self.page(cursor=cursor, **filters)
            for item in found.items:
                yield item
            if (cursor := found.next_cursor) is None:
                return

    async def page(
        self, *, limit: int = _PAGE, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> StudyPage:
        """One page of `studies`: at most `limit`, 1 to 200, after the `next_cursor` of another."""
        return await self.call(calls.page(filters, limit, cursor))

    async def changes(self, since: str | None = None) -> AsyncIterator[Change]:
        """What happened to studies after `since`, as `Client.changes` gives it."""
        while True:
            found = await self.call(calls.changes(since, _CHANGES))
            for item in found.items:
                yield item
            if not found.has_more:
                return
            since = found.next_cursor

    async def study(self, study_id: str) -> Study:
        """One study with all its findings and boxes."""
        return await self.call(calls.study(study_id))

    async def wait(self, study_id: str, *, timeout_s: float = 120.0, poll_s: float = 1.0) -> Study:
        """The study once its analysis has ended; `NotReady` after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while (study := await self.study(study_id)).status not in _DONE:
            if time.monotonic() + poll_s > end:
                raise NotReady(f"Study {study_id} is {study.status} after {timeout_s:g} s.")
            await asyncio.sleep(poll_s)
        return study

    async def rerun(self, study_id: str) -> Study:
        """Analyse a failed or partial study again."""
        return await self.call(calls.rerun(study_id))

    async def delete(self, study_id: str) -> None:
        """Delete a study for good."""
        await self.call(calls.delete(study_id))

    async def image(self, study_id: str) -> bytes:
        """The radiograph as a PNG, 8-bit grey."""
        return await self.call(calls.file(study_id, "image.png"))

    async def overlay(self, study_id: str) -> bytes:
        """A PNG with boxes, findings and priority burnt in."""
        return await self.call(calls.file(study_id, "overlay.png"))

    async def heat_map(self, study_id: str, finding: Finding) -> bytes:
        """A PNG to lay over the image: where one of the study's `heatmaps` comes from."""
        return await self.call(calls.heat_map(study_id, finding))

    async def original(self, study_id: str) -> bytes:
        """The file as it was uploaded."""
        return await self.call(calls.file(study_id, "original"))

    async def deidentified(self, study_id: str, *, pixels_reviewed: bool = False) -> bytes:
        """The file without its patient; `pixels_reviewed`: somebody saw that it shows no name."""
        return await self.call(
            calls.file(study_id, "deidentified", pixels_reviewed=pixels_reviewed)
        )

    async def findings_report(self, study_id: str) -> bytes:
        """A DICOM structured report (TID 1500) of the findings."""
        return await self.call(calls.file(study_id, "structured-report", "findings.dcm"))

    async def hl7(self, study_id: str) -> str:
        """The result as an HL7 v2 message, ORU^R01."""
        return await self.call(calls.hl7(study_id))

    async def fhir(self, study_id: str) -> dict[str, Any]:
        """The result as a FHIR R4 DiagnosticReport."""
        return await self.call(calls.fhir(study_id))

    async def worklist(self, study_id: str) -> Worklist:
        """Whether a person has looked."""
        return await self.call(calls.worklist(study_id))

    async def set_worklist(self, study_id: str, state: WorklistState | str) -> Worklist:
        """Say that it was opened, is done, or is new again."""
        return await self.call(calls.set_worklist(study_id, state))

    async def review(self, study_id: str) -> Review:
        """What readers said of the answers."""
        return await self.call(calls.review(study_id))

    async def put_review(
        self, study_id: str, change: ReviewChange, *, entry_id: uuid.UUID | None = None
    ) -> Review:
        """Accept, reject, modify, add or comment; `entry_id` names it for a caller's own retry."""
        return await self.call(calls.put_review(study_id, change, entry_id or uuid.uuid4()))

    async def report(self, study_id: str) -> Report:
        """The report's draft, and the versions that people wrote."""
        return await self.call(calls.report(study_id))

    async def write_report(
        self, study_id: str, text: ReportText, *, based_on: int, revision: int, sign: bool = False
    ) -> Report:
        """Write the version after `based_on`, of the analysis `revision`; a key cannot sign."""
        change = ReportChange(based_on=based_on, revision=revision, text=text, sign=sign)
        return await self.call(calls.write_report(study_id, change))

    async def report_pdf(self, study_id: str, *, version: int | None = None) -> bytes:
        """A page for print; without `version` the last signed one, or else the last."""
        return await self.call(calls.file(study_id, "report.pdf", version=version))

    async def system(self) -> SystemStatus:
        """Services, models, levels and limits of the installation."""
        return await self.call(calls.system())

    async def me(self) -> Me:
        """Whose key it is, and what it may do."""
        return await self.call(calls.me())

    async def call(self, call: Call[T]) -> T:
        """Send a request of `cxr_client.calls`, again where that may help."""
        for attempt in range(1, self._retries.attempts + 1):
            response, failure = None, None
            try:
                response = await self._http.send(_request(self._http, call))
            except httpx.TransportError as error:
                failure = error
            pause_s = self._retries.pause_s(attempt, response)
            if pause_s is None or (failure is not None and not call.repeatable):
                break
            await asyncio.sleep(pause_s)
        return _outcome(call, response, failure)


def _outcome(
    call: Call[T], response: httpx.Response | None, failure: httpx.TransportError | None
) -> T:
    if response is None:
        raise NotReached(f"No answer to {call.method} {call.path}: {failure}") from failure
    return call.result(response)
