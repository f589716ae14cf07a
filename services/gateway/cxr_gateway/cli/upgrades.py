"""HTTP/1.1 without upgrades: a request that offers another protocol is answered in this one.

Java's own client offers HTTP/2 with every first request (`Upgrade: h2c`). A server may ignore that
(RFC 9110, 7.8), yet httptools stops reading there and takes the body for the other protocol's.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NoUpgrades(HttpToolsProtocol):
    """uvicorn's protocol; what it has read of such a request is read again without the offer."""

    _held = False  # between the head of such a request and its second reading

    def data_received(self, data: bytes) -> None:
        """As uvicorn does, request after request."""
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._read(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")

    def on_headers_complete(self) -> None:
        """The request begins, unless it is to be read again."""
        offers = any(name == b"upgrade" for name, _ in self.headers)
        self._held = offers and self.parser.should_upgrade()
        if not self._held:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has come to its end, unless it is to be read again."""
        if not self._held:
            super().on_message_complete()

    def _read(self, data: bytes) -> bytes:
        """Hand bytes to the parser; what is to be handed to it next."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            if not self._held:  # CONNECT: the app has refused it
                return b""
            self._held = False
            rest = data[stopped.args[0] :]
            head = self._head_without_offer()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + rest
        return b""

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % one for one in self.headers if one[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
