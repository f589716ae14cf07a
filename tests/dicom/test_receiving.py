"""What the node takes, keeps and refuses, tried with DCMTK's programs and raw sockets."""

import contextlib
import hashlib
import random
import signal
import socket
import struct
import subprocess
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE

from cxr_dicom.ledger import InstanceState, Ledger
from cxr_dicom.scp import STORED, TRANSFER_SYNTAXES
from cxr_gateway.imaging.dicom.pixels import SYNTAXES
from cxr_serving.product import MANUFACTURER
from support.dicom_gateway import FakeGateway
from support.dicom_images import NATIVE, compressed_dicom
from support.dicom_node import AE_TITLE, Node, NodeStarter, program, radiograph
from support.images import radiograph_like
from support.waiting import eventually

pytestmark = pytest.mark.slow

TWO_SENDERS = """
[[sender]]
ae_title = "MODALITY"
[[sender]]
ae_title = "ELSEWHERE"
address = "10.1.2.0/24"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 9
"""


def written(folder: Path, *contents: bytes) -> list[Path]:
    """The contents as files."""
    paths = [folder / f"{hashlib.sha256(one).hexdigest()[:12]}.dcm" for one in contents]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def data_set(content: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(content))


def analysed(node: Node, count: int) -> None:
    eventually(lambda: node.count("instances", "analysed") == count, f"{count} were not analysed")


def waiting_files(node: Node) -> list[str]:
    return sorted(path.name for path in (node.spool / "waiting").iterdir())


def test_a_radiograph_goes_to_the_gateway_as_it_was_sent(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, gateway_key="cxr_key")
    content = radiograph(1)
    assert running.echo()
    done = running.send(*written(tmp_path, content))
    assert done.returncode == 0, done.stderr
    analysed(running, 1)
    [received] = gateway.received
    assert data_set(received) == data_set(content)
    meta = data_set(received).file_meta
    assert meta.SourceApplicationEntityTitle == "MODALITY"
    assert gateway.keys == ["Bearer cxr_key"]
    eventually(lambda: waiting_files(running) == [], "the file stayed in the spool")
    assert running.metric('cxr_dicom_received_total{outcome="kept"}') == 1
    assert running.metric('cxr_dicom_instances{state="analysed"}') == 1


def test_every_transfer_syntax_arrives_unchanged(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url)
    values = radiograph_like(64, 48).astype(np.uint16)
    options = {RLELossless: "-xr", JPEG2000Lossless: "-xv", JPEGLSLossless: "-xt"}
    for number, (syntax, option) in enumerate(options.items()):
        content = compressed_dicom(values, syntax, SOPInstanceUID=f"1.2.3.{number}")
        done = running.send(*written(tmp_path, content), options=(option,))
        assert done.returncode == 0, done.stderr
    analysed(running, len(options))
    syntaxes = [data_set(one).file_meta.TransferSyntaxUID for one in gateway.received]
    assert sorted(syntaxes) == sorted(options)


def test_everything_is_taken_that_can_be_decoded(node: NodeStarter, gateway: FakeGateway) -> None:
    """Every class in every transfer syntax; this node looks at no pixel."""
    assert set(TRANSFER_SYNTAXES) == SYNTAXES
    running = node(gateway.url, max_associations=100)
    number = 0
    for syntax in TRANSFER_SYNTAXES:
        client = AE("MODALITY")
        for kind in STORED:
            client.add_requested_context(kind, syntax)
        sending = client.associate("127.0.0.1", running.dicom_port, ae_title=AE_TITLE)
        assert len(sending.accepted_contexts) == len(STORED), syntax.name
        # All classes once, and then one of them in each syntax.
        for kind in STORED if syntax == TRANSFER_SYNTAXES[0] else STORED[:1]:
            number += 1
            native = syntax if syntax in NATIVE else TRANSFER_SYNTAXES[0]
            ds = data_set(radiograph(number, syntax=native, SOPClassUID=kind))
            if native != syntax:
                ds.PixelData = encapsulate([b"a codestream"])
                ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
                ds.file_meta.TransferSyntaxUID = syntax
            assert sending.send_c_store(ds).Status == 0x0000
        sending.release()
    analysed(running, number)
    arrived = {UID(data_set(one).file_meta.TransferSyntaxUID) for one in gateway.received}
    assert arrived == SYNTAXES


OTHERS = [
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ComprehensiveSRStorage,
    BasicTextSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    EncapsulatedPDFStorage,
]


