"""From the gateway to named destinations: urgent first, again until it is there."""

import logging
import socket
import sqlite3
import time
from io import BytesIO

import httpx

from cxr_dicom.forwarding import backoff_s
from cxr_dicom.gateway import FileRefused, GatewayClient, GatewayError
from cxr_dicom.headers import read_header
from cxr_dicom.ledger import Delivery, Ledger
from cxr_dicom.peers import (
    Destination,
    DicomDestination,
    DicomwebDestination,
    FhirDestination,
    Hl7Destination,
    ResultObject,
)
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.dicomweb import DicomwebTransport
from cxr_dicom.transports.dimse import DimseTransport, echo
from cxr_dicom.transports.fhir import FhirTransport
from cxr_dicom.transports.http import web_client
from cxr_dicom.transports.mllp import MllpTransport
from cxr_dicom.transports.transport import Channel, NotTaken, Refused, Transport, Unreachable
from cxr_dicom.worker import Worker

_LOG = logging.getLogger("cxr.dicom.delivery")
_AT_ONCE = 50


def transport_to(settings: DicomSettings, to: Destination) -> Transport:
    """The way to a destination."""
    if isinstance(to, DicomDestination):
        return DimseTransport(settings, to)
    if isinstance(to, DicomwebDestination):
        return DicomwebTransport(settings, to)
    if isinstance(to, Hl7Destination):
        return MllpTransport(settings, to)
    return FhirTransport(settings, to)


class Courier(Worker):
    """One destination's thread."""

    def __init__(
        self,
        settings: DicomSettings,
        destination: Destination,
        ledger: Ledger,
        gateway: GatewayClient,
    ) -> None:
        super().__init__(f"deliver-{destination.name}")
        self._settings = settings
        self._name = destination.name
        self._transport = transport_to(settings, destination)
        self._ledger = ledger
        self._gateway = gateway
        # For what has no time of its own to be tried again: confirmations.
        self._failures, self._rest_until = 0, 0.0

    def work(self) -> bool:
        """Send what is due over one channel; whether there was anything."""
        queued = self._ledger.next_deliveries(self._name, _AT_ONCE)
        rested = time.monotonic() >= self._rest_until
        confirms = self._transport.confirms
        unconfirmed = confirms and rested and bool(self._ledger.unconfirmed(self._name, 1))
        if not queued and not unconfirmed:
            return False
        try:
            with self._transport.open() as channel:
                self._failures = 0
                for delivery in queued:
                    if self.stopped or not channel.is_open:
                        break
                    self._deliver(channel, delivery)
                if confirms and channel.is_open:
                    channel.confirm(self._ledger, self._name, self._settings.confirm_after_s)
        except (Unreachable, OSError) as error:
            # An OSError is of a certificate of ours that cannot be used.
            self._delay(queued, str(error))
            self._failures += 1
            self._rest_until = time.monotonic() + backoff_s(self._settings, self._failures)
            return False
        return True

    def _deliver(self, channel: Channel, delivery: Delivery) -> None:
        if delivery.attempts and self._is_too_old(delivery):
            self._fail(delivery, "It was tried for too long.")
            return
        path, query, headers = self._transport.request(delivery)
        try:
            content = self._gateway.fetch(path, query, headers)
        except FileRefused as error:
            self._fail(delivery, f"The gateway has no such result: {error}")
            return
        except GatewayError as error:
            self._delay([delivery], f"The gateway did not give the result: {error}")
            return
        try:
            if delivery.object == ResultObject.DEIDENTIFIED:
                self._note_sending(delivery, content)
            taken = channel.send(content)
        except Refused as error:
            self._fail(delivery, str(error))
        except NotTaken as error:
            self._delay([delivery], str(error))
        except sqlite3.Error:
            raise
        except Exception as error:
            # Whatever it was, it is this result's: the others behind it do not wait.
            _LOG.exception("a result could not be sent", extra={"destination": self._name})
            self._delay([delivery], f"It could not be sent: {type(error).__name__}.")
        else:
            self._ledger.delivered(
                delivery,
                taken.sop_class_uid,
                taken.sop_instance_uid,
                taken.warning,
                is_confirmed=taken.is_confirmed,
            )

    def _note_sending(self, delivery: Delivery, content: bytes) -> None:
        """A radiograph under a pseudonym does not say that it is ours, should it come back."""
        header = read_header(BytesIO(content), "SOPInstanceUID")
        self._ledger.note_sending(delivery, str(header.SOPInstanceUID))

    def _is_too_old(self, delivery: Delivery) -> bool:
        return delivery.created_at < time.time() - self._settings.delivery_max_age_h * 3600

    def _fail(self, delivery: Delivery, reason: str) -> None:
        # The reason may quote the destination, which may name a patient: `status` has it.
        _LOG.error(
            "a result cannot be delivered",
            extra={
                "destination": self._name,
                "study_id": delivery.study_id,
                "object": delivery.object,
                "delivery": delivery.id,
            },
        )
        self._ledger.give_up(delivery, reason)

    def _delay(self, deliveries: list[Delivery], reason: str) -> None:
        """Try again later, or give up what is too old."""
        late = [one for one in deliveries if self._is_too_old(one)]
        for one in late:
            self._fail(one, f"{reason} It was tried for too long.")
        by_wait: dict[float, list[Delivery]] = {}
        for one in deliveries:
            if one not in late:
                by_wait.setdefault(backoff_s(self._settings, one.attempts + 1), []).append(one)
        for wait_s, some in by_wait.items():
            self._ledger.delay(some, time.time() + wait_s, reason)


def ask(settings: DicomSettings, to: Destination) -> str:
    """Whether a destination is there, as a sentence: C-ECHO, a connection, or its own words."""
    if isinstance(to, DicomDestination):
        return echo(settings, to)
    try:
        if isinstance(to, Hl7Destination):
            with socket.create_connection((to.host, to.port), timeout=10.0):
                return f"{to.name} takes connections."
        with web_client(settings, to) as http:
            path = "metadata" if isinstance(to, FhirDestination) else "studies"
            query = {} if isinstance(to, FhirDestination) else {"limit": "1"}
            status = http.get(path, params=query).status_code
    except (OSError, httpx.HTTPError, Unreachable) as error:
        return f"{to.name} cannot be reached: {type(error).__name__}."
    return f"{to.name} answers." if status in (200, 204) else f"{to.name} said {status}."
