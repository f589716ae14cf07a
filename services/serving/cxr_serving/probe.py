"""`python -m cxr_serving.probe URL`: a container's health check, for its image has no HTTP client.

`URL CERTIFICATE KEY` shows a certificate to a service that asks for one. It is on loopback, where
the service's own name is not, so its certificate is not looked at: nothing but a sentence is read.

Prints the response, so that `docker inspect` shows why a container is unhealthy.
"""

import http.client
import json
import ssl
import sys
from urllib.parse import urlsplit

_TIMEOUT_S = 4.0


def probe(url: str, certificate: str | None = None, key: str | None = None) -> tuple[bool, str]:
    """Whether `url` answers 200, and the sentence that it gives or that tells why it does not."""
    address = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_S)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(certificate, key)
            connection = http.client.HTTPSConnection(
                address.netloc, timeout=_TIMEOUT_S, context=context
            )
    except OSError as error:
        return False, f"{certificate} cannot be used: {error}."
    try:
        connection.request("GET", address.path or "/")
        response = connection.getresponse()
        body = response.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url} cannot be asked: {error}."
    finally:
        connection.close()
    return response.status == http.client.OK, _sentence(body) or f"status {response.status}"


def _sentence(body: bytes) -> str:
    try:
        content = json.loads(body)
    except ValueError:
        return ""
    return (
        str(content.get("detail", content.get("status", ""))) if isinstance(content, dict) else ""
    )


def main(arguments: list[str]) -> int:
    """0 where the address answers 200, 1 where it does not, 2 without an address."""
    if len(arguments) not in (1, 3):
        print("usage: python -m cxr_serving.probe URL [CERTIFICATE KEY]", file=sys.stderr)
        return 2
    healthy, said = probe(*arguments)
    print(said)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
