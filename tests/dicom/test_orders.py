"""Orders in by HL7 v2, and what a radiograph gets from its order."""

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pydicom
import pytest
from pydicom.dataset import Dataset

from support.dicom_gateway import FakeGateway
from support.dicom_node import Node, NodeStarter, radiograph
from support.waiting import eventually, free_port

pytestmark = pytest.mark.slow
PEERS = """
[[sender]]
ae_title = "MODALITY"
[[order]]
application = "RIS"
address = "127.0.0.0/8"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 9
"""
ACCESSION = "ACC-7"


def order(
    *,
    kind: str = "ORM^O01",
    control: str = "NW",
    accession: str = ACCESSION,
    patient: str = "4711",
    name: str = "Müller^Zoë",
    when: str = "20260102101500",
    priority: str = "S",
    application: str = "RIS",
) -> str:
    """A message with one order of a chest radiograph."""
    return (
        f"MSH|^~\\&|{application}|HOSP|CXR||20260102100000||{kind}|M1|P|2.5.1||||||UNICODE UTF-8\r"
        f"PID|1||{patient}^^^HOSP^MR||{name}||19500203|F\r"
        f"ORC|{control}|P1|||||^^^{when}^^{priority}\r"
        f"OBR|1|P1||399208008^Plain chest X-ray^SCT{'|' * 14}{accession}\r"
    )


