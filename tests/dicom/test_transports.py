"""Results to destinations over HTTP and HL7, and radiographs under pseudonyms to an AE."""

from pathlib import Path

import pytest
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from cxr_dicom.ledger import DeliveryState
from cxr_dicom.peers import PeersError, read_peers
from support.dicom_gateway import FakeGateway
from support.dicom_images import dicom_bytes, dicom_dataset
from support.dicom_node import Node, NodeStarter, radiograph
from support.images import radiograph_like
from support.pacs import TITLE, Archive, archive
from support.result_receivers import Hl7Receiver, WebReceiver, hl7_system, web
from support.waiting import eventually

__all__ = ["archive", "hl7_system", "web"]
slow = pytest.mark.slow

SENDER = '[[sender]]\nae_title = "MODALITY"\n'
ORU = (
    b"MSH|^~\\&|CXR||RIS||20260102||ORU^R01^ORU_R01|C0FFEE|P|2.5.1||||||UNICODE UTF-8\r"
    b"PID|1||4711||M\xc3\xbcller\r"
)


def result(uid: str, sop_class: str) -> bytes:
    """Something to deliver; what it says does not matter here."""
    ds = dicom_dataset(radiograph_like(40, 30), SOPInstanceUID=uid, SOPClassUID=sop_class)
    return dicom_bytes(ds)


def sent(node: Node, folder: Path, number: int = 1) -> None:
    path = folder / f"{number}.dcm"
    path.write_bytes(radiograph(number))
    assert node.send(path).returncode == 0


def becomes(node: Node, state: str, count: int) -> None:
    eventually(
        lambda: node.count("deliveries", state) == count, f"{node.counts()}: not {count} {state}"
    )


def reasons(node: Node) -> list[str | None]:
    with node.ledger() as ledger:
        return [row[-1] for row in ledger.deliveries_in(DeliveryState.FAILED)]


def dicomweb(web: WebReceiver, more: str = "") -> str:
    return f"""{SENDER}
[[destination]]
name = "web"
protocol = "dicomweb"
url = "{web.url}/dicom-web"
objects = ["sr", "secondary-capture"]
{more}
"""


@pytest.fixture
def objects(gateway: FakeGateway) -> None:
    gateway.exports = {
        "structured-report/findings.dcm": result("1.2.3.1", ComprehensiveSRStorage),
        "secondary-capture.dcm": result("1.2.3.3", SecondaryCaptureImageStorage),
        "oru.hl7": ORU,
        "$everything": b'{"resourceType": "Bundle", "type": "transaction"}',
    }


