"""`python -m cxr_serving.probe URL`: a container's health check, for its image has no HTTP client.

Prints the response, so that `docker inspect` shows why a container is unhealthy.
"""

import http.client
import json
import sys
from urllib.parse import urlsplit

_TIMEOUT_S = 4.0


def probe(url: str) -> tuple[bool, str]:
    """Whether `url` answers 200, and the sentence that it gives or that tells why it does not."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_S)
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
    if len(arguments) != 1:
        print("usage: python -m cxr_serving.probe URL", file=sys.stderr)
        return 2
    healthy, said = probe(arguments[0])
    print(said)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
