"""What the API takes and tells of reviews and agreement.

The words follow IHE's profile AI Results Assessment: an answer of a model is accepted, modified or
rejected, and what it missed is added.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Finding, Level, Probability, Region
from cxr_gateway.core.schemas import Count, Share, StudyId, UsedModel

MAX_COMMENT_CHARS = 4_000
# More than any model has.
MAX_FINDINGS = 200
Label = Finding | Region
EntryId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="A random UUID that the client makes: the same entry sent twice is kept once.",
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Verdict(StrEnum):
    """What a reader says of an answer."""

    ACCEPTED = "accepted"  # it is as shown; an unlikely finding is not there
    REJECTED = "rejected"  # it is not; an unlikely finding is there
    MODIFIED = "modified"  # something is there: it is called otherwise, or lies elsewhere
    ADDED = "added"  # what no answer says
    COMMENTED = "commented"  # words alone


class FindingTarget(_Strict):
    """One of the classifier's findings."""

    kind: Literal["finding"] = Field(description="Says that it is one.")
    finding: Finding = Field(description="Which one.")


class BoxTarget(_Strict):
    """One of the detector's boxes."""

    kind: Literal["box"] = Field(description="Says that it is one.")
    index: int = Field(ge=0, le=10_000, description="Which of the study's `boxes`, from 0.")
    region: Region = Field(description="What the box is called; another is a conflict.")


Target = Annotated[FindingTarget | BoxTarget, Field(discriminator="kind")]


class Corners(_Strict):
    """A rectangle in pixels of the image as displayed; x to the right, y down."""

    x_min: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Left edge, in pixels.")
    y_min: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Upper edge, in pixels.")
    x_max: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Right edge, in pixels.")
    y_max: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Lower edge, in pixels.")


class ReviewChange(_Strict):
    """What a reader says of a study or of one of its answers."""

    revision: int = Field(ge=1, description="Of the review that the reader saw.")
    verdict: Verdict = Field(description="What the reader says of it.")
    target: Target | None = Field(
        default=None, description="Null for `added`, and for a comment on the study."
    )
    label: Label | None = Field(
        default=None, description="With `modified` and `added`: what it is."
    )
    corners: Corners | None = Field(
        default=None, description="With `modified` of a box and `added`: where it is."
    )
    comment: str = Field(
        default="",
        max_length=MAX_COMMENT_CHARS,
        pattern=r"^[^\x00]*$",
        description="The reader's own words; needed with `commented`.",
    )


class ReviewEntry(_Strict):
    """What a reader said."""

    id: str = Field(description="The UUID under which it was put.")
    revision: Count = Field(description="The analysis that the reader saw, from 1.")
    verdict: Verdict = Field(description="What the reader says of it.")
    target: Target | None = Field(description="Which answer; null for the study, or what is added.")
    label: Label | None = Field(description="What it is by the reader.")
    corners: Corners | None = Field(description="Where it is by the reader.")
    shown_level: Level | None = Field(description="With a finding: its level as it was shown.")
    shown_value: Share | None = Field(
        description="The probability or the score as it was shown, 0 to 1."
    )
    model: UsedModel | None = Field(description="Whose answer it is about.")
    comment: str = Field(description="The reader's own words; usually empty.")
    by: str = Field(description="Who, as the audit log calls them.")
    mine: bool = Field(description="Whether it is of whoever asks, who alone may take it back.")
    at: datetime = Field(description="When it was said.")
    withdrawn_at: datetime | None = Field(description="When it was taken back; usually null.")
    counts: bool = Field(
        description="Whether it stands: not taken back, not replaced by a later word of the same "
        "reader, and not about a box of an earlier analysis."
    )


class Review(_Strict):
    """What readers said of a study."""

    study_id: StudyId
    revision: Count = Field(
        description="Of the study's latest analysis; hand it back with a change."
    )
    entries: list[ReviewEntry] = Field(description="The oldest first.")


class FirstReadChange(_Strict):
    """What a reader sees before the models' answers are shown."""

    findings: list[Finding] = Field(max_length=MAX_FINDINGS, description="None: nothing is seen.")
    comment: str = Field(
        default="",
        max_length=MAX_COMMENT_CHARS,
        pattern=r"^[^\x00]*$",
        description="In one's own words.",
    )


class ShownFinding(_Strict):
    """What the models said of a finding at that moment."""

    finding: Finding = Field(description="Which one.")
    level: Level = Field(description="How strong its evidence was.")
    probability: Probability = Field(description="0 to 1.")


