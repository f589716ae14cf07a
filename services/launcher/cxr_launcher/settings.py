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
    # Of the DICOM node: its probes, and DICOM itself.
    dicom_port: int = 8003
    dicom_dicom_port: int = 11112
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

    @property
    def ports(self) -> dict[str, int]:
        """Every port that it listens on, by the variable that sets it."""
        found = {f"CXR_{self.name.upper()}_PORT": self.port}
        if self.name == "dicom":
            found["CXR_DICOM_DICOM_PORT"] = int(self.environment["CXR_DICOM_DICOM_PORT"])
        return found


def services(settings: LauncherSettings) -> list[Service]:
    """The services in the order of their start; all bound to loopback."""
    classifier = _service("classifier", settings.classifier_port)
    detector = _service("detector", settings.detector_port)
    gateway = _service("gateway", settings.gateway_port)
    gateway.environment["CXR_GATEWAY_CLASSIFIER_URL"] = classifier.url
    gateway.environment["CXR_GATEWAY_DETECTOR_URL"] = detector.url
    dicom = _service("dicom", settings.dicom_port)
    dicom.environment.update(
        {
            "CXR_DICOM_DICOM_PORT": str(settings.dicom_dicom_port),
            "CXR_DICOM_GATEWAY_URL": gateway.url,
            # Nobody but this machine reaches it.
            "CXR_DICOM_ANY_SENDER": "true",
        }
    )
    return [classifier, detector, gateway, dicom]


def _service(name: str, port: int) -> Service:
    prefix = f"CXR_{name.upper()}_"
    environment = {f"{prefix}HOST": LOOPBACK, f"{prefix}PORT": str(port)}
    return Service(name, f"cxr_{name}", port, environment)
