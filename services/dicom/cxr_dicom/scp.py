"""What peers ask of this node: C-ECHO, C-STORE, storage commitment, and answers to ours.

Everybody is refused who is not named: an association by its AE title and address, a C-STORE by
whether its AE may send.
"""

import hashlib
import logging
import re
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    _config,
    evt,
)
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    Verification,
    XRayRadiofluoroscopicImageStorage,
)

from cxr_dicom.ledger import Ledger, NewInstance
from cxr_dicom.metrics import DicomMetrics
from cxr_dicom.peers import DicomDestination, Peers
from cxr_dicom.settings import AE_TITLE, DicomSettings
from cxr_dicom.spool import Spool

_LOG = logging.getLogger("cxr.dicom")
_AUDIT = logging.getLogger("cxr.dicom.audit")

# Images that a chest radiograph comes as. Whatever else a PACS routes here (other modalities,
# reports, presentation states, our own ones too) is acknowledged and dropped, so that a radiograph
# beside it in the same association arrives.
STORED = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    XRayRadiofluoroscopicImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
DROPPED = tuple(
    sorted(
        str(one.abstract_syntax)
        for one in AllStoragePresentationContexts
        if one.abstract_syntax not in STORED
    )
)
# What the gateway decodes, in the order of preference.
TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
)
# Of this implementation: a UUID as a number under 2.25, made once for this program.
IMPLEMENTATION_UID = UID("2.25.265858480093030958629123900220997685701")
IMPLEMENTATION_VERSION = "OPENCXR_0_1"

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
NOT_AUTHORISED = 0x0124
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115
_NO_SUCH_OBJECT, _ANOTHER_CLASS = 0x0112, 0x0119
# PS3.4, J.3.3: an event with failures, and one without.
COMMITTED, COMMITTED_IN_PART = 1, 2
# A-ASSOCIATE-RJ: permanent, by the service user, calling AE title not recognised (PS3.8, 9.3.4).
_REJECTED = (0x01, 0x01, 0x03)
# The event of the upper layer's state machine for an unrecognised or invalid PDU (PS3.8, 9.2.3).
_MALFORMED = "Evt19"
# Its state after an abort, in which what still comes is thrown away.
_CLOSING = "Sta13"
_HEADROOM = 65_536
_MOST_TITLE = 16


