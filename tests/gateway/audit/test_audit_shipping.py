"""Anchors and entries that are shipped: to a file, to a syslog server, into a locked bucket."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive import open_archive
from cxr_gateway.archive.audit_entries import Anchor, Entry
from cxr_gateway.audit import by_the_machine
from cxr_gateway.audit.shipping import Message, anchor_of, sender
from cxr_gateway.audit.watching import AuditShipper
from cxr_gateway.core.metrics import AuditMetrics
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import Unavailable
from support.archives import commanded
from support.fake_gateway import settings_for
from support.s3_server import S3Server, free_port

MESSAGES = [
    Message("entry", 1, "2026-11-28T10:00:00.000001Z", '{"seq":1}'),
    Message("anchor", 2, "2026-11-28T10:00:01.000001Z", '{"seq":2}'),
]


@contextmanager
def syslog_server(
    kind: socket.SocketKind,
    wrap: Callable[[socket.socket], socket.socket | None] = lambda one: one,
) -> Iterator[tuple[int, list[bytes]]]:
    """A port of loopback, and what has come to it."""
    received: list[bytes] = []
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(20)
        if kind == socket.SOCK_STREAM:
            listener.listen()

        def listen() -> None:
            if kind == socket.SOCK_DGRAM:
                received.extend(listener.recv(65536) for _ in MESSAGES)
                return
            accepted, _ = listener.accept()
            if (stream := wrap(accepted)) is None:
                return
            with stream:
                while content := stream.recv(65536):
                    received.append(content)

        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1], received
        thread.join(20)


EXPECTED = [
    (f"<110>1 {message.at} {socket.gethostname()} cxr-gateway ", message.kind, message.text)
    for message in MESSAGES
]


def check(found: bytes, expected: tuple[str, str, str]) -> None:
    """A message of RFC 5424: header, no structured data, the text."""
    head, kind, text = expected
    assert found.decode().startswith(head)
    assert found.decode().endswith(f" audit-{kind} - {text}")


def frames(stream: bytes) -> list[bytes]:
    """What octet counting (RFC 6587) says the messages are."""
    found = []
    while stream:
        size, _, rest = stream.partition(b" ")
        found.append(rest[: int(size)])
        stream = rest[int(size) :]
    return found


def test_over_udp_each_message_is_a_datagram(tmp_path: Path) -> None:
    with syslog_server(socket.SOCK_DGRAM) as (port, received):
        sender(f"syslog+udp://127.0.0.1:{port}", settings_for(tmp_path))(MESSAGES)
    for found, expected in zip(received, EXPECTED, strict=True):
        check(found, expected)


def test_over_tcp_octets_are_counted(tmp_path: Path) -> None:
    with syslog_server(socket.SOCK_STREAM) as (port, received):
        sender(f"syslog+tcp://127.0.0.1:{port}", settings_for(tmp_path))(MESSAGES)
    for found, expected in zip(frames(b"".join(received)), EXPECTED, strict=True):
        check(found, expected)


def test_over_tls_the_server_has_to_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def wrap(one: socket.socket) -> socket.socket | None:
        try:
            return context.wrap_socket(one, server_side=True)
        except OSError:
            return None  # hung up on, by whoever does not know this server

    with syslog_server(socket.SOCK_STREAM, wrap) as (port, received):
        with pytest.raises(Unavailable, match="was not shipped"):
            sender(f"syslog+tls://localhost:{port}", settings_for(tmp_path))(MESSAGES)
        received.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with syslog_server(socket.SOCK_STREAM, wrap) as (port, received):
        sender(f"syslog+tls://localhost:{port}", settings_for(tmp_path))(MESSAGES)
    for found, expected in zip(frames(b"".join(received)), EXPECTED, strict=True):
        check(found, expected)


@pytest.mark.parametrize("target", ["file:///nowhere/at/all", "syslog+tcp://127.0.0.1:1"])
def test_a_place_that_is_not_reached_is_named(tmp_path: Path, target: str) -> None:
    with pytest.raises(Unavailable, match="was not shipped to"):
        sender(target, settings_for(tmp_path))(MESSAGES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audit_anchors_to", "ftp://there"),
        ("audit_anchors_to", "file:"),
        ("audit_entries_to", "s3://bucket/prefix"),
    ],
)
def test_a_place_that_is_none_is_refused_at_the_start(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ValueError, match=r"no place to ship to|shipped to a file"):
        settings_for(tmp_path, **{name: value})


def note(settings: GatewaySettings, *names: str) -> None:
    for name in names:
        chain.record(settings, by_the_machine(name))


async def shipped(settings: GatewaySettings, times: int = 1) -> AuditMetrics:
    """What a gateway ships in so many rounds."""
    metrics = AuditMetrics.unseen()
    async with open_archive(settings) as archive:
        shipper = AuditShipper(archive, settings, metrics)
        for _ in range(times):
            await shipper.ship()
    return metrics


def failures(metrics: AuditMetrics, kind: str) -> float:
    """How often a place was not reached."""
    [family] = metrics.ship_failures.collect()
    return sum(
        sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels == {"kind": kind}
    )


async def test_entries_are_shipped_once_each_by_however_many_gateways(
    tmp_path: Path, database_url: str | None
) -> None:
    target = tmp_path / "entries.jsonl"
    settings = settings_for(tmp_path / "archive", database_url, audit_entries_to=f"file://{target}")
    async with open_archive(settings):
        pass
    note(settings, "one", "two")
    await shipped(settings, times=2)
    note(settings, "three")
    await shipped(settings)
    entries = [Entry(**json.loads(line)) for line in target.read_text().splitlines()]
    assert [entry.action for entry in entries] == ["one", "two", "three"]
    assert all(entry.hash == entry.true_hash() for entry in entries)


async def test_anchors_are_shipped_as_the_log_goes_on_and_the_log_is_held_to_them(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "anchors.jsonl"
    settings = settings_for(tmp_path / "archive", database_url, audit_anchors_to=f"file://{target}")
    async with open_archive(settings):
        pass
    for name in ("one", "two"):
        note(settings, name)
        await shipped(settings, times=2)
    anchors = [anchor_of(line) for line in target.read_text().splitlines()]
    assert [anchor.seq for anchor in anchors] == [1, 2]
    assert commanded(settings, "audit", "verify", "--anchors", str(target)) == 0
    forged = Anchor(2, "0" * 64, anchors[1].at)
    target.write_text(f"{forged.dated}\n")
    assert commanded(settings, "audit", "verify", "--anchors", str(target)) == 1
    assert "Entry 2 is another" in capsys.readouterr().err
    target.write_text("not an anchor\n")
    assert commanded(settings, "audit", "verify", "--anchors", str(target)) == 1


async def test_a_place_that_is_away_is_caught_up_with(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    settings = settings_for(tmp_path / "archive", audit_entries_to=f"file://{folder}/entries.jsonl")
    async with open_archive(settings):
        pass
    note(settings, "one", "two")
    metrics = await shipped(settings)
    assert failures(metrics, "entries") == 1
    folder.mkdir()
    await shipped(settings)
    assert len((folder / "entries.jsonl").read_text().splitlines()) == 2


async def test_an_anchor_in_a_locked_bucket_can_be_removed_by_nobody(tmp_path: Path) -> None:
    server = S3Server(free_port())
    try:
        server.start()
        client = server.client()
        client.create_bucket(Bucket="anchors", ObjectLockEnabledForBucket=True)
        settings = settings_for(
            tmp_path / "archive",
            **{**server.settings(), "storage": "folder"},
            audit_anchors_to="s3://anchors/of-this-archive?days=30",
        )
        async with open_archive(settings):
            pass
        note(settings, "one")
        metrics = await shipped(settings)
        assert failures(metrics, "anchors") == 0
        [found] = client.list_object_versions(Bucket="anchors")["Versions"]
        lock = client.head_object(Bucket="anchors", Key=found["Key"])
        assert lock["ObjectLockMode"] == "COMPLIANCE"
        assert lock["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
        with pytest.raises(ClientError):
            client.delete_object(Bucket="anchors", Key=found["Key"], VersionId=found["VersionId"])
        content = client.get_object(Bucket="anchors", Key=found["Key"])["Body"].read()
        anchor = anchor_of(content.decode())
        assert commanded(settings, "audit", "verify", "--anchor", anchor.dated) == 0
    finally:
        server.stop()
