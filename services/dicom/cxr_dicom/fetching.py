"""Radiographs fetched from an archive, now and then, each once, and never more than it can bear."""

import json
import logging
import sqlite3
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from cxr_dicom.headers import Unreadable
from cxr_dicom.ledger import InstanceState
from cxr_dicom.peers import DicomSource, DicomwebSource, Source
from cxr_dicom.scp import STORED, client_tls, new_ae
from cxr_dicom.settings import DicomSettings
from cxr_dicom.spool import Spool
from cxr_dicom.transports.http import is_busy, web_client
from cxr_dicom.transports.transport import Unreachable
from cxr_dicom.worker import Worker

QUERY_MODELS = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)
_LOG = logging.getLogger("cxr.dicom.fetching")
_MAX_ATTEMPTS = 3
_PENDING = (0xFF00, 0xFF01)
_HOUR_S = 3600.0
_PAGE = 200
_PAGE_BYTES = 32 << 20
# Around an instance: a boundary and the headers of its part.
_MULTIPART_BYTES = 64 << 10
# Body part, study and series instance UID, SOP class UID.
_FIELDS = ["00180015", "0020000D", "0020000E", "00080016"]


class Fetcher(Worker):
    """One source's thread. It looks every `every_s`, and fetches what it has not had."""

    def __init__(
        self,
        settings: DicomSettings,
        source: Source,
        spool: Spool,
        refusal: Callable[[], str | None],
        on_received: Callable[[], None],
    ) -> None:
        super().__init__(f"fetch-{source.name}")
        self._settings = settings
        self._source = source
        self._spool = spool
        self._refusal = refusal
        self._on_received = on_received
        self._due_at = 0.0

    def work(self) -> bool:
        """Look, if it is time."""
        now = datetime.now()
        if time.monotonic() < self._due_at or self._source.is_quiet(now.time()):
            return False
        self._due_at = time.monotonic() + self._source.every_s
        first = (now - timedelta(days=self._source.days - 1)).strftime("%Y%m%d")
        try:
            self._round(f"{first}-{now:%Y%m%d}")
        except Unreachable as error:
            _LOG.error(
                "an archive cannot be searched",
                extra={"source": self._source.name, "reason": str(error)},
            )
        return False

    @abstractmethod
    def _round(self, dates: str) -> None:
        """Find the instances of these days, and fetch what is wanted."""

    def _fits(self, modality: str, body_part: str, sop_class: str) -> bool:
        """Whether an instance is one that could be a chest radiograph."""
        source = self._source
        known = body_part.strip().upper()
        return (
            modality in source.modalities
            and (known in source.body_parts if known else source.unknown_body_part)
            and (not sop_class or sop_class in STORED)
        )

    def _wanted(self, uids: list[str]) -> list[str]:
        return self._spool.ledger.wanted(self._source.name, uids, _MAX_ATTEMPTS)

    def _may_fetch(self) -> bool:
        """Whether one more is within every limit now."""
        source, ledger = self._source, self._spool.ledger
        waiting = ledger.counts().get(("instances", InstanceState.WAITING), 0)
        return (
            not self.stopped
            and not source.is_quiet(datetime.now().time())
            and waiting < source.max_waiting
            and ledger.fetched_since(source.name, time.time() - _HOUR_S) < source.per_hour
            and self._refusal() is None
        )

    @contextmanager
    def _attempt(self, uid: str) -> Iterator[None]:
        """One of an instance's attempts; given back where archive, network or disk failed."""
        self._spool.ledger.note_fetched(self._source.name, uid)
        try:
            yield
        except (Unreachable, httpx.HTTPError, OSError, sqlite3.Error):
            self._spool.ledger.forgive_fetched(self._source.name, uid)
            raise


class MoveFetcher(Fetcher):
    """By C-FIND, and C-MOVE to this node's own title: what comes is received like all else."""

    _source: DicomSource

    def _round(self, dates: str) -> None:
        with self._associated() as association:
            for instance in self._instances(association, dates):
                if self.stopped:
                    return
                uid = str(instance.SOPInstanceUID)
                if not self._wanted([uid]):
                    continue
                if not self._may_fetch():
                    return
                with self._attempt(uid):
                    self._move(association, instance)

    @contextmanager
    def _associated(self) -> Iterator[Association]:
        to = self._source
        ae = new_ae(self._settings)
        for model in QUERY_MODELS:
            ae.add_requested_context(model)
        tls = (client_tls(self._settings), to.host) if to.tls else None
        association = ae.associate(to.host, to.port, ae_title=to.ae_title, tls_args=tls)
        if not association.is_established:
            raise Unreachable("It rejected the association, or cannot be reached.")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _instances(self, association: Association, dates: str) -> Iterator[Dataset]:
        """Study by study, series by series: what every archive can be asked."""
        for modality in self._source.modalities:
            wanted = _query("STUDY", StudyInstanceUID="", StudyDate=dates)
            wanted.ModalitiesInStudy = modality
            for study in self._find(association, wanted):
                uid = study.StudyInstanceUID
                series_wanted = _query(
                    "SERIES",
                    StudyInstanceUID=uid,
                    SeriesInstanceUID="",
                    Modality=modality,
                    BodyPartExamined="",
                )
                for series in self._find(association, series_wanted):
                    body_part = str(series.get("BodyPartExamined") or "")
                    if not self._fits(str(series.get("Modality") or modality), body_part, ""):
                        continue
                    yield from self._of_series(association, uid, series.SeriesInstanceUID)

    def _of_series(self, association: Association, study: str, series: str) -> Iterator[Dataset]:
        wanted = _query(
            "IMAGE",
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID="",
            SOPClassUID="",
        )
        for instance in self._find(association, wanted):
            kind = str(instance.get("SOPClassUID") or "")
            if not kind or kind in STORED:
                instance.StudyInstanceUID, instance.SeriesInstanceUID = study, series
                yield instance

    @staticmethod
    def _find(association: Association, wanted: Dataset) -> list[Dataset]:
        if not association.is_established:
            raise Unreachable("It broke off.")
        found = []
        try:
            answers = association.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind)
            for status, identifier in answers:
                code = status.get("Status")
                if code in _PENDING and identifier is not None:
                    found.append(identifier)
                elif code != 0x0000:
                    raise Unreachable(f"It answered a query with {code}.")
        except (RuntimeError, ValueError) as error:
            raise Unreachable("It takes no queries from us.") from error
        return found

    def _move(self, association: Association, instance: Dataset) -> None:
        wanted = _query(
            "IMAGE",
            StudyInstanceUID=instance.StudyInstanceUID,
            SeriesInstanceUID=instance.SeriesInstanceUID,
            SOPInstanceUID=instance.SOPInstanceUID,
        )
        model = StudyRootQueryRetrieveInformationModelMove
        try:
            last = None
            for status, _ in association.send_c_move(wanted, self._settings.ae_title, model):
                last = status.get("Status")
        except (RuntimeError, ValueError) as error:
            raise Unreachable("It moves nothing to us.") from error
        if last != 0x0000:
            _LOG.warning(
                "an instance was not moved", extra={"source": self._source.name, "status": last}
            )


