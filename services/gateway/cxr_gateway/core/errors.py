"""The gateway's own leaves of the error tree in `cxr_serving.errors`.

ServiceError
├── Unauthenticated           401 no known user or key; only the log has the cause
├── Forbidden                 403 a page of another site sends something, or a role is missing
├── Misdirected               421 sent to a name that is not this gateway's
├── TextInImage               409 an image that may show a name is not exported
├── CursorGone                410 the changes after this cursor are another archive's
├── UploadTimeout             408 the client stopped sending in the middle of its upload
├── TooManyRequests           429 `Retry-After` says when there is room again
├── StorageFull               507 the archive's disk is full; nothing was kept
└── Unavailable
    ├── InferenceUnavailable  503 neither inference service answered; `study_id` names the study
    ├── ProviderDown          503 the OpenID provider does not answer, or not as it must
    ├── StorageDown           503 the S3 storage does not answer or refuses; see `Retry-After`
    ├── FilesLeft             503 a study's rows are gone and its files could not be removed
    ├── CommitUnanswered      503 the database went away during a commit; the study may be kept
    └── SchemaMismatch            the database has another schema; met at a start only

CommandError                  of a command; `BackupError`, `BrokenChain`, and
└── BadInput                  exit status 2: what was given cannot be worked with
"""

from typing import Any

from cxr_serving.errors import ServiceError, Unavailable

_NOT_KNOWN = "Sign in, or send a valid API key as `Authorization: Bearer`."


class TextInImage(ServiceError):
    """An image into which a name may be burnt is not exported as de-identified."""

    status = 409
    type = "urn:cxr:problem:text-in-image"
    title = "Text in the image"


class CommandError(Exception):
    """What an operator's command ends with, a sentence: why nothing was done, or not all."""

    exit_status = 1


class BadInput(CommandError):
    """What the operator gave cannot be worked with; nothing was changed."""

    exit_status = 2


class StorageFull(ServiceError):
    """The archive has no room; nothing of the request was kept."""

    status = 507
    type = "urn:cxr:problem:storage-full"
    title = "Archive full"


class InferenceUnavailable(Unavailable):
    """Neither inference service answered; the study is kept as failed and can be run again."""

    type = "urn:cxr:problem:inference-unavailable"
    title = "Inference unavailable"


class StorageDown(Unavailable):
    """The storage of the archive's files cannot be used; nothing of the request was kept."""

    retry_after_s = 10


class FilesLeft(Unavailable):
    """A study is gone from the database, and files of it are still there."""


class CommitUnanswered(Unavailable):
    """The database went away while it committed: only it knows whether the study is kept."""


class SchemaMismatch(Unavailable):
    """The archive's database has another schema than this gateway works with."""


class CursorGone(ServiceError):
    """A restore has put another history in the place of what a reader knows."""

    status = 410
    type = "urn:cxr:problem:cursor-gone"
    title = "Cursor gone"


class UploadTimeout(ServiceError):
    """The client stopped sending in the middle of its upload; nothing was kept."""

    status = 408
    type = "urn:cxr:problem:upload-timeout"
    title = "Upload timed out"


class Misdirected(ServiceError):
    """Sent to a name that is not this gateway's: the sender's settings, or another's trick."""

    status = 421
    type = "urn:cxr:problem:misdirected"
    title = "Misdirected"


class Forbidden(ServiceError):
    """Asked by somebody who may not."""

    status = 403
    type = "urn:cxr:problem:forbidden"
    title = "Forbidden"


class Unauthenticated(ServiceError):
    """Asked by nobody that is known.

    The answer is the same whatever is the matter, for an attacker learns from differences;
    `reason` is for the log.
    """

    status = 401
    type = "urn:cxr:problem:unauthenticated"
    title = "Not signed in"

    def __init__(self, reason: str, **extensions: Any) -> None:
        super().__init__(_NOT_KNOWN, **extensions)
        self.reason = reason

    @property
    def headers(self) -> dict[str, str]:
        """How to say who one is."""
        return {"WWW-Authenticate": "Bearer"}


class TooManyRequests(ServiceError):
    """More than one user, key or address may ask in a minute."""

    status = 429
    type = "urn:cxr:problem:too-many-requests"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after_s)}


class ProviderDown(Unavailable):
    """The OpenID provider does not answer, or not as it must; keys and sessions go on."""

    type = "urn:cxr:problem:provider-down"
    title = "Sign-in is not available"
