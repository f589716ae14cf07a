"""Anchors and entries on their way to a place that the gateway's machine cannot change.

A file of JSON lines, a syslog server (RFC 5424; over TCP and TLS with octet counting, RFC 6587 and
5425), or, for anchors, objects in a bucket that nobody can remove before their time.
"""

import json
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from cxr_gateway.archive.audit_entries import Anchor, Entry, read_time
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import Unavailable

_TIMEOUT_S = 5.0
_PORTS = {"syslog+udp": 514, "syslog+tcp": 601, "syslog+tls": 6514}
# Facility 13, log audit; severity 6, informational.
_PRIORITY = 13 * 8 + 6
_LOCK_DAYS = 3650


@dataclass(frozen=True)
class Message:
    """Something that is shipped.

    Attributes:
        kind: `anchor` or `entry`.
        seq: the number of the entry that it is, or that it is an anchor of.
        at: the time of that entry.
        text: a JSON object, without a line break.
    """

    kind: str
    seq: int
    at: str
    text: str


Send = Callable[[Sequence[Message]], None]


def as_json_line(entry: Entry) -> str:
    """An entry with all that its hash is made of, and a line break."""
    return json.dumps(asdict(entry), separators=(",", ":")) + "\n"


def entry_message(entry: Entry) -> Message:
    """An entry as it is shipped."""
    return Message("entry", entry.seq, entry.at, as_json_line(entry).rstrip("\n"))


def anchor_message(anchor: Anchor) -> Message:
    """An anchor as it is shipped; it must have its time."""
    at = anchor.at or ""
    content = {"seq": anchor.seq, "hash": anchor.hash, "at": at}
    return Message("anchor", anchor.seq, at, json.dumps(content, separators=(",", ":")))


def anchor_of(line: str) -> Anchor:
    """The anchor of a shipped line, or of one that `audit anchor` printed.

    Raises:
        ValueError: the line is neither.
    """
    if not line.startswith("{"):
        return Anchor.parse(line.strip())
    content = json.loads(line)
    try:
        return Anchor.parse(f"{content['seq']}:{content['hash']}@{content['at']}")
    except (KeyError, TypeError) as error:
        raise ValueError(f"{line!r} is no anchor") from error


def sender(target: str, settings: GatewaySettings) -> Send:
    """What sends to `target`, an address of the settings.

    The sender raises Unavailable where the messages may not have come.
    """
    parts = urlsplit(target)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        return lambda messages: _guarded(parts, lambda: _append(path, messages))
    if parts.scheme == "s3":
        return lambda messages: _put(parts, settings, messages)
    return lambda messages: _guarded(parts, lambda: _to_syslog(parts, messages))


def _guarded(parts: SplitResult, work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:
        where = parts.hostname or parts.path
        raise Unavailable(
            f"The audit log was not shipped to {parts.scheme} {where}: {error.strerror or error}."
        ) from error


def _append(path: Path, messages: Sequence[Message]) -> None:
    """On disk when this returns: what is shipped is needed after a crash."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as file:
        file.write("".join(f"{message.text}\n" for message in messages).encode())
        os.fsync(file.fileno())


def syslog_message(message: Message, host: str, process: int) -> bytes:
    """RFC 5424, UTF-8 without a byte order mark, for the content is ASCII."""
    at = message.at or datetime.now(UTC).isoformat(timespec="microseconds")
    head = f"<{_PRIORITY}>1 {at} {host} cxr-gateway {process} audit-{message.kind} -"
    return f"{head} {message.text}".encode()


def _to_syslog(parts: SplitResult, messages: Sequence[Message]) -> None:
    host = parts.hostname or "localhost"
    address = (host, parts.port or _PORTS[parts.scheme])
    own = socket.gethostname()[:255] or "-"
    encoded = [syslog_message(message, own, os.getpid()) for message in messages]
    if parts.scheme == "syslog+udp":
        family, kind, protocol, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as datagrams:
            for content in encoded:
                datagrams.sendto(content, resolved)
        return
    with closing(_connected(parts.scheme, host, address)) as stream:
        stream.sendall(b"".join(b"%d %b" % (len(content), content) for content in encoded))


def _connected(scheme: str, host: str, address: tuple[str, int]) -> socket.socket:
    stream = socket.create_connection(address, timeout=_TIMEOUT_S)
    if scheme != "syslog+tls":
        return stream
    try:
        return ssl.create_default_context().wrap_socket(stream, server_hostname=host)
    except BaseException:
        stream.close()
        raise


def _put(parts: SplitResult, settings: GatewaySettings, messages: Sequence[Message]) -> None:
    # Its client is large; whoever ships elsewhere does without.
    from cxr_gateway.archive.s3 import put_locked

    days = int(parse_qs(parts.query).get("days", [str(_LOCK_DAYS)])[0])
    prefix = parts.path.strip("/")
    for message in messages:
        key = f"{message.seq:018d}-{message.at}.json"
        put_locked(
            settings,
            parts.hostname or "",
            f"{prefix}/{key}" if prefix else key,
            message.text.encode(),
            read_time(message.at) + timedelta(days=days),
        )