class Acceptor:
    """Listens on the DICOM port and keeps what it is sent."""

    def __init__(
        self, settings: DicomSettings, peers: Peers, spool: Spool, metrics: DicomMetrics
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._ledger: Ledger = spool.ledger
        self._metrics = metrics
        self._senders = peers.senders
        # A destination asks for an association, too: with its answer to a storage commitment.
        self._known = {
            one.ae_title for one in peers.destination if isinstance(one, DicomDestination)
        }
        self._server: Any = None
        # Bytes of the object that an association is sending.
        self._coming: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._refusal: Callable[[], str | None] = lambda: None
        self.on_received: Callable[[], None] = lambda: None
        self.on_promised: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """Where it listens, which matters where the setting is 0."""
        return int(self._server.server_address[1])

    def start(self, refusal: Callable[[], str | None]) -> None:
        """Listen. `refusal` says why nothing can be kept now, or None.

        Raises:
            OSError: the port is in use, or a certificate cannot be read.
        """
        settings = self._settings
        self._refusal = refusal
        # Whatever title comes is heard, to be rejected by name; some pad theirs with zeros.
        _config.VALIDATORS["AE"] = _any_title
        ae = new_ae(settings)
        ae.maximum_associations = settings.max_associations
        ae.require_called_aet = True
        ae.add_supported_context(Verification)
        for kind in STORED:
            ae.add_supported_context(kind, list(TRANSFER_SYNTAXES))
        for kind in DROPPED if settings.drop_others else ():
            ae.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        self._server = ae.start_server(
            (settings.host, settings.dicom_port),
            block=False,
            ssl_context=server_tls(settings),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._on_connection),
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_REJECTED, self._on_rejected),
                (evt.EVT_FSM_TRANSITION, self._on_transition),
                (evt.EVT_DATA_RECV, self._on_data),
                (evt.EVT_ABORTED, self._on_aborted),
                (evt.EVT_C_ECHO, lambda _event: SUCCESS),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_N_ACTION, self._on_action),
                (evt.EVT_N_EVENT_REPORT, self._on_report),
            ],
        )
        _LOG.info("listening", extra={"port": self.port, "ae_title": settings.ae_title})

    def stop(self) -> None:
        """Refuse new associations and end those that there are; what was acknowledged is kept."""
        if self._server is not None:
            self._server.ae.shutdown()

    def _on_connection(self, event: Event) -> None:
        """Bound what one peer can cost before it has said who it is."""
        limit = self._settings.max_pdu_bytes + _HEADROOM
        channel = cast(Any, event.assoc.dul.socket)
        with suppress(OSError, AttributeError):
            channel.socket.settimeout(self._settings.network_timeout_s)
        receive = channel.recv

        def bounded(length: int) -> bytearray:
            if length > limit:
                raise OSError(f"a PDU of {length} bytes; at most {limit} are read")
            return cast(bytearray, receive(length))

        channel.recv = bounded

    def _on_requested(self, event: Event) -> None:
        asked = event.assoc.requestor.primitive
        title = _title(asked.calling_ae_title if asked is not None else None)
        address = event.assoc.requestor.address
        reason = self._reason_to_refuse(title, address)
        if reason is None:
            return
        event.assoc.acse.send_reject(*_REJECTED)
        _audit("association rejected", title, address, reason)
        self._metrics.rejected.labels("unknown").inc()
        event.assoc.kill()

    def _reason_to_refuse(self, title: str, address: str) -> str | None:
        if re.fullmatch(AE_TITLE, title) is None:
            return "its title is none"
        if title == self._settings.ae_title:
            return "it calls itself what this node is called"
        sender = self._senders.get(title)
        if sender is not None:
            return None if sender.comes_from(address) else "the address is not this sender's"
        if self._settings.any_sender or title in self._known:
            return None
        return "nobody of this AE title is known"

    def _on_rejected(self, event: Event) -> None:
        requestor = event.assoc.requestor
        reason = "the called AE title is another, or too many associations are open"
        _audit("association rejected", _title(requestor.ae_title), requestor.address, reason)
        self._metrics.rejected.labels("refused").inc()

    def _on_transition(self, event: Event) -> None:
        """Note whoever is aborted for a malformed PDU: no other event tells of it.

        A title that is blank or not ASCII makes an association's request such a PDU.
        """
        if event.fsm_event == _MALFORMED and event.current_state != _CLOSING:
            reason = "a malformed PDU, or a title that is blank or not ASCII"
            address = event.assoc.requestor.address
            _audit("association aborted", _sender(event), address, reason)

    def _on_aborted(self, event: Event) -> None:
        _LOG.warning("an association was aborted", extra={"sender": _sender(event)})
        self._metrics.aborted.inc()

    def _on_data(self, event: Event) -> None:
        """Abort a sender whose object is longer than any radiograph."""
        received = self._coming.get(event.assoc, 0) + len(event.data)
        self._coming[event.assoc] = received
        if received > self._settings.max_object_mb * 1_000_000 + _HEADROOM:
            _audit(
                "association aborted",
                _sender(event),
                event.assoc.requestor.address,
                f"an object of more than {self._settings.max_object_mb} MB",
            )
            event.assoc.abort()

    def _may_store(self, event: Event) -> bool:
        return self._settings.any_sender or _sender(event) in self._senders

    def _on_store(self, event: Event) -> int:
        self._coming[event.assoc] = 0
        status, outcome = self._store(event)
        self._metrics.received.labels(outcome).inc()
        return status

    def _store(self, event: Event) -> tuple[int, str]:
        sender = _sender(event)
        if not self._may_store(event):
            _audit("C-STORE refused", sender, event.assoc.requestor.address, "it may not send")
            return NOT_AUTHORISED, "not-authorised"
        if (reason := self._refusal()) is not None:
            _LOG.error("an instance was refused", extra={"sender": sender, "reason": reason})
            return OUT_OF_RESOURCES, "refused"
        request = cast(Any, event.request)
        try:
            if request.AffectedSOPClassUID not in STORED:
                self._drop(request, sender)
                return SUCCESS, "dropped"
            is_new = self._spool.receive(
                (_head(event, sender), request.DataSet.getbuffer()),
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                sender=sender,
            )
        except Exception:
            # Whatever it was: the sender keeps what we did not.
            _LOG.exception("an instance could not be kept", extra={"sender": sender})
            return OUT_OF_RESOURCES, "refused"
        if is_new:
            self.on_received()
        return SUCCESS, "kept" if is_new else "duplicate"

    def _drop(self, request: Any, sender: str) -> None:
        """Note what came and is no radiograph; a storage commitment says that it is not kept."""
        content = request.DataSet.getbuffer()
        kind = UID(str(request.AffectedSOPClassUID))
        new = NewInstance(
            str(request.AffectedSOPInstanceUID),
            str(kind),
            hashlib.sha256(content).hexdigest(),
            len(content),
            sender,
            f"dropped-{secrets.token_hex(16)}",
        )
        self._ledger.note_dropped(new, f"{kind.name} is not read.")

    def _on_action(self, event: Event) -> tuple[int, Dataset | None]:
        """Storage commitment (PS3.4, J.3.2): promise an answer, and give it afterwards."""
        sender = _sender(event)
        known = self._senders.get(sender)
        if known is None or known.host is None or known.port is None:
            reason = "the file of peers has no `host` and `port` for the answer"
            _audit("storage commitment refused", sender, event.assoc.requestor.address, reason)
            return PROCESSING_FAILURE, None
        try:
            wanted = event.action_information
            transaction = str(wanted.TransactionUID)
            instances = referenced(wanted.ReferencedSOPSequence)
        except Exception:
            return INVALID_ARGUMENT, None
        try:
            self._ledger.promise(transaction, sender, instances)
        except Exception:
            _LOG.exception("a storage commitment could not be noted", extra={"sender": sender})
            return PROCESSING_FAILURE, None
        self.on_promised()
        return SUCCESS, None

    def _on_report(self, event: Event) -> tuple[int, Dataset | None]:
        """A destination's answer to our own request for storage commitment."""
        if _sender(event) not in self._known:
            return NOT_AUTHORISED, None
        try:
            report = event.event_information
            transaction = str(report.TransactionUID)
            kept = referenced(report.get("ReferencedSOPSequence") or ())
            refused = referenced(report.get("FailedSOPSequence") or ())
        except Exception:
            return INVALID_ARGUMENT, None
        try:
            confirmed, again = self._ledger.committed(
                transaction, [uid for _, uid in kept], [uid for _, uid in refused]
            )
        except Exception:
            _LOG.exception("a storage commitment could not be noted")
            return PROCESSING_FAILURE, None
        _LOG.info("commitment", extra={"confirmed": confirmed, "again": again})
        return SUCCESS, None


