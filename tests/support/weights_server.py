"""A small web server on this machine that has weights, as a release page or a model hub would."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def serving(files: dict[str, Path], *, cut_short: bool = False) -> Iterator[str]:
    """The address of a server with `files` by path; with `cut_short` it breaks off half-way."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._respond()

        def do_GET(self) -> None:
            content = self._respond()
            self.wfile.write(content[: len(content) // 2] if cut_short else content)

        def _respond(self) -> bytes:
            path = files.get(self.path)
            content = path.read_bytes() if path else b""
            self.send_response(200 if path else 404)
            if path is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(content)))
            # What the hub's client asks for beside the content.
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            return content

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
