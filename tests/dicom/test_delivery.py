"""From the gateway to destinations: order, retries over a restart, dead letters, commitment."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from cxr_dicom.ledger import DeliveryState
from support.dicom_gateway import FakeGateway
from support.dicom_images import dicom_bytes, dicom_dataset
from support.dicom_node import AE_TITLE, Node, NodeStarter, radiograph
from support.images import radiograph_like
from support.pacs import TITLE, Archive, archive
from support.waiting import eventually

__all__ = ["archive"]
pytestmark = pytest.mark.slow


def result(uid: str, sop_class: str) -> bytes:
    """Something to deliver; what it says does not matter here."""
    ds = dicom_dataset(radiograph_like(40, 30), SOPInstanceUID=uid, SOPClassUID=sop_class)
    return dicom_bytes(ds)


@pytest.fixture
def peers(archive: Archive, gateway: FakeGateway) -> str:
    gateway.exports = {
        "structured-report/findings.dcm": result("1.2.3.1", ComprehensiveSRStorage),
        "structured-report/boxes.dcm": result("1.2.3.2", ComprehensiveSRStorage),
        "secondary-capture.dcm": result("1.2.3.3", SecondaryCaptureImageStorage),
    }
    return f"""
[[sender]]
ae_title = "MODALITY"
host = "127.0.0.1"
port = {archive.port}
[[destination]]
name = "pacs"
ae_title = "{TITLE}"
host = "127.0.0.1"
port = {archive.port}
objects = ["sr", "secondary-capture"]
sr = "2d"
"""


def sent(node: Node, folder: Path, number: int) -> None:
    path = folder / f"{number}.dcm"
    path.write_bytes(radiograph(number))
    assert node.send(path).returncode == 0


def becomes(node: Node, state: str, count: int) -> None:
    eventually(
        lambda: node.count("deliveries", state) == count, f"{node.counts()}: not {count} {state}"
    )


def test_results_go_to_the_destination_that_wants_them(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    gateway.answers = [(201, {"boxes": [{}]}), (201, {"status": "rejected", "triage": None})]
    running = node(gateway.url, peers)
    sent(running, tmp_path, 1)
    becomes(running, "sent", 3)
    assert archive.uids() == ["1.2.3.2", "1.2.3.1", "1.2.3.3"]
    assert f"{1:026d}/structured-report/boxes.dcm?kind=2d" in gateway.asked
    # A rejected study is delivered where its status is asked for only.
    sent(running, tmp_path, 2)
    eventually(lambda: running.count("instances", "analysed") == 2, "it was not analysed")
    assert running.counts() == {("instances", "analysed"): 2, ("deliveries", "sent"): 3}


def test_a_destination_that_is_away_gets_everything_after_a_restart_the_urgent_first(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    archive.stop()
    urgent = {"triage": {"priority": "urgent", "reason": "-"}}
    gateway.answers = [(201, {}), (201, urgent)]
    running = node(gateway.url, peers, forward_workers=1)
    sent(running, tmp_path, 1)
    sent(running, tmp_path, 2)
    becomes(running, "queued", 4)
    running.kill()
    gateway.asked.clear()
    archive.start()
    again = node(gateway.url, peers, forward_workers=1)
    becomes(again, "sent", 4)
    assert [one.partition("/")[0] for one in gateway.asked] == [f"{n:026d}" for n in (2, 2, 1, 1)]


def test_a_destination_without_room_is_tried_again_and_a_refusal_is_a_dead_letter(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    refusal = Dataset()
    refusal.Status, refusal.ErrorComment = 0xC000, "Nobody understands this."
    archive.answers = [0xA700, refusal]
    running = node(gateway.url, peers)
    sent(running, tmp_path, 1)
    becomes(running, "failed", 1)
    becomes(running, "sent", 1)
    told = running.command("status").stdout
    assert "0xC000 Nobody understands this." in told
    assert running.command("resend", "--all").stdout == "1 results are queued again.\n"
    becomes(running, "sent", 2)


def test_a_result_that_is_not_delivered_for_too_long_is_a_dead_letter(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    archive.stop()
    running = node(gateway.url, peers, delivery_max_age_h=0.0001)
    sent(running, tmp_path, 1)
    becomes(running, "failed", 2)
    with running.ledger() as ledger:
        reasons = {row[-1] for row in ledger.deliveries_in(DeliveryState.FAILED)}
    assert reasons == {"The destination cannot be reached. It was tried for too long."}


def test_what_was_sent_is_confirmed_by_storage_commitment_or_sent_again(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    running = node(gateway.url, f'{peers}\nconfirm = "commitment"\n')
    sent(running, tmp_path, 1)
    becomes(running, "sent", 2)
    eventually(lambda: bool(archive.asked), "no commitment was asked for")
    archive.commit(running.dicom_port, failed=True)
    eventually(lambda: len(archive.stored) == 4, "it was not sent again")
    eventually(lambda: bool(archive.asked), "no commitment was asked for again")
    archive.commit(running.dicom_port)
    becomes(running, "confirmed", 2)


@pytest.mark.parametrize(
    ("patient", "said"),
    [
        ({"study_instance_uid": "1.2.3"}, "no PatientID"),
        ({"patient_id": "", "study_instance_uid": "1.2.3"}, "no PatientID"),
        ({"patient_id": "P1", "study_instance_uid": None}, "no StudyInstanceUID"),
        ({}, "no StudyInstanceUID"),
    ],
    ids=["no-patient", "empty-patient", "no-study", "neither"],
)
def test_what_names_no_patient_or_no_study_is_kept_back_and_said_why(
    *,
    patient: dict[str, str],
    said: str,
    node: NodeStarter,
    gateway: FakeGateway,
    archive: Archive,
    peers: str,
    tmp_path: Path,
) -> None:
    gateway.answers = [(201, {"patient": patient})]
    peers += f"""
