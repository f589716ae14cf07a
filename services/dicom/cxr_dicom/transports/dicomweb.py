"""By STOW-RS; what was sent is confirmed by QIDO-RS."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import httpx
from pydicom import dcmread

from cxr_dicom.ledger import Delivery, Ledger
from cxr_dicom.peers import Confirm, DicomwebDestination
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.http import failure, web_client
from cxr_dicom.transports.results import Request, dicom_request
from cxr_dicom.transports.transport import Channel, NotTaken, Refused, Taken, Transport

_DICOM_JSON = "application/dicom+json"
_BOUNDARY = "cxr-dicom-instance"
_AT_ONCE = 50
# So often it is looked for before it is sent again.
_LOOKS = 3


class DicomwebTransport(Transport):
    """To a DICOMweb service."""

    def __init__(self, settings: DicomSettings, to: DicomwebDestination) -> None:
        self._settings = settings
        self._to = to
        self.confirms = to.confirm is Confirm.QUERY

    def request(self, delivery: Delivery) -> Request:
        """See `Transport`."""
        return dicom_request(self._to, delivery)

    @contextmanager
    def open(self) -> Iterator["DicomwebChannel"]:
        """A client."""
        with web_client(self._settings, self._to) as http:
            yield DicomwebChannel(http)


class DicomwebChannel(Channel):
    """A client of the service."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def send(self, content: bytes) -> Taken:
        """STOW-RS with one instance."""
        header = dcmread(
            BytesIO(content),
            stop_before_pixels=True,
            specific_tags=["SOPClassUID", "SOPInstanceUID"],
        )
        uids = str(header.SOPClassUID), str(header.SOPInstanceUID)
        head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        related = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
        try:
            response = self._http.post(
                "studies",
                content=head + content + f"\r\n--{_BOUNDARY}--\r\n".encode(),
                headers={"Content-Type": related, "Accept": _DICOM_JSON},
            )
        except httpx.TransportError as error:
            raise NotTaken(f"The destination broke off: {type(error).__name__}.") from error
        answer = _data_set(response)
        for item in answer.get("00081198", {}).get("Value", []):
            reason = int(item.get("00081197", {}).get("Value", [0x0110])[0])
            if reason & 0xFF00 == 0xA700 or reason == 0x0110:
                raise NotTaken(f"The destination answered 0x{reason:04X}.")
            raise Refused(f"The destination refused it: 0x{reason:04X}.")
        if response.status_code not in (200, 202):
            raise failure(response)
        warned = response.status_code == 202
        return Taken(*uids, "The destination took it with a warning." if warned else None)

    def confirm(self, ledger: Ledger, destination: str, again_in_s: float) -> None:
        """Look for what was sent; what cannot be found for long is sent again."""
        now = time.time()
        for row in ledger.unconfirmed(destination, _AT_ONCE):
            try:
                response = self._http.get(
                    "instances",
                    params={"SOPInstanceUID": row.sop_instance_uid},
                    headers={"Accept": _DICOM_JSON},
                )
            except httpx.TransportError:
                ledger.unseen(row.id, now + again_in_s, again=False)
                return
            found = _items(response)
            if found:
                ledger.seen(row.id)
            else:
                answered = response.status_code == 204 or found is not None
                again = answered and now - row.sent_at > _LOOKS * again_in_s
                ledger.unseen(row.id, now + (0 if again else again_in_s), again=again)


def _items(response: httpx.Response) -> list[Any] | None:
    """What a search found; None where the answer is none."""
    if response.status_code != 200:
        return None
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def _data_set(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    if isinstance(found, list):
        found = found[0] if found else {}
    return found if isinstance(found, dict) else {}
