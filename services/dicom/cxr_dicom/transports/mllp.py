"""By HL7 v2 over MLLP, and the framing that the listener for orders shares."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import hl7

from cxr_dicom.ledger import Delivery
from cxr_dicom.peers import Hl7Destination
from cxr_dicom.scp import client_tls
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.results import STUDIES, Request
from cxr_dicom.transports.transport import (
    Channel,
    NotTaken,
    Refused,
    Taken,
    Transport,
    Unreachable,
)

_START, _END = b"\x0b", b"\x1c\r"
_MAX_MESSAGE_BYTES = 1 << 20
_MAX_TEXT = 200


def framed(message: bytes) -> bytes:
    """A message as MLLP sends it."""
    return _START + message + _END


def read_message(connection: socket.socket, rest: bytearray) -> bytes | None:
    """The next message of a connection; None at its end.

    Args:
        connection: with a timeout.
        rest: what came with the message before; is changed.

    Raises:
        OSError: the peer fell silent or broke off within a message.
        ValueError: what comes is no MLLP, or too long.
    """
    while True:
        end = rest.find(_END)
        if end >= 0:
            content = bytes(rest[:end])
            del rest[: end + len(_END)]
            if content[:1] != _START:
                raise ValueError("a message does not begin as MLLP says")
            return content[1:]
        if len(rest) > _MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of more than {_MAX_MESSAGE_BYTES} bytes")
        if rest and rest[:1] != _START:
            raise ValueError("this is no MLLP")
        piece = connection.recv(65_536)
        if not piece:
            if rest:
                raise ConnectionError("the peer broke off within a message")
            return None
        rest += piece


class MllpTransport(Transport):
    """To an HL7 v2 system."""

    def __init__(self, settings: DicomSettings, to: Hl7Destination) -> None:
        self._settings = settings
        self._to = to

    def request(self, delivery: Delivery) -> Request:
        """See `Transport`."""
        query = {"application": self._to.application, "facility": self._to.facility}
        return f"{STUDIES}/{delivery.study_id}/{delivery.object}.hl7", query, {}

    @contextmanager
    def open(self) -> Iterator["MllpChannel"]:
        """One connection."""
        to = self._to
        try:
            connection: socket.socket = socket.create_connection((to.host, to.port), timeout=10.0)
            if to.tls:
                context = client_tls(self._settings)
                connection = context.wrap_socket(connection, server_hostname=to.host)
        except OSError as error:
            raise Unreachable("The destination cannot be reached.") from error
        with connection:
            connection.settimeout(self._settings.network_timeout_s)
            yield MllpChannel(connection)


class MllpChannel(Channel):
    """A connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = bytearray()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """See `Channel`."""
        return self._is_open

    def send(self, content: bytes) -> Taken:
        """Send a message, and wait for its acknowledgement (HL7 v2.5.1, 2.9.2)."""
        control_id = field(hl7.parse(content.decode()), "MSH", 10)
        try:
            self._connection.sendall(framed(content))
            answer = read_message(self._connection, self._rest)
        except (OSError, ValueError) as error:
            self._is_open = False
            raise NotTaken(f"The destination did not acknowledge: {error}.") from error
        if answer is None:
            self._is_open = False
            raise NotTaken("The destination hung up without an acknowledgement.")
        try:
            acknowledged = hl7.parse(answer.decode(errors="replace"))
            code, told = field(acknowledged, "MSA", 1), field(acknowledged, "MSA", 3)
            of = field(acknowledged, "MSA", 2)
        except (hl7.HL7Exception, ValueError, KeyError, IndexError) as error:
            self._is_open = False
            raise NotTaken("The destination's answer is no acknowledgement.") from error
        if of != control_id:
            self._is_open = False
            raise NotTaken("The destination acknowledged another message.")
        if code in ("AA", "CA"):
            return Taken("", control_id)
        said = f"{code} {told}".strip()[:_MAX_TEXT]
        # AR is of the system's state, AE of what the message says.
        if code in ("AR", "CR"):
            raise NotTaken(f"The destination answered {said}.")
        raise Refused(f"The destination refused it: {said}.")


def field(message: hl7.Message, segment: str, number: int, component: int = 1) -> str:
    """A component of a field's first repetition, unescaped; empty where it is not there."""
    try:
        found = message.extract_field(segment, 1, number, 1, component, 1)
    except (KeyError, IndexError):
        return ""
    return str(found or "").strip()