def test_what_is_no_radiograph_is_acknowledged_and_dropped_and_holds_nothing_up(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url)
    files = written(
        tmp_path,
        *(radiograph(number, SOPClassUID=kind) for number, kind in enumerate(OTHERS)),
        radiograph(99, SOPClassUID=DigitalXRayImageStorageForPresentation),
    )
    done = running.send(*files, options=("-R",))
    assert done.returncode == 0, done.stderr
    analysed(running, 1)
    assert [data_set(one).PatientID for one in gateway.received] == ["P99"]
    assert running.count("instances", "ignored") == len(OTHERS)
    with running.ledger() as ledger:
        reasons = [row[-1] for row in ledger.instances_in(InstanceState.IGNORED)]
    assert "CT Image Storage is not read." in reasons
    assert running.metric('cxr_dicom_received_total{outcome="dropped"}') == len(OTHERS)
    assert waiting_files(running) == []


def test_what_is_no_radiograph_is_not_accepted_where_that_is_said(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, drop_others=False)
    [file] = written(tmp_path, radiograph(1, SOPClassUID=CTImageStorage))
    assert running.send(file, options=("-R",)).returncode != 0
    assert running.counts() == {}


def test_the_same_instance_is_analysed_once_and_another_content_is_another(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url)
    first, other = radiograph(1), radiograph(1, PatientID="changed")
    for content in (first, other, first):
        assert running.send(*written(tmp_path, content)).returncode == 0
    analysed(running, 2)
    assert running.send(*written(tmp_path, first), sender="MODALITY").returncode == 0
    assert running.counts() == {("instances", "analysed"): 2}
    assert len(gateway.received) == 2
    assert running.metric('cxr_dicom_received_total{outcome="duplicate"}') == 2


def test_nobody_is_taken_who_is_not_named(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, TWO_SENDERS)
    files = written(tmp_path, radiograph(1))
    for sender in ("STRANGER", "ELSEWHERE", AE_TITLE):
        done = running.send(*files, sender=sender)
        assert done.returncode != 0
        assert "Calling AE Title Not Recognized" in done.stderr
    assert "Called AE Title Not Recognized" in running.send(*files, called="OTHER").stderr
    # It is known, for its answers; it may not send.
    refused = running.send(*files, sender="PACS")
    assert refused.returncode != 0
    assert running.metric('cxr_dicom_received_total{outcome="not-authorised"}') == 1
    assert running.counts() == {}
    audited = [line for line in running.logged() if line["logger"] == "cxr.dicom.audit"]
    assert [line["ae_title"] for line in audited] == [
        *("STRANGER", "ELSEWHERE", AE_TITLE, "MODALITY", "PACS"),
    ]
    assert all(line["reason"] for line in audited)


def test_titles_with_blanks_are_named_and_others_are_other_titles(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, '[[sender]]\nae_title = "X RAY ROOM 1"\n')
    files = written(tmp_path, radiograph(1))
    assert running.send(*files, sender="X RAY ROOM 1").returncode == 0
    for other in ("x ray room 1", "XRAYROOM1", "X RAY ROOM 1 AB", "X"):
        assert running.send(*files, sender=other).returncode != 0
    analysed(running, 1)


def test_whatever_stands_in_the_place_of_a_title(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, network_timeout_s=5)
    [file] = written(tmp_path, radiograph(1))
    whole = recorded_session(running, file)
    analysed(running, 1)

    def is_accepted(title: bytes) -> bool:
        # PS3.8, 9.3.2: bytes 27 to 42 of the first PDU; an A-ASSOCIATE-AC is of type 2.
        asked = whole[:26] + title + whole[42 : 6 + int.from_bytes(whole[2:6], "big")]
        with socket.create_connection(("127.0.0.1", running.dicom_port), timeout=20) as sender:
            sender.sendall(asked)
            return sender.recv(65_536)[:1] == b"\x02"

    assert is_accepted(b"  MODALITY      ")
    assert is_accepted(b"MODALITY".ljust(16, b"\0"))
    others = (b"MODALI\nTY", b"MODALIT\xffY", b"MODALITY\\X", b"\0MODALI\0TY", b"", b"\xff" * 16)
    assert [is_accepted(one.ljust(16)) for one in others] == [False] * len(others)
    assert not is_accepted(bytes(16))
    audited = [line for line in running.logged() if line["logger"] == "cxr.dicom.audit"]
    assert "MODALI\nTY" in [line["ae_title"] for line in audited]
    # Blanks and what is not ASCII are malformed before they are titles; each has its line, too.
    assert len(audited) == len(others) + 1
    aborted = [line for line in audited if line["message"] == "association aborted"]
    assert [line["address"] for line in aborted] == ["127.0.0.1"] * 3
    assert running.echo()