class Ris:
    """A connection that sends orders."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, message: str, encoding: str = "utf-8") -> str:
        """What it is answered, from MSA on."""
        self._socket.sendall(b"\x0b" + message.encode(encoding) + b"\x1c\r")
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            piece = self._socket.recv(65_536)
            if not piece:
                return "hung up"
            answer += piece
        return answer.decode().partition("MSA|")[2].strip("\r\x1c")


@pytest.fixture
def orders(node: NodeStarter, gateway: FakeGateway) -> Iterator[tuple[Node, Ris]]:
    port = free_port()
    running = node(gateway.url, PEERS, hl7_port=port)
    with Ris(port) as ris:
        yield running, ris


def arrived(node: Node, gateway: FakeGateway, folder: Path, **tags: Any) -> Dataset:
    """What the gateway gets of a radiograph with these tags."""
    given: dict[str, Any] = {"StudyDate": "20260102", "StudyTime": "103000"}
    path = folder / "one.dcm"
    path.write_bytes(radiograph(1, **(given | tags)))
    assert node.send(path).returncode == 0
    eventually(lambda: node.count("instances", "analysed") == 1, "it was not analysed")
    return pydicom.dcmread(BytesIO(gateway.received[-1]))


def urgencies(node: Node) -> set[int]:
    with node.ledger() as ledger:
        rows = ledger._connection.execute("SELECT urgency FROM deliveries").fetchall()
    return {urgency for (urgency,) in rows}


NOBODY = {"PatientID": "", "PatientName": "", "AccessionNumber": ACCESSION}


def test_a_radiograph_that_names_nobody_is_its_orders_by_accession(
    orders: tuple[Node, Ris], gateway: FakeGateway, tmp_path: Path
) -> None:
    node, ris = orders
    assert ris.send(order()) == "AA|M1"
    ds = arrived(node, gateway, tmp_path, **NOBODY)
    assert (ds.PatientID, str(ds.PatientName), ds.PatientSex) == ("4711", "Müller^Zoë", "F")
    assert (ds.PatientBirthDate, ds.IssuerOfPatientID) == ("19500203", "HOSP")
    [changed] = ds.OriginalAttributesSequence
    assert changed.ReasonForTheAttributeModification == "COERCE"
    assert changed.ModifiedAttributesSequence[0].PatientID in ("", None)
    # The study is routine, its order is not.
    assert urgencies(node) == {0}
    source = pydicom.dcmread(tmp_path / "one.dcm")
    assert ds.PixelData == source.PixelData
    assert ds.SOPInstanceUID == source.SOPInstanceUID


def test_a_radiograph_without_accession_gets_it_by_patient_and_time(
    orders: tuple[Node, Ris], gateway: FakeGateway, tmp_path: Path
) -> None:
    node, ris = orders
    assert ris.send(order(kind="OMI^O23", priority="R")) == "AA|M1"
    assert ris.send(order(accession="OLD", when="20251201101500")) == "AA|M1"
    ds = arrived(
        node, gateway, tmp_path, PatientID="4711", PatientName="MULLER^ZOE", AccessionNumber=""
    )
    assert ds.AccessionNumber == ACCESSION
    # What the radiograph says itself stays.
    assert str(ds.PatientName) == "MULLER^ZOE"
    assert urgencies(node) == {2}


@pytest.mark.parametrize(
    ("named", "encoding", "name"),
    [
        ("", "utf-8", "Müller^Zoë"),
        ("", "latin-1", "Müller^Zoë"),
        ("8859/5", "iso8859_5", "Люкс^Пётр"),
        ("GB 18030-2000", "gb18030", "王^小东"),
        ("KS X 1001", "euc_kr", "김^희중"),
        ("ASCII~ISO IR87", "iso2022_jp", "山田^太郎"),
    ],
)
def test_a_name_is_read_in_the_character_set_of_its_message(
    *,
    named: str,
    encoding: str,
    name: str,
    orders: tuple[Node, Ris],
    gateway: FakeGateway,
    tmp_path: Path,
) -> None:
    node, ris = orders
    message = order(name=name).replace("UNICODE UTF-8", named)
    assert ris.send(message, encoding) == "AA|M1"
    assert str(arrived(node, gateway, tmp_path, **NOBODY).PatientName) == name


@pytest.mark.parametrize(
    ("placed", "tags"),
    [
        ([{}, {"accession": "ACC-8"}], {"PatientID": "4711", "AccessionNumber": ""}),
        ([{"when": "20260103235900"}], {"PatientID": "4711", "AccessionNumber": ""}),
        ([{}], {"PatientID": "", "PatientName": "Other^Body", "AccessionNumber": ACCESSION}),
        ([{}], {"PatientID": "", "PatientBirthDate": "19510101", "AccessionNumber": ACCESSION}),
        ([{"patient": "0815"}], {"PatientID": "4711", "AccessionNumber": ACCESSION}),
        ([{}], {"PatientID": "", "PatientName": "", "AccessionNumber": ""}),
        ([{}, {"control": "CA"}], NOBODY),
        ([], NOBODY),
    ],
    ids=[
        "two-orders", "another-day", "another-name", "another-birthday", "another-patient",
        "nothing-to-go-by", "cancelled", "no-order",
    ],
)  # fmt: skip
def test_on_doubt_a_radiograph_stays_as_it_is(
    orders: tuple[Node, Ris],
    gateway: FakeGateway,
    tmp_path: Path,
    placed: list[dict[str, str]],
    tags: dict[str, Any],
) -> None:
    node, ris = orders
    for one in placed:
        assert ris.send(order(**one)) == "AA|M1"
    ds = arrived(node, gateway, tmp_path, **({"PatientName": "Müller^Zoë"} | tags))
    assert ds == pydicom.dcmread(tmp_path / "one.dcm")


def test_nobody_else_may_send_orders_and_nothing_else_is_taken(
    orders: tuple[Node, Ris], gateway: FakeGateway, tmp_path: Path
) -> None:
    node, ris = orders
    assert ris.send(order(application="OTHER")).startswith("AR|M1|")
    assert ris.send(order(kind="ADT^A01")).startswith("AE|M1|")
    assert ris.send(order(patient="")).startswith("AE|M1|")
    assert ris.send(order(accession="")).startswith("AE|M1|")
    assert ris.send("nonsense").startswith("AR|")
    assert ris.send(order().replace("UNICODE UTF-8", "KLINGON")).startswith("AR|")
    assert ris.send(order()) == "AA|M1"
    audited = [line for line in node.logged() if line["logger"] == "cxr.dicom.audit"]
    assert [line["application"] for line in audited] == ["OTHER"]
    assert "4711" not in node.log.read_text()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x0bMSH|", bytes(2 << 20)])
def test_whoever_speaks_no_mllp_is_hung_up_on_and_others_are_served(
    node: NodeStarter, gateway: FakeGateway, said: bytes
) -> None:
    port = free_port()
    node(gateway.url, PEERS, hl7_port=port, network_timeout_s=1)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as other:
        try:
            other.sendall(said)
            while other.recv(65_536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
    with Ris(port) as ris:
        assert ris.send(order()) == "AA|M1"


def test_an_order_outlives_a_kill(node: NodeStarter, gateway: FakeGateway, tmp_path: Path) -> None:
    port = free_port()
    first = node(gateway.url, PEERS, hl7_port=port)
    with Ris(port) as ris:
        assert ris.send(order()) == "AA|M1"
    first.kill()
    again = node(gateway.url, PEERS, hl7_port=port)
    assert arrived(again, gateway, tmp_path, **NOBODY).PatientID == "4711"
