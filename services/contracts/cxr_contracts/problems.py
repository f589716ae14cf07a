"""The one error body of every service: RFC 9457, `application/problem+json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, for a program (`type`, `status`) and for a person (`title`, `detail`)."""

    # Extension members (RFC 9457, section 3.2) such as `study_id` or `errors` are kept.
    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Stable identifier of the kind of problem, e.g. `urn:cxr:problem:not-found`."
    )
    title: str = Field(description="The kind of problem in a few words; the same for every case.")
    status: int = Field(description="The HTTP status code.", ge=400, le=599)
    detail: str = Field(description="What happened in this case, and what would be accepted.")
    instance: str | None = Field(default=None, description="The request path.")

    def extensions(self) -> dict[str, Any]:
        """The extension members."""
        return dict(self.model_extra or {})
