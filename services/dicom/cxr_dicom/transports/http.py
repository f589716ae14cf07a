"""What the ways over HTTP have in common."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from cxr_dicom.peers import DicomwebDestination, DicomwebSource, FhirDestination
from cxr_dicom.scp import client_tls
from cxr_dicom.settings import DicomSettings
from cxr_dicom.transports.transport import NotTaken, Refused, Unreachable

_MAX_TEXT = 200
# It does not know us (any more), or has too much to do: nothing that is wrong with a result.
_NOT_OF_THE_RESULT = frozenset({401, 403, 407, 408, 425, 429})


@contextmanager
def web_client(
    settings: DicomSettings, to: DicomwebDestination | DicomwebSource | FhirDestination
) -> Iterator[httpx.Client]:
    """A client whose paths are below the peer's `url`.

    Raises:
        Unreachable: the file of its token cannot be read.
    """
    try:
        headers = to.headers()
    except OSError as error:
        raise Unreachable(f"{to.token_file} cannot be read: {error.strerror}.") from error
    timeout = httpx.Timeout(settings.network_timeout_s, connect=10.0)
    verify: ssl.SSLContext | bool = client_tls(settings) if to.url.startswith("https:") else True
    with httpx.Client(
        base_url=f"{to.url}/", headers=headers, timeout=timeout, verify=verify, trust_env=False
    ) as client:
        yield client


def is_busy(status: int) -> bool:
    """Whether an answer's status says nothing of what was asked for, so that it is asked again."""
    return status >= 500 or status in _NOT_OF_THE_RESULT


def failure(response: httpx.Response, said: str = "") -> NotTaken | Refused:
    """What an answer that is no success means."""
    status = response.status_code
    sentence = f"The destination answered {status}{': ' if said else ''}{said[:_MAX_TEXT]}."
    if is_busy(status):
        return NotTaken(sentence)
    return Refused(sentence)
