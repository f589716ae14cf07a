"""What the API takes and tells of reports."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cxr_gateway.core.schemas import Count, StudyId

MAX_SECTION_CHARS = 4_000
Section = Annotated[str, Field(max_length=MAX_SECTION_CHARS, pattern=r"^[^\x00]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportText(_Strict):
    """A report's sections, plain text."""

    examination: Section = Field(description="What was done, and of whom.")
    comparison: Section = Field(description="With what it was compared.")
    findings: Section = Field(description="What is seen.")
    impression: Section = Field(description="What that means.")


class ReportChange(_Strict):
    """The next version of a report."""

    based_on: int = Field(
        ge=0, description="The last version that its author saw; 0: there was none."
    )
    revision: int = Field(ge=1, description="Of the analysis that its author saw.")
    text: ReportText = Field(description="All of it; sections may be empty.")
    sign: bool = Field(description="Whether its author answers for it.")


class ReportVersion(_Strict):
    """A version as it was kept."""

    version: Count = Field(description="From 1.")
    revision: Count = Field(description="The analysis that its author saw.")
    at: datetime = Field(description="When it was written.")
    by: str = Field(description="As the audit log calls them.")
    name: str = Field(description="As it stands under the text.")
    signed: bool = Field(description="Whether its author answers for it.")
    text: ReportText = Field(description="As it was written.")


class Report(_Strict):
    """A study's report: what is drafted, and what people wrote."""

    study_id: StudyId
    revision: Count = Field(description="Of the study's latest analysis.")
    draft: ReportText = Field(description="From levels and corrections as they are now.")
    versions: list[ReportVersion] = Field(description="The latest last; usually none.")
