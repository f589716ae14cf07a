"""Peers of the DICOM node: an archive in this process that answers as a test says, and Orthanc."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from support.dicom_node import AE_TITLE, program
from support.waiting import eventually, free_port

TITLE = "PACS"
ORTHANC = "ORTHANC"


@dataclass
class Archive:
    """A storage SCP that also commits itself; `answers` are given before success, each once."""

    port: int = field(default_factory=free_port)
    stored: list[Dataset] = field(default_factory=list)
    answers: list[int | Dataset] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    reports: list[Dataset] = field(default_factory=list)
    server: Any = None

    def start(self) -> None:
        """Listen on `port`."""
        ae = AE(TITLE)
        ae.supported_contexts = AllStoragePresentationContexts
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_action),
            (evt.EVT_N_EVENT_REPORT, self._on_report),
        ]
        self.server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """Hang up."""
        if self.server is not None:
            self.server.shutdown()
            self.server = None

    def uids(self) -> list[str]:
        """SOP instances in the order of their arrival."""
        return [str(ds.SOPInstanceUID) for ds in self.stored]

    def commit(self, node_port: int, *, failed: bool = False) -> None:
        """Answer the oldest request for commitment, on an association of its own."""
        request = self.asked.pop(0)
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        if failed:
            for item in request.ReferencedSOPSequence:
                item.FailureReason = 0x0112
            report.FailedSOPSequence = request.ReferencedSOPSequence
        else:
            report.ReferencedSOPSequence = request.ReferencedSOPSequence
        ae = AE(TITLE)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = ae.associate("127.0.0.1", node_port, ae_title=AE_TITLE, ext_neg=[role])
        assert association.is_established
        status, _ = association.send_n_event_report(
            report,
            2 if failed else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        association.release()
        assert status.Status == 0x0000

    def _on_store(self, event: Event) -> int | Dataset:
        if self.answers and (status := self.answers.pop(0)):
            return status
        self.stored.append(event.dataset)
        return 0x0000

    def _on_action(self, event: Event) -> tuple[int, None]:
        self.asked.append(event.action_information)
        return 0x0000, None

    def _on_report(self, event: Event) -> tuple[int, None]:
        self.reports.append(event.event_information)
        return 0x0000, None


@pytest.fixture
def archive() -> Iterator[Archive]:
    """An archive that listens."""
    peer = Archive()
    peer.start()
    yield peer
    peer.stop()


@dataclass
class Orthanc:
    """A running Orthanc with its DICOMweb plug-in."""

    dicom_port: int
    http: httpx.Client
    pid: int
    node_port: int

    def instances(self, study_uid: str, modality: str) -> list[dict[str, Any]]:
        """What QIDO-RS finds of a modality in a study."""
        response = self.http.get(
            f"/dicom-web/studies/{study_uid}/instances",
            params={"Modality": modality, "includefield": "all"},
            headers={"Accept": "application/dicom+json"},
        )
        response.raise_for_status()
        found: list[dict[str, Any]] = response.json()
        return found

    def file(self, sop_instance_uid: str) -> bytes:
        """An instance as a file."""
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        [identifier] = self.http.post("/tools/find", json=query).json()
        return self.http.get(f"/instances/{identifier}/file").content


@contextlib.contextmanager
def running_orthanc(folder: Path, node_port: int) -> Iterator[Orthanc]:
    """Debian's Orthanc as a process, which knows the node at `node_port` of this machine."""
    folder.mkdir()
    dicom_port, http_port = free_port(), free_port()
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomAet": ORTHANC,
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"node": [AE_TITLE, "127.0.0.1", node_port]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("Orthanc"), str(configuration)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=30) as http:

            def ready() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                with contextlib.suppress(httpx.TransportError):
                    return http.get("/system").status_code == 200
                return False

            eventually(ready, "Orthanc did not start", 180)
            yield Orthanc(dicom_port, http, process.pid, node_port)
    finally:
        process.terminate()
        process.wait(30)