@slow
@pytest.mark.usefixtures("objects")
def test_results_are_stored_over_the_web_and_confirmed_by_a_search(
    node: NodeStarter, gateway: FakeGateway, web: WebReceiver, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret\n")
    web.answers = [(503, {}), (409, {"00081198": {"Value": [{"00081197": {"Value": [0xA700]}}]}})]
    more = f'confirm = "query"\ntoken_file = "{tmp_path / "token"}"'
    running = node(gateway.url, dicomweb(web, more))
    sent(running, tmp_path)
    becomes(running, "confirmed", 2)
    assert sorted(one.SOPInstanceUID for one in web.stored) == ["1.2.3.1", "1.2.3.3"]
    assert set(web.tokens) == {"Bearer secret"}
    assert running.command("echo", "web").returncode == 0


@slow
@pytest.mark.usefixtures("objects")
def test_what_a_search_does_not_find_is_sent_again(
    node: NodeStarter, gateway: FakeGateway, web: WebReceiver, tmp_path: Path
) -> None:
    web.forgets = True
    running = node(gateway.url, dicomweb(web, 'confirm = "query"'), confirm_after_s=0.2)
    sent(running, tmp_path)
    eventually(lambda: len(web.stored) >= 4, "it was not sent again")
    web.forgets = False
    becomes(running, "confirmed", 2)


@slow
@pytest.mark.usefixtures("objects")
def test_what_a_web_service_refuses_is_a_dead_letter_with_its_reason(
    node: NodeStarter, gateway: FakeGateway, web: WebReceiver, tmp_path: Path
) -> None:
    failed = {"00081198": {"Value": [{"00081197": {"Value": [0xC000]}}]}}
    web.answers = [(409, failed), (413, {})]
    running = node(gateway.url, dicomweb(web))
    sent(running, tmp_path)
    becomes(running, "failed", 2)
    assert sorted(map(str, reasons(running))) == [
        "The destination answered 413.",
        "The destination refused it: 0xC000.",
    ]
    assert running.command("resend", "--all").returncode == 0
    becomes(running, "sent", 2)


@slow
@pytest.mark.usefixtures("objects")
def test_a_message_goes_to_an_hl7_system_until_it_is_accepted(
    node: NodeStarter, gateway: FakeGateway, hl7_system: Hl7Receiver, tmp_path: Path
) -> None:
    peers = f"""{SENDER}
[[destination]]
name = "ris"
protocol = "hl7"
host = "127.0.0.1"
port = {hl7_system.port}
application = "RIS"
"""
    hl7_system.codes = ["AR"]
    running = node(gateway.url, peers)
    sent(running, tmp_path)
    becomes(running, "sent", 1)
    assert hl7_system.messages == [ORU.decode()]
    assert gateway.asked[-1].endswith("/oru.hl7?application=RIS&facility=")
    hl7_system.codes = ["AE"]
    sent(running, tmp_path, 2)
    becomes(running, "failed", 1)
    assert reasons(running) == ["The destination refused it: AE told."]
    assert running.command("echo", "ris").stdout == "ris takes connections.\n"


@slow
@pytest.mark.usefixtures("objects")
def test_a_transaction_goes_to_a_fhir_server_and_is_confirmed_by_its_answer(
    node: NodeStarter, gateway: FakeGateway, web: WebReceiver, tmp_path: Path
) -> None:
    peers = f"""{SENDER}
[[destination]]
name = "record"
protocol = "fhir"
version = "5.0"
url = "{web.url}/fhir"
priorities = ["routine"]
"""
    outcome = {"issue": [{"diagnostics": "No such patient."}]}
    web.answers = [(500, {}), (422, outcome)]
    running = node(gateway.url, peers)
    sent(running, tmp_path)
    becomes(running, "failed", 1)
    assert reasons(running) == ["The destination answered 422: No such patient.."]
    assert running.command("resend", "--all").returncode == 0
    becomes(running, "confirmed", 1)
    assert web.bundles == [{"resourceType": "Bundle", "type": "transaction"}]
    assert web.media_types[-1] == "application/fhir+json; fhirVersion=5.0"
    assert gateway.accepted[-1] == "application/fhir+json; fhirVersion=5.0"
    assert gateway.asked[-1].endswith("$everything?form=transaction")


@slow
def test_a_radiograph_under_pseudonyms_goes_to_the_destination_of_its_own(
    node: NodeStarter, gateway: FakeGateway, archive: Archive, tmp_path: Path
) -> None:
    gateway.exports = {"deidentified": radiograph(7, PatientID="ANON", PatientName="")}
    peers = f"""{SENDER}
[[destination]]
name = "research"
ae_title = "{TITLE}"
host = "127.0.0.1"
port = {archive.port}
objects = ["deidentified"]
no_text_in_images = true
"""
    running = node(gateway.url, peers)
    sent(running, tmp_path)
    becomes(running, "sent", 1)
    assert [one.PatientID for one in archive.stored] == ["ANON"]
    assert gateway.asked[-1].endswith("/deidentified?pixels_reviewed=true")


def test_nothing_that_names_a_patient_goes_beside_a_pseudonym(tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    entry = '[[destination]]\nname = "r"\nae_title = "A"\nhost = "h"\nport = 1\n'
    path.write_text(f'{entry}objects = ["deidentified", "sr"]\n')
    with pytest.raises(PeersError, match="names the patient"):
        read_peers(path)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('protocol = "telepathy"', "destination.0"),
        ('protocol = "dicomweb"\nurl = "https://x.example/dicom-web/"', "url"),
        ('protocol = "fhir"\nurl = "https://x.example"\nconfirm = "query"', "confirm"),
        ('ae_title = "A"\nhost = "h"\nport = 1\nobjects = []', "objects"),
    ],
)
def test_a_file_of_peers_that_says_something_else_is_refused(
    entry: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(f'[[destination]]\nname = "x"\n{entry}\n')
    with pytest.raises(PeersError, match=said):
        read_peers(path)
