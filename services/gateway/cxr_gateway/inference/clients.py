"""The clients of the two inference services.

One `httpx.AsyncClient` is shared by both. Whatever goes wrong ends as an `InferenceFailure` within
the inference service's timeout, so a study is never held up by an inference service that is down,
slow or broken.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from cxr_contracts import (
    CLASSIFY_PATH,
    DETECT_PATH,
    EXPLAIN_PARAM,
    MIN_SCORE_PARAM,
    ClassifyResponse,
    DetectResponse,
    FindingLevels,
    ModelIdentity,
    Problem,
    ServiceInfo,
)
from cxr_gateway.core.schemas import ModelRole, ServiceStatus, UsedModel
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.failures import FailureKind, InferenceFailure
from cxr_gateway.inference.load_balancing import Addresses
from cxr_gateway.inference.response_validation import check_classified, check_detected
from cxr_serving.logs import request_id
from cxr_serving.middleware import REQUEST_ID_HEADER
from cxr_serving.tracing import trace_headers

_LOG = logging.getLogger(__name__)
# Shorter than any server's keep-alive, so that a connection is not reused in the moment in which
# its other end closes it.
_KEEPALIVE_EXPIRY_S = 2.0
_MAX_DETAIL_CHARS = 300
_NEVER_OPENED = (httpx.ConnectError, httpx.ConnectTimeout)
_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True)
class EncodedImage:
    """What is sent to the inference services: an encoded image and its size in pixels."""

    content: bytes
    media_type: str
    width: int
    height: int

    @cached_property
    def form(self) -> tuple[bytes, str]:
        """The multipart body that both inference services get, whole, and its content type.

        httpx streams a form in pieces, anew for each request; a megabyte of pieces for two
        inference services would keep the event loop busy for longer than the classifier needs to
        read.
        """
        files = {"image": ("image", self.content, self.media_type)}
        request = httpx.Request("POST", "http://service", files=files)
        return request.read(), request.headers["Content-Type"]


class InferenceClient:
    """What both clients share: one bounded call, and the state of the service's health."""

    def __init__(
        self, role: str, http: httpx.AsyncClient, base_url: str, settings: GatewaySettings
    ) -> None:
        self.role = role
        self.timeout_s: float = getattr(settings, f"{role}_timeout_s")
        # What its model's levels mean, as of the last probe; none of a detector.
        self.finding_levels: list[FindingLevels] = []
        # The log tells two inference services of one role apart by where they are.
        self._named = {"service": role, "address": httpx.URL(base_url).netloc.decode()}
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._settings = settings
        self._healthy: bool | None = None
        self._status: tuple[float, ServiceStatus] | None = None
        self._probing = asyncio.Lock()
        self._labels: dict[ModelIdentity, frozenset[str]] = {}
        self._labels_asked = -math.inf

    async def status(self) -> ServiceStatus:
        """Ready or not, and with which model; probed at most once per `inference_probe_ttl_s`."""
        async with self._probing:
            now = time.monotonic()
            if self._status and now - self._status[0] < self._settings.inference_probe_ttl_s:
                return self._status[1]
            status = await self._probe()
            self._status = (time.monotonic(), status)
            return status

    async def _probe(self) -> ServiceStatus:
        timeout_s = self._settings.inference_probe_timeout_s
        try:
            await self._exchange("GET", "/readyz", timeout_s=timeout_s)
            body = await self._exchange("GET", "/info", timeout_s=timeout_s)
            info = _parsed(ServiceInfo, body)
            if info.role != self.role:
                raise InferenceFailure(
                    FailureKind.INVALID_ANSWER, f"its /info says that it is a {info.role}"
                )
        except InferenceFailure as failure:
            self._note(failure)
            self.finding_levels = []
            return ServiceStatus(
                role=ModelRole(self.role),
                ready=False,
                detail=failure.detail,
                model=None,
                licence=None,
                calibrated=None,
                has_maps=None,
                levels=None,
                maps_are_evidence=None,
            )
        self._note(None)
        self.finding_levels = info.finding_levels
        self._labels[info.model] = frozenset(info.labels)
        return ServiceStatus(
            role=ModelRole(self.role),
            ready=True,
            detail=None,
            model=UsedModel(role=ModelRole(self.role), **info.model.model_dump()),
            licence=info.licence,
            calibrated=info.calibrated,
            has_maps=info.has_maps,
            levels=info.levels,
            maps_are_evidence=info.maps_are_evidence,
        )

    async def _labels_of(self, model: ModelIdentity) -> frozenset[str] | None:
        """The labels that the service announces of the model that answered.

        None if nobody answers for that model, as behind a name with two models during an update;
        that is asked again after `inference_probe_ttl_s`.
        """
        now = time.monotonic()
        if model in self._labels or now - self._labels_asked < self._settings.inference_probe_ttl_s:
            return self._labels.get(model)
        self._labels_asked = now
        try:
            timeout_s = self._settings.inference_probe_timeout_s
            info = _parsed(ServiceInfo, await self._exchange("GET", "/info", timeout_s=timeout_s))
        except InferenceFailure:
            return None
        self._labels[info.model] = frozenset(info.labels)
        return self._labels.get(model)

    async def _read(
        self, path: str, answer: type[_Answer], image: EncodedImage, params: Mapping[str, str]
    ) -> _Answer:
        body = await self._exchange(
            "POST", path, timeout_s=self.timeout_s, form=image.form, params=params
        )
        return _parsed(answer, body)

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        form: tuple[bytes, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a 200; raises `InferenceFailure` for everything else, within `timeout_s`."""
        content, content_type = form or (None, None)
        request = self._http.build_request(
            method,
            self._base_url + path,
            content=content,
            params=params,
            headers=_headers(content_type),
            timeout=httpx.Timeout(timeout_s, connect=self._settings.inference_connect_timeout_s),
        )
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._send(request)
                except _NEVER_OPENED:
                    # Nothing was sent, so nothing can be done twice.
                    return await self._send(request)
        except _NEVER_OPENED as error:
            raise InferenceFailure(
                FailureKind.UNREACHABLE, "no connection could be opened to it"
            ) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise InferenceFailure(
                FailureKind.TIMEOUT, f"it did not answer within {timeout_s:g} s"
            ) from error
        except httpx.HTTPError as error:
            raise InferenceFailure(
                FailureKind.UNREACHABLE, "the connection to it broke before its answer was complete"
            ) from error

    async def _send(self, request: httpx.Request) -> bytes:
        response = await self._http.send(request, stream=True)
        try:
            body = await self._bounded_body(response)
        finally:
            await response.aclose()
        if response.status_code != httpx.codes.OK:
            raise _refusal(response.status_code, body)
        return body

    async def _bounded_body(self, response: httpx.Response) -> bytes:
        limit = self._settings.inference_max_response_bytes
        if response.headers.get("content-encoding", "identity") != "identity":
            raise InferenceFailure(FailureKind.INVALID_ANSWER, "its answer is compressed, unasked")
        body = bytearray()
        # Raw: what a decompressor would make of a chunk has no bound.
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise InferenceFailure(
                    FailureKind.INVALID_ANSWER, f"its answer is longer than {limit} bytes"
                )
        return bytes(body)

    def _note(self, failure: InferenceFailure | None) -> None:
        """Log the inference service's health when it changes; a full queue is no illness."""
        if failure is not None and failure.kind is FailureKind.OVERLOADED:
            return
        healthy = failure is None
        if healthy == self._healthy:
            return
        if failure is not None:
            extra = {"kind": failure.kind.value, "detail": failure.detail}
            _LOG.warning("an inference service stopped answering", extra=self._named | extra)
        elif self._healthy is False:
            _LOG.info("an inference service answers again", extra=self._named)
        self._healthy = healthy


class ClassifierClient(InferenceClient):
    """Asks the classifier."""

    def __init__(
        self, http: httpx.AsyncClient, settings: GatewaySettings, url: str | None = None
    ) -> None:
        super().__init__("classifier", http, url or settings.classifier_url, settings)

    async def classify(self, image: EncodedImage, *, explain: int) -> ClassifyResponse:
        """Every finding of its model, and maps of the first `explain` of them.

        Raises:
            InferenceFailure: no usable answer within the classifier's timeout.
        """
        try:
            params = {EXPLAIN_PARAM: str(explain)}
            answer = await self._read(CLASSIFY_PATH, ClassifyResponse, image, params)
            check_classified(answer, await self._labels_of(answer.model))
        except InferenceFailure as failure:
            self._note(failure)
            raise
        self._note(None)
        return answer


class DetectorClient(InferenceClient):
    """Asks the detector."""

    def __init__(
        self, http: httpx.AsyncClient, settings: GatewaySettings, url: str | None = None
    ) -> None:
        super().__init__("detector", http, url or settings.detector_url, settings)

    async def detect(
        self, image: EncodedImage, *, min_score: float | None = None
    ) -> DetectResponse:
        """Boxes in pixels of `image`, with those below their thresholds down to `min_score`.

        Raises:
            InferenceFailure: no usable answer within the detector's timeout.
        """
        try:
            params = {} if min_score is None else {MIN_SCORE_PARAM: f"{min_score:g}"}
            answer = await self._read(DETECT_PATH, DetectResponse, image, params)
            labels = await self._labels_of(answer.model)
            check_detected(answer, image.width, image.height, labels)
        except InferenceFailure as failure:
            self._note(failure)
            raise
        self._note(None)
        return answer


@dataclass(frozen=True)
class InferenceClients:
    """A client for each address that the settings name.

    Which of two of a role answers, and which is its shadow, is `shadow.answering`'s to say.
    """

    classifier: ClassifierClient
    detector: DetectorClient
    second_classifier: ClassifierClient | None = None
    second_detector: DetectorClient | None = None


ClientOpener = Callable[[GatewaySettings], AbstractAsyncContextManager[InferenceClients]]


class SpreadingTransport(httpx.AsyncBaseTransport):
    """Spreads requests over the addresses behind a name; each is tried before the request fails.

    Nothing is read twice: another address is tried only where no connection opened, or where the
    inference service answered that it is full or not ready. Behind `https` a certificate belongs to
    the name, and whatever carries it does the spreading.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, addresses: Addresses) -> None:
        self._inner = inner
        self._addresses = addresses

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the first address that takes the request, or the last one's refusal."""
        if request.url.scheme != "http":
            return await self._inner.handle_async_request(request)
        untried = list(await self._addresses_of(request))
        while True:
            address = self._addresses.best(untried)
            untried.remove(address)
            try:
                with self._addresses.asking(address):
                    response = await self._inner.handle_async_request(_sent_to(address, request))
            except _NEVER_OPENED:
                self._addresses.let_rest(address)
                if not untried:
                    raise
                continue
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or not untried:
                return response
            self._addresses.let_rest(address)
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _addresses_of(self, request: httpx.Request) -> list[str]:
        timeout_s = request.extensions.get("timeout", {}).get("connect")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._addresses.of(request.url.host, request.url.port or 80)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("its name was not resolved in time") from error
        except OSError as error:
            raise httpx.ConnectError("its name is not known") from error


def _sent_to(address: str, request: httpx.Request) -> httpx.Request:
    """`request` to one address; its Host header keeps the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


@asynccontextmanager
async def open_clients(
    settings: GatewaySettings, http: httpx.AsyncClient | None = None
) -> AsyncIterator[InferenceClients]:
    """All clients on one connection pool, closed at the end.

    `http` replaces the pool, e.g. by one whose transports are the inference services' own ASGI
    apps.
    """
    limits = httpx.Limits(
        max_connections=settings.inference_max_connections,
        max_keepalive_connections=settings.inference_max_connections,
        keepalive_expiry=_KEEPALIVE_EXPIRY_S,
    )
    if http is None:
        # The inference services are neighbours: a proxy of the environment is not for them.
        pool = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, verify=_trusted(settings))
        http = httpx.AsyncClient(transport=SpreadingTransport(pool, Addresses()), trust_env=False)
    async with http as client:
        if token := settings.service_token.get_secret_value():
            client.headers["Authorization"] = f"Bearer {token}"
        classifier, detector = settings.shadow_classifier_url, settings.shadow_detector_url
        yield InferenceClients(
            ClassifierClient(client, settings),
            DetectorClient(client, settings),
            ClassifierClient(client, settings, classifier) if classifier else None,
            DetectorClient(client, settings, detector) if detector else None,
        )


def _trusted(settings: GatewaySettings) -> ssl.SSLContext | bool:
    """Whom the gateway believes at `https`, and what it shows there."""
    if settings.service_tls_ca_file is None or settings.service_tls_cert_file is None:
        return True
    context = ssl.create_default_context(cafile=settings.service_tls_ca_file)
    context.load_cert_chain(settings.service_tls_cert_file, settings.service_tls_key_file)
    return context


def _headers(content_type: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if content_type is not None:
        headers["Content-Type"] = content_type
    # The same id in the logs of all three services, and one trace through them.
    if (current := request_id.get()) is not None:
        headers[REQUEST_ID_HEADER] = current
    return headers | trace_headers()


def _parsed(answer: type[_Answer], body: bytes) -> _Answer:
    try:
        return answer.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the body"
        raise InferenceFailure(
            FailureKind.INVALID_ANSWER, f"its answer breaks the contract at {where}: {first['msg']}"
        ) from error


def _refusal(status: int, body: bytes) -> InferenceFailure:
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        kind = FailureKind.OVERLOADED if status in (429, 503) else FailureKind.ERROR
        return InferenceFailure(kind, f"it answered with status {status}")
    overloaded = status == 429 or problem.type.endswith((":overloaded", ":queue-full"))
    kind = FailureKind.OVERLOADED if overloaded else FailureKind.ERROR
    return InferenceFailure(
        kind, f"it answered with status {status}: {problem.detail[:_MAX_DETAIL_CHARS]}"
    )
