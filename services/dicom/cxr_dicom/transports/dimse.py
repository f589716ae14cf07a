"""By C-STORE, with storage commitment."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from cxr_dicom.ledger import Delivery, Ledger
from cxr_dicom.peers import Confirm, DicomDestination, ResultObject
from cxr_dicom.scp import STORED, client_tls, commitment_request, new_ae
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.results import Request, dicom_request
from cxr_dicom.transports.transport import (
    Channel,
    NotTaken,
    Refused,
    Taken,
    Transport,
    Unreachable,
)

_LOG = logging.getLogger("cxr.dicom.delivery")
SENT_CLASSES = (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    EncapsulatedPDFStorage,
)
_REQUEST_COMMITMENT = 1
_MAX_IN_A_REQUEST = 500


class DimseTransport(Transport):
    """To an AE."""

    def __init__(self, settings: DicomSettings, to: DicomDestination) -> None:
        self._settings = settings
        self._to = to
        self.confirms = to.confirm is Confirm.COMMITMENT

    def request(self, delivery: Delivery) -> Request:
        """See `Transport`."""
        return dicom_request(self._to, delivery)

    @contextmanager
    def open(self) -> Iterator["DimseChannel"]:
        """One association."""
        ae = new_ae(self._settings)
        relays = ResultObject.DEIDENTIFIED in self._to.objects
        for kind in (*SENT_CLASSES, *(STORED if relays else ())):
            if kind not in {one.abstract_syntax for one in ae.requested_contexts}:
                ae.add_requested_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        if self.confirms:
            ae.add_requested_context(StorageCommitmentPushModel)
        to = self._to
        tls = (client_tls(self._settings), to.host) if to.tls else None
        association = ae.associate(to.host, to.port, ae_title=to.ae_title, tls_args=tls)
        if not association.is_established:
            how = "rejected the association" if association.is_rejected else "cannot be reached"
            raise Unreachable(f"The destination {how}.")
        try:
            yield DimseChannel(association)
        finally:
            if association.is_established:
                association.release()


class DimseChannel(Channel):
    """An association."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._accepted = {one.abstract_syntax for one in association.accepted_contexts}

    @property
    def is_open(self) -> bool:
        """See `Channel`."""
        return bool(self._association.is_established)

    def send(self, content: bytes) -> Taken:
        """C-STORE one object."""
        ds = dcmread(BytesIO(content))
        try:
            warning = self._store(ds)
        except RuntimeError as error:
            raise NotTaken(str(error)) from error
        return Taken(str(ds.SOPClassUID), str(ds.SOPInstanceUID), warning)

    def _store(self, ds: Dataset) -> str | None:
        if ds.SOPClassUID not in self._accepted:
            raise Refused(f"The destination does not accept {UID(ds.SOPClassUID).name}.")
        answer = self._association.send_c_store(ds)
        status = answer.get("Status")
        if status is None:
            raise NotTaken("The destination did not answer, or broke off.")
        said = f"0x{status:04X} {answer.get('ErrorComment') or ''}".strip()
        if status == 0x0000:
            return None
        if status in (0x0107, 0x0116) or status & 0xF000 == 0xB000:
            return f"The destination took it with a warning: {said}."
        # Out of resources (A7xx), not authorised, and failures that name no cause in the object.
        if status & 0xFF00 == 0xA700 or status in (0x0110, 0x0124, 0x0211):
            raise NotTaken(f"The destination answered {said}.")
        raise Refused(f"The destination refused it: {said}.")

    def confirm(self, ledger: Ledger, destination: str, again_in_s: float) -> None:
        """Ask for storage commitment; the answer comes on an association of its own."""
        rows = ledger.unconfirmed(destination, _MAX_IN_A_REQUEST)
        if not rows:
            return
        transaction = str(generate_uid(prefix=None))
        # Noted before it is asked: the answer may come before the response.
        ledger.asked([row.id for row in rows], transaction, time.time() + again_in_s)
        if StorageCommitmentPushModel not in self._accepted:
            _LOG.error("no storage commitment there", extra={"destination": destination})
            return
        wanted = [(row.sop_class_uid, row.sop_instance_uid) for row in rows]
        answer, _ = self._association.send_n_action(
            commitment_request(transaction, wanted),
            _REQUEST_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if (status := answer.get("Status")) != 0x0000:
            _LOG.warning(
                "a storage commitment was refused",
                extra={"destination": destination, "status": status},
            )


def echo(settings: DicomSettings, to: DicomDestination) -> str:
    """C-ECHO a destination; what came back, as a sentence."""
    ae = new_ae(settings)
    ae.add_requested_context(Verification)
    tls = (client_tls(settings), to.host) if to.tls else None
    association = ae.associate(to.host, to.port, ae_title=to.ae_title, tls_args=tls)
    if not association.is_established:
        how = "rejects this node" if association.is_rejected else "cannot be reached"
        return f"{to.name} {how}."
    try:
        status = association.send_c_echo().get("Status")
    finally:
        association.release()
    return f"{to.name} answers." if status == 0 else f"{to.name} said {status}."
