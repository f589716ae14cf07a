"""JSON with an entity tag: a client that has it already gets 304 and no body (RFC 9110, 13)."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Response

from cxr_gateway.api.documents import header

IfNoneMatch = Annotated[
    str | None,
    Header(
        max_length=2000, description="The `ETag` of the copy that is there: 304 if it still holds."
    ),
]
TAGGED = {"ETag": header("Changes with the answer.", '"9f86d081884c7d659a2feaa0"')}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {
        "description": "The client's copy (`If-None-Match`) is still the same.",
        "headers": TAGGED,
    }
}


def tagged(description: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of what is answered by `json_response`, its problems left out."""
    return {200: {"description": description, "headers": TAGGED}, **NOT_MODIFIED}


def json_response(
    content: str,
    if_none_match: str | None,
    media_type: str = "application/json",
    *,
    told: str | None = None,
) -> Response:
    """The content, or 304.

    Args:
        content: the whole body.
        if_none_match: the request's header.
        media_type: of the content.
        told: with every byte of which the tag changes; the content by default.
    """
    body = content.encode()
    tag = f'"{hashlib.sha256((content if told is None else told).encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag}
    given = [one.strip() for one in (if_none_match or "").split(",")]
    # Compared weakly: a proxy that compresses marks the tag as weak.
    if "*" in given or tag in [one.removeprefix("W/") for one in given]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
