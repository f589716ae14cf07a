"""From the spool to the gateway: retries, what is put aside, and the commands for it."""

import hashlib
import zlib
from pathlib import Path

import psutil
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from cxr_dicom.ledger import Ledger, NewInstance
from support.dicom_gateway import FakeGateway
from support.dicom_node import Node, NodeStarter, radiograph
from support.waiting import eventually, free_port

pytestmark = pytest.mark.slow


def sent(node: Node, folder: Path, *numbers: int) -> None:
    paths = []
    for number in numbers:
        path = folder / f"{number}.dcm"
        path.write_bytes(radiograph(number))
        paths.append(path)
    done = node.send(*paths)
    assert done.returncode == 0, done.stderr


def becomes(node: Node, state: str, count: int) -> None:
    eventually(lambda: node.count("instances", state) == count, f"not {count} {state}")


def test_a_gateway_that_is_away_or_full_is_asked_until_it_answers(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answers = [(503, {}), (401, {}), (404, {}), (421, {}), (429, {}), (507, {})]
    running = node(gateway.url)
    sent(running, tmp_path, 1)
    becomes(running, "analysed", 1)
    assert len(gateway.received) == 7


def test_a_study_that_no_service_analysed_is_sent_again(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answers = [(503, {"study_id": "x"}), (503, {"study_id": "x"})]
    running = node(gateway.url)
    sent(running, tmp_path, 1)
    becomes(running, "analysed", 1)
    assert len(gateway.received) == 3


def test_a_partial_result_stands_only_after_more_tries(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answers = [(201, {"status": "partial"}), (200, {"status": "complete"})]
    running = node(gateway.url, partial_attempts=3)
    sent(running, tmp_path, 1)
    becomes(running, "analysed", 1)
    assert len(gateway.received) == 2
    gateway.always = (201, {"status": "partial"})
    sent(running, tmp_path, 2)
    becomes(running, "analysed", 2)
    assert len(gateway.received) == 5


def test_a_file_that_the_gateway_refuses_is_put_aside_with_the_reason(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answers = [(422, {"detail": "The pixels end too early."})]
    running = node(gateway.url)
    sent(running, tmp_path, 1, 2)
    becomes(running, "failed", 1)
    becomes(running, "analysed", 1)
    [file] = (running.spool / "failed").glob("*.dcm")
    assert file.with_suffix(".txt").read_text() == "The pixels end too early.\n"
    told = running.command("status")
    assert "The pixels end too early." in told.stdout
    assert len(gateway.received) == 2
    again = running.command("retry", "--all")
    assert again.stdout == "1 instances wait again.\n"
    becomes(running, "analysed", 2)
    assert list((running.spool / "failed").iterdir()) == []


def test_a_file_at_which_the_gateway_breaks_ends_aside_and_never_in_a_loop(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answers = [(500, {})] * 3
    running = node(gateway.url, max_breaks=3, forward_workers=1)
    sent(running, tmp_path, 1)
    becomes(running, "failed", 1)
    sent(running, tmp_path, 2)
    becomes(running, "analysed", 1)
    assert len(gateway.received) == 4


POISONS = ("deflated-garbage", "bomb", "nested", "empty", "no-dicom")


def poisoned(kind: str) -> bytes:
    """A file that the library fails at, each in another way."""
    whole = radiograph(1, syntax=DeflatedExplicitVRLittleEndian)
    head = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    if kind == "deflated-garbage":
        return head + b"\xff" * 1000
    if kind == "bomb":
        squeezed = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        zeros = bytes(1 << 20)
        return head + b"".join(squeezed.compress(zeros) for _ in range(2000)) + squeezed.flush()
    plain = radiograph(1)
    head = plain[: 144 + int.from_bytes(plain[140:144], "little")]
    if kind == "nested":
        item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        return head + item * 20_000
    return b"" if kind == "empty" else b"no DICOM at all" * 100


@pytest.mark.parametrize("has_row", [True, False], ids=["acknowledged", "without-a-row"])
def test_a_poisonous_file_is_the_gateways_or_put_aside_and_holds_nobody_up(
    has_row: bool, node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    spool = node.folder / "spool"
    (spool / "waiting").mkdir(parents=True)
    ledger = Ledger.open(spool / "ledger.sqlite3")
    for kind in POISONS:
        content, name = poisoned(kind), f"{kind}.dcm"
        (spool / "waiting" / name).write_bytes(content)
        if has_row:
            digest = hashlib.sha256(content).hexdigest()
            ledger.add(NewInstance("1.2.3", "1.2.3", digest, len(content), "MODALITY", name))
            # What the gateway says of such files is its own tests'.
            gateway.answers.append((422, {"detail": "It is damaged."}))
    ledger.close()
    running = node(gateway.url, forward_workers=1, hl7_port=free_port())
    sent(running, tmp_path, 1)
    becomes(running, "analysed", 1)
    becomes(running, "failed", len(POISONS) if has_row else 0)
    assert running.count("instances", "waiting") == 0
    aside = {path.stem for path in (spool / "failed").glob("*.dcm")}
    assert aside == set(POISONS)
    assert psutil.Process(running.process.pid).memory_info().rss < 700_000_000


def test_a_senders_missing_key_holds_up_nobody_else(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    peers = (
        f'[[sender]]\nae_title = "MODALITY"\nkey_file = "{tmp_path / "key"}"\n'
        '[[sender]]\nae_title = "OTHER"\n'
    )
    running = node(gateway.url, peers, forward_workers=1)
    sent(running, tmp_path, 1)
    path = tmp_path / "2.dcm"
    path.write_bytes(radiograph(2))
    assert running.send(path, sender="OTHER").returncode == 0
    becomes(running, "analysed", 1)
    assert running.count("instances", "waiting") == 1
    assert "key cannot be read" in running.command("status").stdout
    (tmp_path / "key").write_text("of-the-department\n")
    becomes(running, "analysed", 2)


def test_a_department_of_its_own_has_a_key_of_its_own(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    peers = f'[[sender]]\nae_title = "MODALITY"\nkey_file = "{key}"\n'
    running = node(gateway.url, peers, gateway_key="of-the-node")
    sent(running, tmp_path, 1)
    # Nothing is sent under another department's key; it waits until the key can be read.
    eventually(lambda: running.metric("cxr_dicom_gateway_failures_total") > 0, "it did not wait")
    key.write_text("of-the-department\n")
    becomes(running, "analysed", 1)
    assert gateway.keys == ["Bearer of-the-department"]


def test_the_order_of_arrival_is_the_order_of_analysis(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, forward_workers=1)
    sent(running, tmp_path, 1, 2, 3, 4)
    becomes(running, "analysed", 4)
    import pydicom
    from pydicom.filebase import DicomBytesIO

    patients = [pydicom.dcmread(DicomBytesIO(one)).PatientID for one in gateway.received]
    assert patients == ["P1", "P2", "P3", "P4"]


def test_commands_say_what_is_wrong_with_them(node: NodeStarter, gateway: FakeGateway) -> None:
    running = node(gateway.url)
    assert running.command("status").stdout == "Nothing has come yet.\n"
    unknown = running.command("deliver", "x", "--to", "nowhere")
    assert unknown.returncode == 1
    assert "no destination nowhere" in unknown.stderr
    assert running.command("retry").returncode == 2
