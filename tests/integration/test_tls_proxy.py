"""The TLS proxy that docs/operations.md names, run by a real nginx as it is written."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.compose_stack import ROOT
from support.served_app import served
from support.waiting import eventually, free_port

NGINX = os.environ.get("CXR_NGINX") or shutil.which("nginx")
pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="there is no nginx; CXR_NGINX names one"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl"),
]
NAME = "cxr.hospital.example"


async def echo(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"headers": dict(request.headers), "bytes": size})


@dataclass
class Proxy:
    """A running nginx: where it listens, and its certificate."""

    folder: Path
    plain: int
    secure: int
    certificate: Path

    def client(self) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        transport = httpx.HTTPTransport(verify=trusted)
        return httpx.Client(
            transport=transport, base_url=f"https://127.0.0.1:{self.secure}", timeout=30
        )


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "fullchain.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    plain, secure = free_port(), free_port()
    app = Starlette(routes=[Route("/api/v1/echo", echo, methods=["GET", "POST"])])
    with served(app, lifespan="off") as behind:
        text = (ROOT / "deploy/nginx/tls-proxy.conf").read_text()
        for before, after in {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen [::]:80;": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
            "listen [::]:443 ssl;": "",
            "/etc/ssl/cxr": str(folder),
            "/var/log/nginx/cxr-error.log": str(folder / "error.log"),
            "127.0.0.1:8080": f"127.0.0.1:{behind}",
        }.items():
            assert before in text, before
            text = text.replace(before, after)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/start.log warn;\n"
            "events { worker_connections 64; }\n"
            f"http {{ access_log off; client_body_temp_path {folder}/body;\n"
            f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;\n"
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"{text} }}\n"
        )
        process = subprocess.Popen(
            [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"),
             "-e", str(folder / "start.log")]
        )  # fmt: skip
        try:
            eventually((folder / "pid").exists, "nginx did not start", 30)
            yield Proxy(folder, plain, secure, folder / "fullchain.pem")
        finally:
            process.terminate()
            process.wait()


def test_a_request_comes_through_with_its_address_and_host(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.post(
            "/api/v1/echo", content=b"x" * 20_000_000, headers={"X-Forwarded-For": "203.0.113.9"}
        )
    said = answer.json()
    assert said["bytes"] == 20_000_000
    assert said["headers"]["host"] == f"127.0.0.1:{proxy.secure}"
    # What a client wrote itself stands before what the proxy saw.
    assert said["headers"]["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert not [path for path in (proxy.folder / "body").rglob("*") if path.stat().st_size]


def test_http_is_led_to_https_with_the_method_kept(proxy: Proxy) -> None:
    answer = httpx.post(f"http://127.0.0.1:{proxy.plain}/api/v1/echo", headers={"Host": NAME})
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{NAME}/api/v1/echo")


def test_old_protocols_are_refused(proxy: Proxy) -> None:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.secure}", "-tls1_1"],
        input=b"", capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0


def test_nothing_of_a_request_is_logged(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.get("/api/v1/echo?name=Somebody")
        client.get("/api/v1/" + "x" * 9000 + "?name=Somebody")
    for path in proxy.folder.glob("*.log"):
        assert "Somebody" not in path.read_text()