class WebFetcher(Fetcher):
    """By QIDO-RS and WADO-RS."""

    _source: DicomwebSource

    def _round(self, dates: str) -> None:
        with web_client(self._settings, self._source) as http:
            try:
                for modality in self._source.modalities:
                    self._of_modality(http, modality, dates)
            except httpx.HTTPError as error:
                raise Unreachable(f"It broke off: {type(error).__name__}.") from error

    def _of_modality(self, http: httpx.Client, modality: str, dates: str) -> None:
        for found in _pages(http, modality, dates):
            items = {_value(one, "00080018"): one for one in found}
            for uid in self._wanted([uid for uid in items if uid]):
                item = items[uid]
                body_part = _value(item, "00180015")
                if not self._fits(modality, body_part, _value(item, "00080016")):
                    continue
                if not self._may_fetch():
                    return
                with self._attempt(uid):
                    self._retrieve(http, item)

    def _retrieve(self, http: httpx.Client, item: dict[str, Any]) -> None:
        study, series, uid = (_value(item, tag) for tag in ("0020000D", "0020000E", "00080018"))
        limit = self._settings.max_object_mb * 1_000_000
        response, whole = _got(
            http,
            f"studies/{study}/series/{series}/instances/{uid}",
            limit + _MULTIPART_BYTES,
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        if is_busy(response.status_code):
            raise Unreachable(f"It answered a retrieval with {response.status_code}.")
        content = None
        if response.status_code == 200 and whole is not None:
            content = _first_part(response.headers.get("content-type", ""), whole)
        if content is None or len(content) > limit:
            extra = {"source": self._source.name, "status": response.status_code}
            _LOG.warning("an instance was not retrieved", extra=extra)
            return
        try:
            if self._spool.receive_file(content, sender=self._source.name):
                self._on_received()
        except (Unreadable, AttributeError):
            extra = {"source": self._source.name, "status": response.status_code}
            _LOG.warning("what was retrieved is no DICOM instance", extra=extra)


def fetcher_of(
    settings: DicomSettings,
    source: Source,
    spool: Spool,
    refusal: Callable[[], str | None],
    on_received: Callable[[], None],
) -> Fetcher:
    """The thread of a source."""
    kind = MoveFetcher if isinstance(source, DicomSource) else WebFetcher
    return kind(settings, source, spool, refusal, on_received)


def _query(level: str, **keys: str) -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(wanted, keyword, value)
    return wanted


def _pages(http: httpx.Client, modality: str, dates: str) -> Iterator[list[dict[str, Any]]]:
    offset = 0
    while True:
        response, content = _got(
            http,
            "instances",
            _PAGE_BYTES,
            params={
                "Modality": modality,
                "StudyDate": dates,
                # Repeated: older Orthancs take no list behind one name.
                "includefield": _FIELDS,
                "limit": str(_PAGE),
                "offset": str(offset),
            },
            headers={"Accept": "application/dicom+json"},
        )
        if response.status_code == 204:
            return
        if response.status_code != 200:
            raise Unreachable(f"It answered a query with {response.status_code}.")
        try:
            found = json.loads(content or b"")
        except ValueError as error:
            raise Unreachable("It answered a query with too much, or with no JSON.") from error
        if not isinstance(found, list) or not found:
            return
        yield found
        if len(found) < _PAGE:
            return
        offset += len(found)


def _value(item: dict[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _got(
    http: httpx.Client, path: str, most_bytes: int, **options: Any
) -> tuple[httpx.Response, bytes | None]:
    """An answer and its content; None where that is larger, however long it would have gone on."""
    content = bytearray()
    with http.stream("GET", path, **options) as response:
        for piece in response.iter_bytes():
            content += piece
            if len(content) > most_bytes:
                return response, None
    return response, bytes(content)


def _first_part(kind: str, content: bytes) -> bytes | None:
    """The first part of a multipart answer, or the answer itself where it is a file."""
    if not kind.lower().startswith("multipart/"):
        return content
    _, found, rest = kind.partition("boundary=")
    if not found:
        return None
    boundary = b"--" + rest.partition(";")[0].strip().strip('"').encode()
    _, found_start, part = content.partition(boundary)
    _, blank, body = part.partition(b"\r\n\r\n")
    if not found_start or not blank:
        return None
    return body.partition(b"\r\n" + boundary)[0]
