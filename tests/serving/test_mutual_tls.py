"""Mutual TLS between gateway and inference services: who has no certificate is told nothing."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding
from cxr_gateway.inference.clients import EncodedImage, open_clients
from cxr_gateway.inference.failures import InferenceFailure
from cxr_serving.probe import probe
from support.fake_gateway import settings_for
from support.images import png
from support.inference_process import start
from support.waiting import eventually, free_port


@dataclass
class Authority:
    """A certificate authority of one test."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        made = self._signed(self.subject, self.key.public_key(), is_authority=True)
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._signed(subject, key.public_key())
        files = self.folder / f"{name}-{self.name}.pem", self.folder / f"{name}-{self.name}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _signed(
        self, subject: x509.Name, key: Any, *, is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )


@dataclass
class Service:
    """A classifier behind TLS, and who may ask it."""

    port: int
    ours: Authority
    folder: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def service(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("tls")
    ours, port, log = Authority(folder, "ours"), free_port(), folder / "log"
    certificate, key = ours.issue("classifier")
    process = start(
        "classifier", classifier_folder, log, port=port, host="127.0.0.1",
        tls_cert_file=certificate, tls_key_file=key, tls_client_ca_file=ours.file,
    )  # fmt: skip
    try:
        shown = ours.issue("probe")

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return probe(f"https://127.0.0.1:{port}/readyz", str(shown[0]), str(shown[1]))[0]

        eventually(ready, "the service is not ready", timeout_s=120)
        yield Service(port, ours, folder)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("who", ["the gateway", "another authority's", "one who expects another"])
async def test_each_knows_the_other_by_its_certificate(
    service: Service, tmp_path: Path, who: str
) -> None:
    other = Authority(tmp_path, "other")
    shown = (other if who == "another authority's" else service.ours).issue("gateway")
    trusted = other if who == "one who expects another" else service.ours
    settings = settings_for(
        tmp_path / "archive", classifier_url=service.url, inference_connect_timeout_s=20,
        classifier_timeout_s=60, service_tls_ca_file=trusted.file,
        service_tls_cert_file=shown[0], service_tls_key_file=shown[1],
    )  # fmt: skip
    image = EncodedImage(png(), "image/png", 120, 100)
    async with open_clients(settings) as clients:
        if who == "the gateway":
            answer = await clients.classifier.classify(image, explain=0)
            assert len(answer.findings) == len(Finding)
        else:
            with pytest.raises(InferenceFailure):
                await clients.classifier.classify(image, explain=0)


def test_who_shows_nothing_or_speaks_plainly_is_told_nothing(service: Service) -> None:
    trusted = ssl.create_default_context(cafile=str(service.ours.file))
    for path in ("/info", "/readyz", "/metrics"):
        with pytest.raises(httpx.TransportError):
            httpx.get(service.url + path, verify=trusted)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{service.port}{path}")
    assert not probe(f"http://127.0.0.1:{service.port}/readyz")[0]


def test_half_of_the_settings_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="go together"):
        ClassifierSettings(tls_cert_file=tmp_path / "a")
    with pytest.raises(ValidationError, match="go together"):
        settings_for(tmp_path, service_tls_ca_file=tmp_path / "a")
