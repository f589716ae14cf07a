"""By FHIR: each result is a transaction, posted to the base of a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from cxr_dicom.ledger import Delivery
from cxr_dicom.peers import FhirDestination
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.http import failure, web_client
from cxr_dicom.transports.results import Request
from cxr_dicom.transports.transport import Channel, NotTaken, Taken, Transport


class FhirTransport(Transport):
    """To a FHIR server."""

    def __init__(self, settings: DicomSettings, to: FhirDestination) -> None:
        self._settings = settings
        self._to = to

    def request(self, delivery: Delivery) -> Request:
        """See `Transport`."""
        path = f"/fhir/R4/DiagnosticReport/{delivery.study_id}/$everything"
        accept = f"application/fhir+json; fhirVersion={self._to.version}"
        return path, {"form": "transaction"}, {"Accept": accept}

    @contextmanager
    def open(self) -> Iterator["FhirChannel"]:
        """A client."""
        with web_client(self._settings, self._to) as http:
            media = f"application/fhir+json; fhirVersion={self._to.version}"
            yield FhirChannel(http, media)


class FhirChannel(Channel):
    """A client of the server."""

    def __init__(self, http: httpx.Client, media_type: str) -> None:
        self._http = http
        self._headers = {"Content-Type": media_type, "Accept": media_type}

    def send(self, content: bytes) -> Taken:
        """POST a bundle; a server that answers a transaction with success has stored all of it."""
        try:
            response = self._http.post("", content=content, headers=self._headers)
        except httpx.TransportError as error:
            raise NotTaken(f"The destination broke off: {type(error).__name__}.") from error
        if response.is_success:
            return Taken("", "", is_confirmed=True)
        raise failure(response, _said(response))


def _said(response: httpx.Response) -> str:
    """The first issue of an operation outcome."""
    try:
        outcome: Any = response.json()
        issue = outcome["issue"][0]
        return str(issue.get("diagnostics") or issue["details"]["text"])
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
