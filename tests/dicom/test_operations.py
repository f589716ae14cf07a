"""The operator's page: shown to who has the password, and what failed is tried again from it."""

import re

import httpx

from cxr_dicom.guesses import Guesses
from cxr_dicom.ledger import InstanceState, Ledger, NewInstance
from support.dicom_gateway import FakeGateway
from support.dicom_node import Node, NodeStarter

PASSWORD = "a word of this test"  # pragma: allowlist secret
NOBODY = '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 1\n'
REASON = '<form action="https://elsewhere.example"><script>1</script>'


def with_failures(node: NodeStarter, gateway: FakeGateway) -> Node:
    """A node at whose start one instance and one result have failed."""
    (node.folder / "spool").mkdir(parents=True)
    ledger = Ledger.open(node.folder / "spool" / "ledger.sqlite3")
    ledger.add(NewInstance("1.2.3", "1.2.840.10008.5.1.4.1.1.1", "0" * 64, 10, "CT1", "gone.dcm"))
    [instance] = ledger.due(1)
    ledger.finish(instance, InstanceState.FAILED, reason=REASON)
    ledger.queue("01k6xw3m9v5t8r2q4n7j1h0g6f", "urgent", [("pacs", "sr")])
    [delivery] = ledger.next_deliveries("pacs", 1)
    ledger.give_up(delivery, REASON)
    ledger.close()
    return node(gateway.url, NOBODY, operations_password=PASSWORD)


def page(node: Node, password: str = PASSWORD) -> httpx.Response:
    return node.http.get("/operations", auth=("operator", password))


def test_without_its_password_there_is_nothing(node: NodeStarter, gateway: FakeGateway) -> None:
    running = with_failures(node, gateway)
    for answer in (running.http.get("/operations"), page(running, "another"), page(running, "ä")):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert "1.2.3" not in answer.text
    running.stop()
    closed = node(gateway.url, NOBODY)
    assert page(closed, "").status_code == 404


def test_who_guesses_waits_and_a_right_password_with_him(
    node: NodeStarter, gateway: FakeGateway
) -> None:
    running = with_failures(node, gateway)
    assert page(running).status_code == 200
    assert [page(running, f"guess {n}").status_code for n in range(12)] == [401] * 10 + [429] * 2
    refused = page(running)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "1.2.3" not in refused.text


def test_guesses_are_counted_for_each_address_and_forgotten_in_time() -> None:
    now = [0.0]
    guesses = Guesses(most=2, within_s=60, clock=lambda: now[0])
    for address in ("10.0.0.1", "2001:db8::1", "2001:db8::2"):
        guesses.count(address)
    # Whoever has one address of the sixth version has many.
    waits = [guesses.wait_s(one) for one in ("10.0.0.1", "2001:db8::3", "2001:db8:1::1", "x")]
    assert waits == [0, 60, 0, 0]
    now[0] = 60.0
    assert guesses.wait_s("2001:db8::1") == 0
    guesses.count("10.0.0.1")
    guesses.count("10.0.0.1")
    assert guesses.wait_s("10.0.0.1") == 60
    for number in range(10_000):
        guesses.count(f"10.1.{number // 250}.{number % 250}")
    assert guesses.wait_s("10.0.0.1") == 0


def test_what_failed_is_shown_and_tried_again(node: NodeStarter, gateway: FakeGateway) -> None:
    running = with_failures(node, gateway)
    shown = page(running)
    assert shown.status_code == 200
    assert "1.2.3" in shown.text
    # A reason is another's text.
    assert "<script>" not in shown.text
    assert "elsewhere.example&quot;" in shown.text
    assert "script-src" not in shown.headers["Content-Security-Policy"]
    [token] = set(re.findall(r'name="token" value="([^"]+)"', shown.text))

    def press(action: str, **form: str) -> httpx.Response:
        return running.http.post(f"/operations/{action}", data=form, auth=("x", PASSWORD))

    assert press("resend", number="all").status_code == 403
    assert press("resend", number="all", token="of another page").status_code == 403
    assert press("resend", number="first", token=token).status_code == 422
    assert press("resend", number="99", token=token).status_code == 303
    assert running.count("deliveries", "failed") == 1
    assert press("resend", number="1", token=token).headers["Location"] == "/operations"
    assert running.count("deliveries", "failed") == 0
    assert press("retry", number="all", token=token).status_code == 303
    assert running.count("instances", "waiting") + running.count("instances", "failed") == 1
