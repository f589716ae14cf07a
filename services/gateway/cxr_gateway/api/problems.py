"""The catalogue of problem types: what each means, what to do, and which members it has.

The OpenAPI document, `GET /problems` and docs/problems.md are made of it. A contract test holds it
against the errors that the code can raise.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from cxr_gateway.api.dicom_search import NotAcceptable
from cxr_gateway.core.errors import (
    CursorGone,
    Forbidden,
    InferenceUnavailable,
    Misdirected,
    ProviderDown,
    StorageFull,
    TextInImage,
    TooManyRequests,
    Unauthenticated,
    UploadTimeout,
)
from cxr_serving.errors import (
    PROBLEM_PREFIX,
    BadRequest,
    Conflict,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

Said = type[ServiceError] | int
# A problem is found by its error, or by its status where that has one usual cause.
_STUDY = "01k6xw3m9v5t8r2q4n7j1h0g6f"


class ProblemMember(BaseModel):
    """A member of a problem body beside those of RFC 9457."""

    name: str = Field(description="Of the member.")
    description: str = Field(description="What it is, for a person.")


class ProblemType(BaseModel):
    """A kind of problem: the same for every case of it."""

    type: str = Field(description="What the body's `type` is.")
    name: str = Field(description="The last part of `type`; `/problems/{name}` is about it.")
    title: str = Field(description="As in the body.")
    status: int = Field(ge=400, le=599, description="The HTTP status code that it comes with.")
    meaning: str = Field(description="What has happened.")
    advice: str = Field(description="What a client does then.")
    retry: bool = Field(
        description="Whether the same request may succeed later; `Retry-After` says when, if known."
    )
    members: list[ProblemMember] = Field(description="Further members that the body may have.")
    example: dict[str, Any] = Field(description="A body of this type.")


def _member(name: str, description: str) -> ProblemMember:
    return ProblemMember(name=name, description=description)


def _of(
    error: type[ServiceError],
    meaning: str,
    advice: str,
    detail: str,
    *,
    retry: bool = False,
    members: Iterable[ProblemMember] = (),
    **example: Any,
) -> ProblemType:
    return _described(
        (error.type, error.title, error.status),
        meaning,
        advice,
        detail,
        retry=retry,
        members=members,
        **example,
    )


def _described(
    kind: tuple[str, str, int],
    meaning: str,
    advice: str,
    detail: str,
    *,
    retry: bool = False,
    members: Iterable[ProblemMember] = (),
    **example: Any,
) -> ProblemType:
    uri, title, status = kind
    body = {"type": uri, "title": title, "status": status, "detail": detail}
    return ProblemType(
        type=uri,
        name=uri.removeprefix(PROBLEM_PREFIX),
        title=title,
        status=status,
        meaning=meaning,
        advice=advice,
        retry=retry,
        members=[*members],
        example={**body, "instance": "/api/v1/studies", **example},
    )


_INVALID = (f"{PROBLEM_PREFIX}invalid-request", "Invalid request", 422)
_METHOD = (f"{PROBLEM_PREFIX}method-not-allowed", "Method not allowed", 405)
_AGAIN = "Wait for `Retry-After` seconds, or a while that grows, and send the same request again."
_MEND = "Mend the request: sent again as it is, it fails again."

CATALOGUE: tuple[ProblemType, ...] = (
    _of(
        BadRequest,
        "The request contradicts itself or is cut short.",
        _MEND,
        "`cursor` is not a `next_cursor` of this list.",
    ),
    _of(
        Unauthenticated,
        "Nobody that is known asks: no key or session, or one that has ended.",
        "Send a valid API key as `Authorization: Bearer`, or sign in.",
        "Sign in, or send a valid API key as `Authorization: Bearer`.",
    ),
    _of(
        Forbidden,
        "Whoever asks is known, and may not do this.",
        "Ask the administrator for a role that may: docs/permissions.md says which.",
        "None of your roles allows this.",
    ),
    _of(
        NotFound,
        "There is no such thing; or there is, and it is another department's.",
        "Do not ask again; a study may have been deleted.",
        f"No study has the id `{_STUDY}`.",
        instance=f"/api/v1/studies/{_STUDY}",
    ),
    _described(
        _METHOD,
        "The path does not answer this method.",
        "`Allow` names those that it answers.",
        "/api/v1/studies does not answer PATCH.",
    ),
    _of(
        NotAcceptable,
        "The client takes no form in which this can be had.",
        "Mend `Accept`.",
        'Results can be had as multipart/related; type="application/dicom".',
        instance="/dicomweb/studies/1.2.3",
    ),
    _of(
        CursorGone,
        "The cursor is of the archive as it was before a restore.",
        "Begin without a cursor; what was read before may have been undone.",
        "This cursor belongs to the archive as it was before a restore; begin without one.",
    ),
    _of(
        UploadTimeout,
        "The upload stopped on its way, or was too slow; nothing was kept.",
        "Send it again.",
        "Nothing came for 30 s in the middle of the upload.",
        retry=True,
    ),
    _of(
        Conflict,
        "Something else is there already, or has changed since the client looked.",
        "Look at it again, then decide. An `Idempotency-Key` belongs to one file for good.",
        "This Idempotency-Key was used for a file with other content.",
    ),
    _of(
        TextInImage,
        "A name may be burnt into the image, so it is not given as de-identified.",
        "Have a person look at it, then ask with `pixels_reviewed=true`.",
        "The file says that text may be burnt into its image.",
        instance=f"/api/v1/studies/{_STUDY}/deidentified",
    ),
    _of(
        PayloadTooLarge,
        "Too many bytes or pixels; refused before decoding.",
        "Send a smaller file; `/api/v1/system` has the limits.",
        "The upload exceeds 50,000,000 bytes.",
        members=[
            _member("max_bytes", "How many bytes are accepted, if these were too many."),
            _member("max_pixels", "How many pixels are accepted, if these were too many."),
        ],
        max_bytes=50_000_000,
    ),
    _of(
        UnsupportedMedia,
        "Not a file or body of a kind that is accepted here.",
        "Send PNG, JPEG or DICOM, without Content-Encoding.",
        "Found a GIF; accepted are PNG, JPEG and DICOM.",
    ),
    _of(
        Unprocessable,
        "Understood, and it cannot be done: a broken file, or something that does not go together.",
        _MEND,
        "`level` is likely or possible, and goes with a `finding`.",
    ),
    _described(
        _INVALID,
        "A parameter or the body is not as this document says.",
        "Mend what `errors` names.",
        "query.limit: Input should be less than or equal to 200.",
        members=[_member("errors", "A `where` and a `message` for each thing that is wrong.")],
        errors=[
            {"where": "query.limit", "message": "Input should be less than or equal to 200"},
        ],
    ),
    _of(
        Misdirected,
        "The request names a host that is not this gateway's.",
        "Call it by its own name, or tell the operator to allow this one "
        "(`CXR_GATEWAY_ALLOWED_HOSTS`).",
        "This gateway does not answer to the name in the request's Host header; "
        "CXR_GATEWAY_ALLOWED_HOSTS lists those that it answers to.",
    ),
    _of(
        TooManyRequests,
        "More requests of one user, key or address than are taken in a minute, or more uploads or "
        "analyses at once than one may have.",
        _AGAIN,
        "Too many requests in a minute; try again later.",
        retry=True,
    ),
    _of(
        ServiceError,
        "An error of the gateway's own; its log has the cause.",
        "Tell the operator, with this response's `X-Request-ID`.",
        "The service failed in an unexpected way. Its log has the cause under the request id "
        "of this response's X-Request-ID header.",
    ),
    _of(
        InferenceUnavailable,
        "Neither inference service answered; the study is kept as `failed`.",
        "Send the same file again later, or `POST /api/v1/studies/{study_id}/rerun`.",
        "Neither inference service answered; the study is kept and can be run again.",
        retry=True,
        members=[
            _member("study_id", "Under which the study is kept."),
            _member("problems", "Of each service what was the matter, as in a study."),
        ],
        study_id=_STUDY,
    ),
    _of(
        Overloaded,
        "More is being analysed than the gateway takes at once; nothing was kept of this.",
        _AGAIN,
        "64 studies are being read, as many as this gateway takes at once.",
        retry=True,
    ),
    _of(
        ProviderDown,
        "The OpenID provider does not answer; API keys and open sessions go on.",
        _AGAIN,
        "The OpenID provider does not answer.",
        retry=True,
        instance="/api/v1/sign-in",
    ),
    _of(
        Unavailable,
        "The archive's database or storage does not answer, or the gateway is starting.",
        _AGAIN,
        "The archive's database does not answer.",
        retry=True,
    ),
    _of(
        StorageFull,
        "The archive has no room; nothing of the request was kept.",
        "Tell the operator.",
        "The archive has no room left; nothing of this upload was kept.",
        retry=True,
    ),
)
_BY_NAME = {one.name: one for one in CATALOGUE}
# What a bare status means: a bad request, or one that breaks the document, too.
_USUAL: dict[int, tuple[str, ...]] = {
    400: ("bad-request",),
    401: ("unauthenticated",),
    403: ("forbidden",),
    404: ("not-found",),
    406: ("not-acceptable",),
    408: ("upload-timeout",),
    409: ("conflict",),
    410: ("cursor-gone",),
    413: ("too-large",),
    415: ("unsupported-media",),
    422: ("invalid-request", "unprocessable"),
    429: ("too-many-requests",),
    503: ("unavailable",),
    507: ("storage-full",),
}


def problem_type(name: str) -> ProblemType:
    """One of the catalogue, by the last part of its `type`.

    Raises:
        NotFound: there is no such type.
    """
    if name not in _BY_NAME:
        raise NotFound("There is no such type of problem; /problems lists them.")
    return _BY_NAME[name]


def types_of(*said: Said) -> list[ProblemType]:
    """What statuses and errors stand for, in the catalogue's order."""
    names = {
        name
        for one in said
        for name in (
            _USUAL[one] if isinstance(one, int) else [one.type.removeprefix(PROBLEM_PREFIX)]
        )
    }
    return [one for one in CATALOGUE if one.name in names]


def markdown() -> str:
    """The catalogue as `docs/problems.md`."""
    return _HEAD + "".join(_section(one) for one in CATALOGUE)


_HEAD = """\
# Problem types

Written by `make generate` from the catalogue that the gateway uses; do not edit it here.

Every error is a problem body ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) of
`application/problem+json`: `type` is for a program, `title` and `detail` are for a person, `status`
repeats the HTTP status, `instance` is the request's path. The gateway has this page, too:
`GET /problems` lists the types, `GET /problems/{name}` is one. A type keeps its meaning; new ones
may come, so treat one that you do not know by its status.
"""


def _section(one: ProblemType) -> str:
    members = "".join(f"- `{each.name}`: {each.description}\n" for each in one.members)
    again = "The same request may succeed later." if one.retry else "Do not just send it again."
    return (
        f"\n## {one.name}\n\n`{one.type}`, {one.status} {one.title}. {one.meaning}\n\n"
        f"{one.advice} {again}\n" + (f"\n{members}" if members else "")
    )
