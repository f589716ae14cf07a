"""Takes orders by HL7 v2 over MLLP, and acknowledges them once they are in the ledger."""

import logging
import socket
import socketserver
import ssl
import threading
import time

import hl7

from cxr_dicom.ledger import Ledger
from cxr_dicom.orders import NoOrder, read_orders
from cxr_dicom.peers import Peers
from cxr_dicom.scp import server_tls
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.mllp import field, framed, read_message

_LOG = logging.getLogger("cxr.dicom.orders")
_AUDIT = logging.getLogger("cxr.dicom.audit")
_MAX_CONNECTIONS = 32
# Table 0211. Those of Japan and Korea come with escape sequences, or as their EUC.
_CHARACTER_SETS = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859_{part}" for part in (*range(1, 10), 15)},
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
    "KS X 1001": "euc_kr",
    "ISO IR14": "iso2022_jp_ext",
    "ISO IR87": "iso2022_jp_ext",
    "ISO IR159": "iso2022_jp_ext",
}


class OrderListener:
    """A port on which senders of orders are answered; whoever is not named is hung up on."""

    def __init__(self, settings: DicomSettings, peers: Peers, ledger: Ledger) -> None:
        self._settings = settings
        self._senders = peers.order
        self._ledger = ledger
        self._server: socketserver.ThreadingTCPServer | None = None
        self._tls = server_tls(settings)
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def start(self) -> None:
        """Listen, if there is a port.

        Raises:
            OSError: it is in use.
        """
        if self._settings.hl7_port is None:
            return
        serve = self._serve

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                serve(self.request, str(self.client_address[0]))

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server((self._settings.host, self._settings.hl7_port), Handler)
        threading.Thread(target=self._server.serve_forever, name="orders", daemon=True).start()
        _LOG.info("listening for orders", extra={"port": self._settings.hl7_port})

    def stop(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _serve(self, connection: socket.socket, address: str) -> None:
        if not any(one.comes_from(address) for one in self._senders):
            _audit("order connection refused", "", address, "nobody of this address is known")
            return
        if not self._places.acquire(blocking=False):
            _audit("order connection refused", "", address, "too many connections are open")
            return
        try:
            connection.settimeout(self._settings.network_timeout_s)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            rest = bytearray()
            with connection:
                while (content := read_message(connection, rest)) is not None:
                    connection.sendall(framed(self._answer(content, address)))
        except (OSError, ssl.SSLError, ValueError) as error:
            # What was acknowledged is kept; a sender that hears nothing sends it again.
            _LOG.warning("an order connection ended", extra={"reason": type(error).__name__})
        finally:
            self._places.release()

    def _answer(self, content: bytes, address: str) -> bytes:
        try:
            message = _parsed(content)
        except (hl7.HL7Exception, ValueError, KeyError, IndexError, UnicodeError):
            return _refusal("The message cannot be read.")
        application = field(message, "MSH", 3)
        known = [one for one in self._senders if one.application == application]
        if not any(one.comes_from(address) for one in known):
            _audit("order refused", application, address, "it may not send orders")
            return _acknowledged(message, "AR", "This application may not send orders.")
        try:
            found = read_orders(message, time.time())
        except NoOrder as error:
            return _acknowledged(message, "AE", str(error))
        try:
            self._ledger.note_orders(
                [(order.content(), when) for order, when in found.placed], found.ended
            )
        except Exception:
            _LOG.exception("an order could not be kept")
            return _acknowledged(message, "AR", "The order could not be kept; send it again.")
        return _acknowledged(message, "AA", "")


def _parsed(content: bytes) -> hl7.Message:
    """A message in the character set that it names (MSH-18).

    The last one that it names holds: those before it are what escape sequences return to. Where it
    names none, or ASCII and has more, UTF-8 is read as such, for other text hardly ever is.
    """
    head = content.split(b"\r", 1)[0].decode("latin-1")
    fields = head.split(head[3:4] or "|")
    named = [one.strip().upper() for one in fields[17].split("~")] if len(fields) > 17 else []
    # Some senders end segments with line feeds.
    text = (
        _decoded(content, next(filter(None, reversed(named)), "ASCII"))
        .replace("\r\n", "\r")
        .replace("\n", "\r")
    )
    message = hl7.parse(text)
    if str(message[0][0]) != "MSH":
        raise ValueError("no message header")
    return message


def _decoded(content: bytes, named: str) -> str:
    if named not in _CHARACTER_SETS:
        raise ValueError("an unknown character set")
    if named != "ASCII" or content.isascii():
        return content.decode(_CHARACTER_SETS[named])
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _acknowledged(message: hl7.Message, code: str, text: str) -> bytes:
    """An ACK (HL7 v2.5.1, 2.9.2) to whoever sent the message."""
    sender = [field(message, "MSH", number) for number in (3, 4, 5, 6)]
    control = field(message, "MSH", 10)
    escape = str.maketrans({"|": " ", "^": " ", "~": " ", "\\": " ", "&": " ", "\r": " "})
    application, facility, ours, our_facility = (one.translate(escape) for one in sender)
    now = time.strftime("%Y%m%d%H%M%S")
    trigger = field(message, "MSH", 9, 2).translate(escape)
    version = field(message, "MSH", 12).translate(escape) or "2.5.1"
    return (
        f"MSH|^~\\&|{ours}|{our_facility}|{application}|{facility}|{now}||ACK^{trigger}|"
        f"{control.translate(escape)}|P|{version}\rMSA|{code}|{control.translate(escape)}"
        f"{'|' + text if text else ''}\r"
    ).encode()


def _refusal(text: str) -> bytes:
    now = time.strftime("%Y%m%d%H%M%S")
    return f"MSH|^~\\&|||||{now}||ACK|{now}|P|2.5.1\rMSA|AR||{text}\r".encode()


def _audit(what: str, application: str, address: str, reason: str) -> None:
    _AUDIT.warning(
        what, extra={"application": application[:64], "address": address, "reason": reason}
    )
