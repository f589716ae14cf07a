"""From the spool to the gateway: each instance once, in the order of arrival, never in a loop."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cxr_dicom.gateway import (
    AnalysedStudy,
    FileRefused,
    GatewayAway,
    GatewayBroke,
    GatewayClient,
    KeyRefused,
    NotAnalysed,
)
from cxr_dicom.headers import Unreadable, header_of, text_of
from cxr_dicom.ledger import Instance, InstanceState
from cxr_dicom.metrics import DicomMetrics
from cxr_dicom.orders import Order, agrees, asked, completed, window
from cxr_dicom.peers import Destination, FhirDestination, Hl7Destination, Peers, ResultObject
from cxr_dicom.settings import DicomSettings
from cxr_dicom.spool import Spool
from cxr_serving.product import MANUFACTURER

_LOG = logging.getLogger("cxr.dicom.forwarding")
_PARTIAL = "partial"
_IDLE_S = 0.5


class Forwarder:
    """Threads that take instances from the spool to the gateway.

    A gateway that is away stops them all for a while, which grows; one that breaks at a file is
    tried again with it a few times, and then the file is put aside.
    """

    def __init__(
        self,
        settings: DicomSettings,
        peers: Peers,
        spool: Spool,
        gateway: GatewayClient,
        metrics: DicomMetrics,
    ) -> None:
        self._settings = settings
        self._peers = peers
        self._senders = peers.senders
        self._spool = spool
        self._gateway = gateway
        self._metrics = metrics
        self._wake = threading.Condition()
        self._most_bytes = 2 * settings.max_object_mb * 1_000_000
        self._taken: set[int] = set()
        self._stopped = False
        self._paused_until = 0.0
        self._failures = 0
        self._threads: list[threading.Thread] = []
        self.on_queued: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin."""
        for number in range(self._settings.forward_workers):
            thread = threading.Thread(target=self._run, name=f"forward-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End after what is being analysed."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def notify(self) -> None:
        """Say that an instance has come."""
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        while True:
            instance = None
            try:
                instance = self._take()
                if instance is None:
                    return
                self._forward(instance)
            except Exception as error:
                _LOG.exception("an instance could not be forwarded")
                # The ledger itself may be what fails: then it is the next round's.
                with suppress(sqlite3.Error, OSError):
                    self._failed(instance, error)
                with self._wake:
                    self._wake.wait(_IDLE_S)
            finally:
                if instance is not None:
                    with self._wake:
                        self._taken.discard(instance.id)

    def _take(self) -> Instance | None:
        """The next instance that nobody else works at; None at the end."""
        with self._wake:
            while not self._stopped:
                pause_s = self._paused_until - time.monotonic()
                if pause_s <= 0:
                    for instance in self._spool.ledger.due(len(self._taken) + 1):
                        if instance.id not in self._taken:
                            self._taken.add(instance.id)
                            return instance
                self._wake.wait(max(pause_s, _IDLE_S))
            return None

    def _failed(self, instance: Instance | None, error: Exception) -> None:
        """Count a failure that nobody expected, so that no file is taken up for ever."""
        if instance is None or isinstance(error, sqlite3.Error):
            return
        reason = f"It could not be handed on: {type(error).__name__}."
        if isinstance(error, OSError):
            self._later(instance, reason)
        else:
            self._broke(instance, reason)

    def _forward(self, instance: Instance) -> None:
        path = self._spool.path(instance.file)
        if not path.exists():
            self._spool.take_back([instance.file])
        if not path.exists():
            self._put_aside(instance, "Its file is no longer in the spool.")
        elif self._is_ours(instance, path):
            ours = "It is one of this system's own results."
            self._end(instance, InstanceState.IGNORED, ours)
        else:
            self._hand_on(self._match(instance, path), path)

    def _hand_on(self, instance: Instance, path: Path) -> None:
        sender = self._senders.get(instance.sender)
        key_file = None if sender is None else sender.key_file
        try:
            study = self._gateway.analyse(path, f"{instance.sop_instance_uid}.dcm", key_file)
        except KeyRefused as error:
            self._metrics.gateway_failures.inc()
            if key_file is None:
                self._pause(str(error), error.retry_after_s)
            else:
                # This sender's alone: others do not wait for it.
                self._later(instance, str(error))
        except GatewayAway as error:
            self._metrics.gateway_failures.inc()
            self._pause(str(error), error.retry_after_s)
        except NotAnalysed as error:
            self._metrics.gateway_failures.inc()
            self._later(instance, str(error))
        except GatewayBroke as error:
            self._metrics.gateway_failures.inc()
            self._broke(instance, str(error))
        except (FileRefused, FileNotFoundError) as error:
            self._put_aside(instance, str(error))
        else:
            self._failures = 0
            if study.status == _PARTIAL and instance.attempts + 1 < self._settings.partial_attempts:
                self._later(instance, "One of the inference services did not answer.")
            else:
                self._analysed(instance, study)

    def _is_ours(self, instance: Instance, path: Path) -> bool:
        """Whether it is one of this system's results, so that nothing goes round in circles.

        They say who made them; a radiograph under pseudonyms does not, and is known by its UID.
        A file that cannot be read is the gateway's to refuse: its reason says more.
        """
        if self._spool.ledger.was_sent(instance.sop_instance_uid):
            return True
        try:
            manufacturer = text_of(header_of(path, "Manufacturer"), "Manufacturer")
        except (OSError, Unreadable):
            return False
        return manufacturer == MANUFACTURER

    def _match(self, instance: Instance, path: Path) -> Instance:
        """Complete a file from its order: once, for the gateway takes other bytes as another."""
        ledger = self._spool.ledger
        if instance.ordered is not None or self._settings.hl7_port is None:
            return instance
        urgency = ""
        try:
            said = asked(path)
            found = ledger.orders_for(
                said.accession,
                said.study_uid,
                said.patient_id,
                said.taken_at or instance.received_at,
                window(self._settings.order_window_h),
            )
            if len(found) == 1 and agrees(path, order := Order(**found[0])):
                completed(path, order, datetime.now().astimezone(), self._most_bytes)
                urgency = order.urgency
        except (sqlite3.Error, OSError):
            raise
        except Exception:
            # It cannot be read: the gateway says more about why.
            _LOG.warning("no order was looked for", extra={"file": instance.file})
        ledger.matched(instance, urgency)
        return replace(instance, ordered=urgency)

    def _analysed(self, instance: Instance, study: AnalysedStudy) -> None:
        deliveries, withheld = [], []
        for destination in self._peers.destination:
            if not destination.wants(instance.sender, study.status, study.priority):
                continue
            reason = why_withheld(destination, study)
            for kind in objects_of(destination, study):
                if reason is None:
                    deliveries.append((destination.name, kind))
                else:
                    withheld.append((destination.name, kind, reason))
        self._spool.ledger.finish(
            instance,
            InstanceState.ANALYSED,
            study_id=study.id,
            status=study.status,
            priority=study.priority,
            ordered=instance.ordered,
            deliveries=deliveries,
            withheld=withheld,
        )
        self._spool.discard(instance.file)
        if deliveries:
            self.on_queued()

    def _end(self, instance: Instance, state: InstanceState, reason: str) -> None:
        self._spool.ledger.finish(instance, state, reason=reason)
        self._spool.discard(instance.file)

    def _put_aside(self, instance: Instance, reason: str) -> None:
        _LOG.error("an instance was put aside", extra={"file": instance.file, "reason": reason})
        self._spool.ledger.finish(instance, InstanceState.FAILED, reason=reason)
        if self._spool.path(instance.file).exists():
            self._spool.put_aside(instance.file, reason)

    def _broke(self, instance: Instance, reason: str) -> None:
        if instance.attempts + 1 >= self._settings.max_breaks:
            self._put_aside(instance, f"{reason} That was the {instance.attempts + 1}th time.")
        else:
            self._later(instance, reason)

    def _later(self, instance: Instance, reason: str) -> None:
        wait_s = backoff_s(self._settings, instance.attempts + 1)
        self._spool.ledger.postpone(instance, time.time() + wait_s, reason)

    def _pause(self, reason: str, at_least_s: float) -> None:
        """Let the gateway alone for a while; the instance keeps its place."""
        with self._wake:
            # Several threads may see the same failure.
            if self._paused_until <= time.monotonic():
                self._failures += 1
                if self._failures == 1:
                    _LOG.error("the gateway is away", extra={"reason": reason})
            longest_s = min(self._settings.retry_max_s, 30.0)
            wait_s = min(backoff_s(self._settings, self._failures), longest_s)
            self._paused_until = time.monotonic() + max(wait_s, at_least_s)


def objects_of(destination: Destination, study: AnalysedStudy) -> list[str]:
    """What a destination gets of a study, by the names of the ledger."""
    if isinstance(destination, Hl7Destination):
        return ["oru"]
    if isinstance(destination, FhirDestination):
        return ["fhir-bundle"]
    found = []
    for wanted in ResultObject:
        if wanted not in destination.objects:
            continue
        if wanted is ResultObject.SR:
            found += [*(["sr-boxes"] if study.boxes else []), "sr-findings"]
        elif wanted is not ResultObject.HEAT_MAP or study.heatmaps:
            found.append(wanted.value)
    return found


def why_withheld(destination: Destination, study: AnalysedStudy) -> str | None:
    """Why a destination gets nothing of a study that its other rules want; None if it does.

    A result belongs to a patient, and in DICOM and HL7 to a study. A radiograph under pseudonyms
    names neither.
    """
    if getattr(destination, "objects", None) == {ResultObject.DEIDENTIFIED}:
        return None
    if not study.patient.study_instance_uid and not isinstance(destination, FhirDestination):
        return "The radiograph has no StudyInstanceUID, so there is no study to file a result in."
    if not study.patient.patient_id and not destination.unidentified:
        return "The radiograph has no PatientID, and `unidentified` is not set for the destination."
    return None


def backoff_s(settings: DicomSettings, failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return float(
        min(settings.retry_min_s * 2 ** min(max(failures - 1, 0), 30), settings.retry_max_s)
    )