class FirstRead(_Strict):
    """A reader's first opinion, and the models' of the same moment."""

    by: str = Field(description="Who, as the audit log calls them.")
    mine: bool = Field(description="Whether it is that of whoever asks.")
    at: datetime = Field(description="When, in UTC.")
    revision: int = Field(ge=1, description="The analysis whose answers were shown afterwards.")
    findings: list[Finding] = Field(description="What the reader saw.")
    comment: str = Field(description="In the reader's own words.")
    shown: list[ShownFinding] = Field(description="What the models said at that moment.")


class FirstReads(_Strict):
    """What readers said of a study before they saw the answers."""

    study_id: StudyId = Field(description="Which study.")
    given: bool = Field(description="Whether whoever asks has given one.")
    reads: list[FirstRead] = Field(
        description="The oldest first; none to whoever has not given one."
    )


class FirstReadShare(_Strict):
    """How often first opinions and the models were of one mind about a finding."""

    finding: Finding = Field(description="Which one.")
    read: Count = Field(description="First opinions of studies that the classifier answered.")
    both: Count = Field(description="The reader saw it, and the classifier called it likely.")
    reader_only: Count = Field(description="The reader alone saw it.")
    model_only: Count = Field(description="The classifier alone called it likely.")
    neither: Count = Field(description="Nobody did.")
    share: Share = Field(description="`both` and `neither` of `read`, 0..1.")
    low: Share = Field(description="Of the share's 95% interval (Wilson), 0..1.")
    high: Share = Field(description="Likewise.")


class ReportShare(_Strict):
    """How often signed reports and the classifier were of one mind about a finding."""

    finding: Finding = Field(description="Which one.")
    reports: Count = Field(description="Reports that say whether it is there.")
    both: Count = Field(description="The report says so, and the classifier called it likely.")
    report_only: Count = Field(description="The report alone says so.")
    model_only: Count = Field(description="The classifier alone called it likely.")
    neither: Count = Field(description="Neither does.")
    share: Share = Field(description="`both` and `neither` of `reports`, 0..1.")
    low: Share = Field(description="Of the share's 95% interval (Wilson), 0..1.")
    high: Share = Field(description="Likewise.")


class AgreementShare(_Strict):
    """How often readers agreed with some answers."""

    name: str = Field(description="Whose: a finding, a reader, a month, a model, or `all`.")
    judged: Count = Field(description="How many were judged; `added` ones were missed.")
    accepted: Count = Field(description="How many of them were as shown.")
    rejected: Count = Field(description="How many were not.")
    modified: Count = Field(description="How many were something else, or elsewhere.")
    added: Count = Field(description="How many findings no answer said.")
    share: Share | None = Field(description="Accepted of judged, 0..1; null of none.")
    low: Share = Field(description="Of the share's 95% interval (Wilson).")
    high: Share = Field(description="Likewise.")


class AgreementChange(_Strict):
    """A latest month that differs from those before it."""

    name: str = Field(description="A finding, or `all`.")
    month: str = Field(description="YYYY-MM, in UTC.")
    judged: Count = Field(description="In that month.")
    share: Share = Field(description="In that month, 0..1.")
    share_before: Share = Field(description="In the months before, 0..1.")
    change: float = Field(
        ge=-1, le=1, description="`share` less `share_before`; below 0 it has fallen."
    )
    low: float = Field(ge=-1, le=1, description="Of the change's 95% interval (Newcombe).")
    high: float = Field(ge=-1, le=1, description="Likewise.")


class AgreementRules(_Strict):
    """What a change is told by."""

    min_judged: Count = Field(
        description="A month, and those before it, with fewer is not compared."
    )
    confidence: Share = Field(description="Of the change's interval, e.g. 0.95.")


class AgreementReport(_Strict):
    """How often readers agreed with the models, among the answers that they judged."""

    summary: str = Field(description="What a person is to know, a sentence or two.")
    rules: AgreementRules = Field(description="By what changes are told.")
    overall: AgreementShare = Field(description="Of all answers together.")
    by_finding: list[AgreementShare] = Field(description="The most judged first.")
    by_reader: list[AgreementShare] = Field(description="As the audit log calls them; likewise.")
    by_month: list[AgreementShare] = Field(description="The latest last.")
    by_model: list[AgreementShare] = Field(description="Role, name and version; likewise.")
    changes: list[AgreementChange] = Field(description="What has fallen most first; usually none.")
    first_reads: list[FirstReadShare] = Field(
        description="By finding, of what was read before the answers were shown; the most often "
        "seen first. No reader had seen a model's answer, so these shares are comparable."
    )
    reports: list[ReportShare] = Field(
        description="By finding, of the imported labels of reports signed in these months; the "
        "most often said first."
    )
