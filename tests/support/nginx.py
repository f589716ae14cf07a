"""The reverse proxy as it is configured, run by a real nginx."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.compose_stack import ROOT
from support.waiting import eventually, free_port

NGINX = os.environ.get("CXR_NGINX") or shutil.which("nginx")
TEMPLATE = ROOT / "deploy/nginx/reverse-proxy.conf.template"
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx; CXR_NGINX names one")


@dataclass
class Proxy:
    """A running nginx, its folder and a client of it."""

    folder: Path
    port: int
    client: httpx.Client

    def logged(self, status: int, request_id: str | None = None) -> dict[str, str]:
        """The last line of an answer with this status, which is written after it was given."""
        found: list[dict[str, str]] = []

        def written() -> bool:
            lines = (self.folder / "access.log").read_text().splitlines()
            found[:] = [line for line in map(json.loads, lines) if line["status"] == status]
            return bool(found) and request_id in (None, found[-1]["request_id"])

        eventually(written, f"no answer {status} was logged", 20)
        return found[-1]

    def errors(self) -> str:
        return (self.folder / "error.log").read_text()

    def on_disk(self) -> int:
        """Bytes of bodies that nginx has put into files."""
        folders = ("body", "proxy")
        return sum(p.stat().st_size for f in folders for p in (self.folder / f).rglob("*"))


def proxy_to(gateway: str, folder: Path) -> Iterator[Proxy]:
    """One before the gateway at this address; its files lie in `folder`."""
    port = free_port()
    (folder / "html").mkdir(parents=True)
    headers = ROOT / "deploy/nginx/page-headers.conf"
    text = TEMPLATE.read_text()
    for before, after in {
        "${CXR_FRONT_RESOLVER}": "127.0.0.1",
        "${CXR_FRONT_GATEWAY}": gateway,
        "${CXR_FRONT_MAX_UPLOAD_MB}": "50",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "/usr/share/nginx/html": str(folder / "html"),
        "/etc/nginx/cxr/page-headers.conf": str(headers),
        "/dev/stdout": str(folder / "access.log"),
        "/dev/stderr": str(folder / "error.log"),
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    main = (
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/start.log warn;\n"
        f"events {{ worker_connections 256; }}\n"
        f"http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"{text} }}\n"
    )
    (folder / "nginx.conf").write_text(main)
    (folder / "error.log").touch()
    process = subprocess.Popen(
        [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"),
         "-e", str(folder / "start.log")]
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            def answers() -> bool:
                assert process.poll() is None, (folder / "start.log").read_text()
                try:
                    return client.get("/healthz").status_code == 200
                except httpx.TransportError:
                    return False

            eventually(answers, "nginx did not start", 30)
            yield Proxy(folder, port, client)
    finally:
        process.terminate()
        process.wait(20)