[[destination]]
name = "emergency"
ae_title = "{TITLE}"
host = "127.0.0.1"
port = {archive.port}
objects = ["secondary-capture"]
unidentified = true
"""
    running = node(gateway.url, peers)
    sent(running, tmp_path, 1)
    becomes(running, "withheld", 2 if "PatientID" in said else 3)
    told = running.command("status").stdout
    assert (
        f"withheld to pacs: sr-findings of {1:026d}, 0 attempts: The radiograph has {said}" in told
    )
    if "PatientID" in said:
        becomes(running, "sent", 1)
    # Nothing that a rule keeps back is a dead letter.
    assert running.command("resend", "--all").stdout == "0 results are queued again.\n"
    sent(running, tmp_path, 2)
    becomes(running, "sent", 4 if "PatientID" in said else 3)


def test_a_result_that_cannot_be_sent_holds_up_nobody_behind_it(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    # A proxy's page in place of the gateway's answer.
    gateway.exports["structured-report/findings.dcm"] = b"<html>Please wait.</html>"
    running = node(gateway.url, peers)
    sent(running, tmp_path, 1)
    becomes(running, "sent", 1)
    assert "could not be sent: InvalidDicomError" in running.command("status").stdout
    gateway.exports["structured-report/findings.dcm"] = result("1.2.3.1", ComprehensiveSRStorage)
    becomes(running, "sent", 2)


def test_a_study_is_delivered_by_command(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str
) -> None:
    running = node(gateway.url, peers)
    done = running.command("deliver", "01jzzzzzzzzzzzzzzzzzzzzzzz", "--to", "pacs")
    assert done.returncode == 0, done.stderr
    becomes(running, "sent", 2)
    assert running.command("echo", "pacs").stdout == "pacs answers.\n"


def test_this_node_commits_itself_to_what_it_keeps_and_to_nothing_else(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, peers: str, tmp_path: Path
) -> None:
    running = node(gateway.url, peers.replace('"MODALITY"', f'"{TITLE}"'))
    content = radiograph(1)
    path = tmp_path / "one.dcm"
    path.write_bytes(content)
    assert running.send(path, sender=TITLE).returncode == 0
    ds = pydicom.dcmread(BytesIO(content))
    request = Dataset()
    request.TransactionUID = "1.2.3.99"
    kept, other = Dataset(), Dataset()
    kept.ReferencedSOPClassUID, kept.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    other.ReferencedSOPClassUID, other.ReferencedSOPInstanceUID = ds.SOPClassUID, "1.2.3.4"
    another = Dataset()
    another.ReferencedSOPClassUID = SecondaryCaptureImageStorage
    another.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    request.ReferencedSOPSequence = [kept, other, another]
    client = AE(TITLE)
    client.add_requested_context(StorageCommitmentPushModel)
    association = client.associate("127.0.0.1", running.dicom_port, ae_title=AE_TITLE)
    assert association.is_established
    status, _ = association.send_n_action(
        request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    assert status.Status == 0x0000
    eventually(lambda: bool(archive.reports), "no answer came")
    [report] = archive.reports
    assert report.TransactionUID == "1.2.3.99"
    assert [one.ReferencedSOPInstanceUID for one in report.ReferencedSOPSequence] == [
        ds.SOPInstanceUID
    ]
    failed, conflict = report.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.4", 0x0112)
    assert (conflict.ReferencedSOPInstanceUID, conflict.FailureReason) == (
        ds.SOPInstanceUID,
        0x0119,
    )
