"""Each operation as a request and what its answer is read as; both clients send them."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from cxr_client.errors import error_of
from cxr_client.models import (
    ChangePage,
    Finding,
    Me,
    Model,
    Problem,
    Report,
    ReportChange,
    Review,
    ReviewChange,
    Study,
    StudyPage,
    SubmittedFiles,
    SystemStatus,
    Worklist,
    WorklistState,
)
from cxr_client.uploads import Upload

T = TypeVar("T")
_M = TypeVar("_M", bound=Model)
_STUDIES = "/api/v1/studies"


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request.

    Attributes:
        read: what a successful answer is.
        repeatable: whether it may be sent again when no answer came: what it asks for twice is
            done once.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    repeatable: bool = True

    def result(self, response: httpx.Response) -> T:
        """What the answer is, or its problem raised."""
        if response.is_success:
            return self.read(response)
        raise error_of(_problem(response))


def _problem(response: httpx.Response) -> Problem:
    """The answer's own; of a proxy's that has none, its status."""
    try:
        return Problem.model_validate_json(response.content)
    except ValueError:
        status, reason = response.status_code, response.reason_phrase
        return Problem(type="about:blank", title=reason, status=status, detail="No problem body.")


def _as(model: type[_M]) -> Callable[[httpx.Response], _M]:
    return lambda response: model.model_validate_json(response.content)


def _study_path(study_id: str, *parts: str) -> str:
    return "/".join((_STUDIES, quote(study_id, safe=""), *parts))


def _plain(value: Any) -> Any:
    """A parameter's value as the query writes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value


def submit(upload: Upload, idempotency_key: str | None) -> Call[Study]:
    """A key of its own makes an attempt that was answered unheard the same upload."""
    headers = {**upload.headers, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return Call("POST", _STUDIES, _as(Study), headers=headers, content=upload.content)


def submit_many(uploads: Sequence[Upload]) -> Call[SubmittedFiles]:
    """As many as one request takes."""
    files = [("file", (one.name or "radiograph", one.content, one.media_type)) for one in uploads]
    form = httpx.Request("POST", "/", files=files)
    headers = {"Content-Type": form.headers["Content-Type"], "Idempotency-Key": uuid.uuid4().hex}
    path = f"{_STUDIES}/batch"
    return Call("POST", path, _as(SubmittedFiles), headers=headers, content=form.read())


def page(filters: Mapping[str, Any], limit: int, cursor: str | None) -> Call[StudyPage]:
    """One page of the list."""
    given = {**filters, "limit": limit, "cursor": cursor}
    params = {name: _plain(value) for name, value in given.items() if value is not None}
    return Call("GET", _STUDIES, _as(StudyPage), params)


def changes(since: str | None, limit: int) -> Call[ChangePage]:
    """What happened after a cursor."""
    params = {"limit": limit} if since is None else {"since": since, "limit": limit}
    return Call("GET", "/api/v1/changes", _as(ChangePage), params)


def study(study_id: str) -> Call[Study]:
    """One study."""
    return Call("GET", _study_path(study_id), _as(Study))


def rerun(study_id: str) -> Call[Study]:
    """A complete study is answered as it stands, so twice is once."""
    return Call("POST", _study_path(study_id, "rerun"), _as(Study))


def delete(study_id: str) -> Call[None]:
    """For good."""
    return Call("DELETE", _study_path(study_id), lambda _: None)


def file(study_id: str, *parts: str, **params: Any) -> Call[bytes]:
    """Bytes below a study."""
    given = {name: _plain(value) for name, value in params.items() if value is not None}
    return Call("GET", _study_path(study_id, *parts), lambda response: response.content, given)


def heat_map(study_id: str, finding: Finding) -> Call[bytes]:
    """A PNG."""
    return file(study_id, "heatmaps", f"{finding}.png")


def hl7(study_id: str) -> Call[str]:
    """ORU^R01."""
    path = _study_path(study_id, "oru.hl7")
    return Call("GET", path, lambda response: response.content.decode())


def fhir(study_id: str) -> Call[dict[str, Any]]:
    """A DiagnosticReport."""
    path = f"/fhir/R4/DiagnosticReport/{quote(study_id, safe='')}"
    return Call("GET", path, lambda response: dict(response.json()))


def worklist(study_id: str) -> Call[Worklist]:
    """How far people are."""
    return Call("GET", _study_path(study_id, "worklist"), _as(Worklist))


def set_worklist(study_id: str, state: WorklistState | str) -> Call[Worklist]:
    """How far they are now."""
    path, body = _study_path(study_id, "worklist"), {"state": WorklistState(state)}
    return _sent("PUT", path, Worklist, httpx.Request("PUT", "/", json=body).content)


def review(study_id: str) -> Call[Review]:
    """What readers said."""
    return Call("GET", _study_path(study_id, "review"), _as(Review))


def put_review(study_id: str, change: ReviewChange, entry_id: uuid.UUID) -> Call[Review]:
    """The entry's id is the client's, so twice is once."""
    path = _study_path(study_id, "review", str(entry_id))
    return _sent("PUT", path, Review, change.model_dump_json().encode())


def report(study_id: str) -> Call[Report]:
    """Draft and versions."""
    return Call("GET", _study_path(study_id, "report"), _as(Report))


def write_report(study_id: str, change: ReportChange) -> Call[Report]:
    """The second of two is a conflict, so it is not sent again unheard."""
    path = _study_path(study_id, "report")
    return _sent("POST", path, Report, change.model_dump_json().encode(), repeatable=False)


def system() -> Call[SystemStatus]:
    """What the installation is."""
    return Call("GET", "/api/v1/system", _as(SystemStatus))


def me() -> Call[Me]:
    """Whose key it is."""
    return Call("GET", "/api/v1/me", _as(Me))


def _sent(
    method: str, path: str, model: type[_M], content: bytes, *, repeatable: bool = True
) -> Call[_M]:
    kind = {"Content-Type": "application/json"}
    return Call(method, path, _as(model), headers=kind, content=content, repeatable=repeatable)
