"""The gateway's API as this node uses it: a radiograph in, a study out, its results as DICOM."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_dicom.settings import DicomSettings

STUDIES = "/api/v1/studies"
# What the gateway says of a file, and would say of it again: too large, of another kind, damaged.
_OF_THE_FILE = frozenset({400, 409, 413, 415, 422})


class GatewayError(Exception):
    """The gateway did not do it; a sentence.

    GatewayError
    ├── GatewayAway     it cannot be reached, or is full: try again later
    ├── KeyRefused      the key cannot be read, or does not open it: try again later
    ├── GatewayBroke    it failed or broke off, perhaps because of this file
    ├── NotAnalysed     neither inference service answered; the study is kept: try again later
    └── FileRefused     it has looked at the file, and never takes it
        └── NoSuchResource  it has no such study, or no such result
    """

    def __init__(self, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class GatewayAway(GatewayError):
    """Try again later; it is not this file's fault."""


class KeyRefused(GatewayError):
    """Try again later: somebody has to mend the key first."""


class GatewayBroke(GatewayError):
    """Try again later, but not for ever."""


class NotAnalysed(GatewayError):
    """The study is kept, and is analysed when it is sent again."""


class FileRefused(GatewayError):
    """The same file would be refused again."""


class NoSuchResource(FileRefused):
    """What is asked for is not there."""


class _Triage(BaseModel):
    model_config = ConfigDict(extra="ignore")
    priority: str


class _Patient(BaseModel):
    model_config = ConfigDict(extra="ignore")
    patient_id: str | None = None
    study_instance_uid: str | None = None


class AnalysedStudy(BaseModel):
    """What this node needs to know of a study."""

    model_config = ConfigDict(extra="ignore")

    id: str
    status: str
    triage: _Triage | None
    boxes: list[dict[str, Any]]
    heatmaps: list[str] = []
    patient: _Patient = _Patient()

    @property
    def priority(self) -> str | None:
        """`urgent`, `soon` or `routine`; None where nothing was diagnosed."""
        return None if self.triage is None else self.triage.priority


@dataclass(frozen=True)
class GatewayClient:
    """A client of the gateway; used by several threads at once."""

    http: httpx.Client

    @classmethod
    def open(cls, settings: DicomSettings) -> Self:
        """A client with the settings' address and key."""
        key = settings.gateway_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(settings.gateway_timeout_s, connect=5.0)
        return cls(
            httpx.Client(
                base_url=settings.gateway_url, headers=headers, timeout=timeout, trust_env=False
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.http.close()

    def analyse(self, path: Path, name: str, key_file: Path | None = None) -> AnalysedStudy:
        """Have a file analysed; the same file is the same study.

        Args:
            path: the file.
            name: what it is called there.
            key_file: holds the key to send it under, in place of this node's own.

        Raises:
            GatewayError: see its subclasses.
            FileNotFoundError: the file is not there.
        """
        headers = {}
        if key_file is not None:
            try:
                headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
            except OSError as error:
                raise KeyRefused(f"{key_file} cannot be read: {error.strerror}.") from error
        with path.open("rb") as file:
            files = {"file": (name, file, "application/dicom")}
            try:
                response = self._ask("POST", STUDIES, files=files, headers=headers)
            except NoSuchResource as error:
                # Another program answers, or another path is the gateway's.
                raise GatewayAway(f"404: {error}") from error
        return _study(response)

    def study(self, study_id: str) -> AnalysedStudy:
        """A study as it stands."""
        return _study(self._ask("GET", f"{STUDIES}/{study_id}"))

    def fetch(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        """One of a study's results."""
        return self._ask("GET", path, params=query, headers=headers).content

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            response = self.http.request(method, path, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise GatewayAway(f"The gateway cannot be reached: {error}.") from error
        except httpx.TransportError as error:
            raise GatewayBroke(f"The gateway broke off: {type(error).__name__}.") from error
        if response.is_success:
            return response
        raise _failure(response)


def _failure(response: httpx.Response) -> GatewayError:
    status = response.status_code
    try:
        problem = response.json()
        detail, extensions = str(problem["detail"]), problem
    except (ValueError, KeyError, TypeError):
        detail, extensions = f"The gateway answered {status}.", {}
    if "study_id" in extensions:
        return NotAnalysed(detail)
    if status == 404:
        return NoSuchResource(detail)
    if status in _OF_THE_FILE:
        return FileRefused(detail)
    if status in (401, 403):
        return KeyRefused(f"{status}: {detail}")
    if status in (500, 501):
        return GatewayBroke(detail)
    after = response.headers.get("Retry-After", "")
    return GatewayAway(f"{status}: {detail}", float(after) if after.isdigit() else 0.0)


def _study(response: httpx.Response) -> AnalysedStudy:
    try:
        return AnalysedStudy.model_validate_json(response.content)
    except ValidationError as error:
        raise GatewayBroke("The gateway's answer is no study.") from error
