"""Where the services of a local installation listen."""

from dataclasses import dataclass

from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = "127.0.0.1"


class LauncherSettings(BaseSettings):
    """Ports, by the same variables that the services themselves read."""

    model_config = SettingsConfigDict(env_prefix="CXR_", extra="ignore")

    gateway_port: int = 8000
    classifier_port: int = 8001
    detector_port: int = 8002
    start_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Service:
    """One process: the package to run, its environment, its address."""

    name: str
    package: str
    port: int
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Base address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"


def services(settings: LauncherSettings) -> list[Service]:
    """The three services, the gateway last; all bound to loopback."""
    classifier = _service("classifier", settings.classifier_port)
    detector = _service("detector", settings.detector_port)
    gateway = _service("gateway", settings.gateway_port)
    gateway.environment["CXR_GATEWAY_CLASSIFIER_URL"] = classifier.url
    gateway.environment["CXR_GATEWAY_DETECTOR_URL"] = detector.url
    return [classifier, detector, gateway]


def _service(name: str, port: int) -> Service:
    prefix = f"CXR_{name.upper()}_"
    environment = {f"{prefix}HOST": LOOPBACK, f"{prefix}PORT": str(port)}
    return Service(name, f"cxr_{name}", port, environment)
