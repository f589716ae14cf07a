"""Answers to requests for storage commitment, each on an association of its own."""

import logging
import time

from pynetdicom import build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from cxr_dicom.forwarding import backoff_s
from cxr_dicom.ledger import Commitment, Ledger
from cxr_dicom.peers import Peers, Sender
from cxr_dicom.scp import client_tls, commitment_report, new_ae
from cxr_dicom.settings import DicomSettings
from cxr_dicom.worker import Worker

_LOG = logging.getLogger("cxr.dicom.commitment")
# About a day with the default settings; whoever asked asks again.
_MAX_ATTEMPTS = 150


class Notary(Worker):
    """The thread that answers."""

    def __init__(self, settings: DicomSettings, peers: Peers, ledger: Ledger) -> None:
        super().__init__("commitment")
        self._settings = settings
        self._senders = peers.senders
        self._ledger = ledger

    def work(self) -> bool:
        """Answer what is due."""
        for promise in self._ledger.promises():
            if not self.stopped:
                self._keep(promise)
        return False

    def _keep(self, promise: Commitment) -> None:
        sender = self._senders.get(promise.requester)
        if sender is None or promise.attempts >= _MAX_ATTEMPTS:
            _LOG.error("a storage commitment was given up", extra={"sender": promise.requester})
            self._ledger.end_promise(promise.transaction_uid)
        elif self._report(sender, promise):
            self._ledger.end_promise(promise.transaction_uid)
        else:
            wait_s = backoff_s(self._settings, promise.attempts + 1)
            self._ledger.postpone_promise(promise.transaction_uid, time.time() + wait_s)

    def _report(self, sender: Sender, promise: Commitment) -> bool:
        if sender.host is None or sender.port is None:
            return False
        ae = new_ae(self._settings)
        ae.add_requested_context(StorageCommitmentPushModel)
        # This side asks for the association and is the provider all the same.
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        tls = (client_tls(self._settings), sender.host) if sender.tls else None
        association = ae.associate(
            sender.host,
            sender.port,
            ae_title=sender.ae_title,
            ext_neg=[role],
            tls_args=tls,
        )
        if not association.is_established:
            return False
        try:
            kind, report = commitment_report(
                promise.transaction_uid, promise.instances, self._ledger.kept(promise.instances)
            )
            answer, _ = association.send_n_event_report(
                report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            return bool(answer.get("Status") == 0x0000)
        except (RuntimeError, ValueError):
            _LOG.warning("a commitment's answer was not taken", extra={"sender": sender.ae_title})
            return False
        finally:
            if association.is_established:
                association.release()
