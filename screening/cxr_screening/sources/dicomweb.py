"""Radiographs of a PACS: QIDO-RS to list them, WADO-RS to fetch one."""

import os
import time
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

import httpx

from cxr_screening.errors import ScreeningError
from cxr_screening.sources.items import Item

SCHEME = "dicomweb+"
PREFIXES = ("dicomweb+http://", "dicomweb+https://")
AUTHORIZATION = "CXR_SCREEN_DICOMWEB_AUTHORIZATION"
# Computed and digital radiography; a PACS has both.
_MODALITIES = ("CR", "DX")
_PAGE = 100
_ATTEMPTS = 3
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_JSON = {"Accept": "application/dicom+json"}
_FILE = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_OVERHEAD_BYTES = 65_536
_TRY_AGAIN = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
_STUDY, _SERIES, _INSTANCE, _MODALITY = "0020000D", "0020000E", "00080018", "00080060"


def open_client() -> httpx.Client:
    """A client with the header that the site's PACS wants, if any."""
    authorization = os.environ.get(AUTHORIZATION)
    return httpx.Client(
        timeout=_TIMEOUT,
        headers={"Authorization": authorization} if authorization else {},
        follow_redirects=True,
    )


def list_items(source: str, query: str = "") -> Iterator[Item]:
    """Every instance of a radiography series, study by study.

    Raises:
        ScreeningError: the server does not answer, or refuses.
    """
    base = source.removeprefix(SCHEME).rstrip("/")
    wanted = dict(parse_qsl(query, keep_blank_values=True))
    try:
        with open_client() as client:
            for study in _studies(client, base, wanted):
                for series in _all(client, f"{base}/studies/{study}/series", {}):
                    if _value(series, _MODALITY) not in _MODALITIES:
                        continue
                    path = f"studies/{study}/series/{_value(series, _SERIES)}/instances"
                    for instance in _all(client, f"{base}/{path}", {}):
                        yield Item("dicomweb", base, f"{path}/{_value(instance, _INSTANCE)}")
    except httpx.HTTPStatusError as error:
        raise ScreeningError(
            f"{base} answered {error.response.status_code} when it was asked for its studies."
        ) from error
    except (httpx.HTTPError, ValueError) as error:
        raise ScreeningError(f"{base} does not answer as a DICOMweb server does.") from error


def fetch(client: httpx.Client, item: Item, max_bytes: int) -> bytes:
    """The file of an instance; one byte more than `max_bytes` of a larger one.

    Raises:
        httpx.HTTPError: the server does not answer or refuses, after three attempts.
        FileNotFoundError: it has no such instance any more.
    """
    url = f"{item.location}/{item.member}"
    for attempt in range(_ATTEMPTS):
        last = attempt == _ATTEMPTS - 1
        try:
            with client.stream("GET", url, headers=_FILE) as response:
                if response.status_code in _TRY_AGAIN and not last:
                    time.sleep(_wait_s(response, attempt))
                    continue
                if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                    raise FileNotFoundError(item.member)
                response.raise_for_status()
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > max_bytes + _OVERHEAD_BYTES:
                        break
                return _first_part(response.headers.get("Content-Type", ""), bytes(body))
        except httpx.TransportError:
            if last:
                raise
            time.sleep(2.0**attempt)
    raise httpx.TransportError("it is too busy")


def _studies(client: httpx.Client, base: str, wanted: Mapping[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    for modality in _MODALITIES:
        for study in _all(client, f"{base}/studies", {**wanted, "ModalitiesInStudy": modality}):
            uid = _value(study, _STUDY)
            if uid not in seen:
                seen.add(uid)
                yield uid


def _all(client: httpx.Client, url: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    offset = 0
    before: list[dict[str, Any]] = []
    while True:
        page = _page(client, url, {**params, "limit": str(_PAGE), "offset": str(offset)})
        if page == before:  # a server that knows no offset
            return
        yield from page
        if len(page) < _PAGE:
            return
        offset, before = offset + len(page), page


def _page(client: httpx.Client, url: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    for attempt in range(_ATTEMPTS):
        try:
            response = client.get(url, params=params, headers=_JSON)
        except httpx.TransportError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(2.0**attempt)
            continue
        if response.status_code in _TRY_AGAIN and attempt < _ATTEMPTS - 1:
            time.sleep(_wait_s(response, attempt))
            continue
        if response.status_code == httpx.codes.NO_CONTENT:
            return []
        response.raise_for_status()
        found: list[dict[str, Any]] = response.json()
        return found
    return []


def _value(attributes: Mapping[str, Any], tag: str) -> str:
    values = attributes.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _wait_s(response: httpx.Response, attempt: int) -> float:
    said = response.headers.get("Retry-After", "")
    return min(float(said), 60.0) if said.isdigit() else 2.0**attempt


def _first_part(content_type: str, body: bytes) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if boundary is None:
        return body  # a server that sends the file as it is
    mark = b"--" + boundary.encode()
    start = body.find(mark)
    head = body.find(b"\r\n\r\n", start)
    if start < 0 or head < 0:
        raise httpx.DecodingError("its answer has no part")
    end = body.find(b"\r\n" + mark, head)
    return body[head + 4 : end if end >= 0 else len(body)]