def test_without_a_file_of_peers_nobody_may_send(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, peers_file=None)
    assert running.send(*written(tmp_path, radiograph(1))).returncode != 0


def test_anybody_of_this_machine_may_send_where_that_is_said(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, peers_file=None, any_sender=True)
    assert running.send(*written(tmp_path, radiograph(1)), sender="STORESCU").returncode == 0
    analysed(running, 1)


def test_without_room_an_instance_is_refused_and_nothing_is_left(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, min_free_mb=10**9)
    done = running.send(*written(tmp_path, radiograph(1)))
    assert done.returncode != 0
    assert "Refused: OutOfResources" in done.stdout + done.stderr
    assert running.counts() == {}
    assert running.http.get("/readyz").status_code == 503


def test_a_spool_that_is_full_of_work_takes_no_more(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.always = (503, {})
    running = node(gateway.url, max_waiting=1)
    first, second = written(tmp_path, radiograph(1), radiograph(2))
    assert running.send(first).returncode == 0
    eventually(lambda: running.send(second).returncode != 0, "a second one was taken")
    gateway.always = None
    eventually(lambda: running.send(second).returncode == 0, "it never takes another one")


def test_what_was_acknowledged_outlives_a_kill(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    away = "http://127.0.0.1:9"
    running = node(away)
    files = written(tmp_path, *(radiograph(number) for number in range(5)))
    assert running.send(*files).returncode == 0
    running.kill()
    again = node(gateway.url)
    analysed(again, 5)
    assert len({data_set(one).SOPInstanceUID for one in gateway.received}) == 5


def test_a_file_whose_row_was_not_committed_is_adopted_and_half_a_file_goes(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node("http://127.0.0.1:9")
    assert running.send(*written(tmp_path, radiograph(1))).returncode == 0
    running.kill()
    with running.ledger() as ledger:
        ledger._connection.execute("DELETE FROM instances")
    (running.spool / "incoming" / "x.part").write_bytes(b"half")
    again = node(gateway.url)
    analysed(again, 1)
    assert list((again.spool / "incoming").iterdir()) == []
    # The sender, which was told nothing, sends it again: it is the same.
    assert again.send(*written(tmp_path, radiograph(1))).returncode == 0
    assert again.counts() == {("instances", "analysed"): 1}


def test_an_aborted_association_keeps_what_was_acknowledged(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url)
    running.send(*written(tmp_path, radiograph(1), radiograph(2)), options=("--abort",))
    analysed(running, 2)


def test_our_own_results_are_taken_and_never_analysed(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url)
    assert (
        running.send(*written(tmp_path, radiograph(1, Manufacturer=MANUFACTURER))).returncode == 0
    )
    eventually(lambda: running.count("instances", "ignored") == 1, "it was not ignored")
    assert gateway.received == []
    assert waiting_files(running) == []


def test_a_radiograph_that_was_sent_out_under_a_pseudonym_does_not_come_back_in(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    content = radiograph(1, PatientID="ANON")
    uid = data_set(content).SOPInstanceUID
    (node.folder / "spool").mkdir(parents=True)
    ledger = Ledger.open(node.folder / "spool" / "ledger.sqlite3")
    ledger.queue("01k6xw3m9v5t8r2q4n7j1h0g6f", None, [("research", "deidentified")])
    [delivery] = ledger.next_deliveries("research", 1)
    ledger.note_sending(delivery, uid)
    ledger.close()
    running = node(gateway.url)
    assert running.send(*written(tmp_path, content)).returncode == 0
    eventually(lambda: running.count("instances", "ignored") == 1, "it was not ignored")
    assert gateway.received == []


def test_an_object_longer_than_any_radiograph_aborts_its_sender(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, max_object_mb=1)
    from support.dicom_images import dicom

    done = running.send(*written(tmp_path, dicom(np.zeros((2000, 1000), np.uint16))))
    assert done.returncode != 0
    assert running.send(*written(tmp_path, radiograph(1))).returncode == 0
    analysed(running, 1)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(6),
        struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(100_000),
        struct.pack(">BBL", 1, 0, 4) + bytes(4),
        struct.pack(">BBL", 1, 0, 200) + bytes(50),
        b"",
    ],
    ids=["http", "zeros", "four-gigabytes", "short", "half", "silent"],
)
def test_whoever_speaks_no_dicom_is_hung_up_on_and_others_are_served(
    node: NodeStarter, gateway: FakeGateway, said: bytes
) -> None:
    running = node(gateway.url, network_timeout_s=2)
    with socket.create_connection(("127.0.0.1", running.dicom_port), timeout=20) as stranger:
        stranger.sendall(said)
        assert running.echo()
        try:
            while stranger.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert running.echo()


def recorded_session(node: Node, file: Path) -> bytes:
    """What storescu says to a node in a whole session, taken down on the way."""
    said = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def relay() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", node.dicom_port)) as server:
                back = threading.Thread(target=copied, args=(server, client, bytearray()))
                back.start()
                copied(client, server, said)
                back.join()

        relaying = threading.Thread(target=relay)
        relaying.start()
        command = [program("storescu"), "-aet", "MODALITY", "-aec", AE_TITLE, "127.0.0.1"]
        subprocess.run([*command, str(port), str(file)], check=True, timeout=60)
        relaying.join()
    return bytes(said)


def copied(source: socket.socket, target: socket.socket, said: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            said += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def test_sessions_with_wrong_bytes_in_them_break_nothing(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, network_timeout_s=2, max_associations=40)
    [file] = written(tmp_path, radiograph(1))
    whole = recorded_session(running, file)
    analysed(running, 1)
    random_ = random.Random(20261128)
    for _ in range(40):
        broken = bytearray(whole)
        for _ in range(random_.randint(1, 8)):
            # Most of a session is pixels; what is said about them comes first.
            place = random_.randrange(min(len(broken), random_.choice((80, 1500, len(broken)))))
            broken[place] = random_.randrange(256)
        del broken[random_.randrange(len(broken) // 2, len(broken) + 1) :]
        with (
            socket.create_connection(("127.0.0.1", running.dicom_port), timeout=20) as sender,
            contextlib.suppress(OSError),
        ):
            sender.sendall(broken)
            sender.shutdown(socket.SHUT_WR)
            while sender.recv(65_536):
                pass
    assert running.echo()
    assert running.process.poll() is None
    assert list((running.spool / "incoming").iterdir()) == []
    # Whatever of it was taken for an instance was kept, or put aside, and is nobody's loop.
    eventually(lambda: running.count("instances", "waiting") == 0, "something waits for ever")


def test_a_sender_that_falls_silent_within_an_object_is_hung_up_on_and_leaves_nothing(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    running = node(gateway.url, network_timeout_s=2)
    [file] = written(tmp_path, radiograph(1))
    whole = recorded_session(running, file)
    analysed(running, 1)
    with socket.create_connection(("127.0.0.1", running.dicom_port), timeout=30) as sender:
        sender.sendall(whole[: len(whole) // 2])
        # Others are served meanwhile.
        assert running.echo()
        with contextlib.suppress(ConnectionResetError):
            while sender.recv(65_536):
                pass
    assert list((running.spool / "incoming").iterdir()) == []
    assert running.counts() == {("instances", "analysed"): 1}


def test_too_many_associations_are_refused(node: NodeStarter, gateway: FakeGateway) -> None:
    from pynetdicom import AE

    running = node(gateway.url, max_associations=2)
    client = AE("MODALITY")
    client.add_requested_context("1.2.840.10008.1.1")
    held = [client.associate("127.0.0.1", running.dicom_port, ae_title=AE_TITLE) for _ in range(3)]
    assert [one.is_established for one in held] == [True, True, False]
    held[0].release()
    eventually(running.echo, "nobody is taken any more")
    held[1].release()


def test_told_to_stop_it_stops_in_order(node: NodeStarter, gateway: FakeGateway) -> None:
    running = node(gateway.url)
    # Its server hands the signal on once it has stopped in order.
    assert running.stop() in (0, -signal.SIGTERM)
    with node(gateway.url).ledger() as ledger:
        assert ledger.counts() == {}


def test_a_second_node_on_the_same_spool_does_not_start(
    node: NodeStarter, gateway: FakeGateway
) -> None:
    running = node(gateway.url)
    with pytest.raises(AssertionError, match="in use by another DICOM node"):
        node(gateway.url)
    assert running.echo()


def test_with_a_certificate_it_speaks_tls_with_known_peers_only(
    node: NodeStarter, gateway: FakeGateway, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "node.pem", tmp_path / "node.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    running = node(gateway.url, tls_certificate=certificate, tls_key=key, tls_ca=certificate)
    [sent_file] = written(tmp_path, radiograph(1))
    assert running.send(sent_file).returncode != 0
    assert running.send(sent_file, options=("--anonymous-tls", "-ic")).returncode != 0
    shown = ("--enable-tls", str(key), str(certificate), "--add-cert-file", str(certificate))
    done = running.send(sent_file, options=shown)
    assert done.returncode == 0, done.stderr
    analysed(running, 1)