def new_ae(settings: DicomSettings) -> AE:
    """An application entity of this node, with its limits."""
    ae = AE(settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.maximum_pdu_size = settings.max_pdu_bytes
    ae.acse_timeout = min(30.0, settings.network_timeout_s)
    ae.dimse_timeout = settings.network_timeout_s
    ae.network_timeout = settings.network_timeout_s
    ae.connection_timeout = 10.0
    return ae


def server_tls(settings: DicomSettings) -> ssl.SSLContext | None:
    """TLS for whoever connects, by PS3.15 B.12 (TLS 1.2 and newer, BCP 195); None without."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    if settings.tls_ca is not None:
        context.load_verify_locations(settings.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(settings: DicomSettings) -> ssl.SSLContext:
    """TLS towards a peer; its name is checked, and ours is shown where there is one."""
    context = ssl.create_default_context(
        cafile=None if settings.tls_ca is None else str(settings.tls_ca)
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_certificate is not None and settings.tls_key is not None:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def referenced(sequence: Any) -> list[tuple[str, str]]:
    """SOP class and instance UIDs of a Referenced SOP Sequence."""
    return [
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in sequence
    ]


def commitment_report(
    transaction_uid: str, instances: list[tuple[str, str]], kept: list[set[str]]
) -> tuple[int, Dataset]:
    """Event type and information of an answer to a storage commitment (PS3.4, J.3.3).

    Args:
        transaction_uid: of the request.
        instances: SOP class and instance UIDs, as asked for.
        kept: of each, the SOP classes under which it is kept.
    """
    report = Dataset()
    report.TransactionUID = transaction_uid
    asked = list(zip(instances, kept, strict=True))
    done = [one for one, classes in asked if one[0] in classes]
    lost = [_failure(one, classes) for one, classes in asked if one[0] not in classes]
    if done:
        report.ReferencedSOPSequence = Sequence(map(_reference, done))
    if lost:
        report.FailedSOPSequence = Sequence(lost)
    return (COMMITTED_IN_PART if lost else COMMITTED), report


def commitment_request(transaction_uid: str, instances: list[tuple[str, str]]) -> Dataset:
    """Action information of a request for storage commitment (PS3.4, J.3.2)."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = Sequence(map(_reference, instances))
    return request


def _reference(instance: tuple[str, str]) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance
    return item


def _failure(instance: tuple[str, str], kept_as: set[str]) -> Dataset:
    item = _reference(instance)
    item.FailureReason = _ANOTHER_CLASS if kept_as else _NO_SUCH_OBJECT
    return item


def _head(event: Event, sender: str) -> bytes:
    """Preamble and file meta information of a received instance."""
    meta: FileMetaDataset = event.file_meta
    meta.SourceApplicationEntityTitle = sender
    head = DicomBytesIO()
    head.write(bytes(128) + b"DICM")
    write_file_meta_info(head, meta, enforce_standard=True)
    return head.getvalue()


def _sender(event: Event) -> str:
    return _title(event.assoc.requestor.ae_title)


def _title(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def _any_title(value: str) -> tuple[bool, str]:
    return len(value) <= _MOST_TITLE, "it is too long"


def _audit(what: str, title: str, address: str | None, reason: str) -> None:
    _AUDIT.warning(what, extra={"ae_title": title, "address": address, "reason": reason})
