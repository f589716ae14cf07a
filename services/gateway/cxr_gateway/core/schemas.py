"""The public answers of the REST API. Field names are settled; fields may be added.

Output schemas carry no defaults, so that every field is required in the generated clients.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Finding, FindingProbability, Probability, Region, Sha256

StudyId = Annotated[str, Field(pattern=r"^[0-9a-z]{26}$", description="Sortable by time.")]


class StudyStatus(StrEnum):
    """How far the reading of a study came."""

    COMPLETE = "complete"  # both readers answered
    PARTIAL = "partial"  # one reader is missing; `problems` names it
    FAILED = "failed"  # both readers are missing; kept, and can be run again
    REJECTED = "rejected"  # not a frontal chest radiograph; nothing was diagnosed


class Priority(StrEnum):
    """How soon a person should look; see docs/triage.md for the table behind it."""

    URGENT = "urgent"
    SOON = "soon"
    ROUTINE = "routine"


class ImageSource(StrEnum):
    """The kind of file that was uploaded."""

    PNG = "png"
    JPEG = "jpeg"
    DICOM = "dicom"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageMetadata(_Answer):
    """What is known of the image; sizes in pixels of the uploaded image."""

    width: int
    height: int
    view: str | None = Field(description="`PA`, `AP` or what the file says; null if it is silent.")
    source: ImageSource


class DicomMetadata(_Answer):
    """What a DICOM file says of the patient; all null for PNG and JPEG."""

    patient_id: str | None
    name: str | None
    birth_date: str | None = Field(description="YYYY-MM-DD.")
    sex: str | None
    accession_number: str | None
    study_date: str | None = Field(description="YYYY-MM-DD.")
    study_instance_uid: str | None
    sop_instance_uid: str | None


class Gate(_Answer):
    """Whether this is a frontal chest radiograph at all."""

    accepted: bool
    score: Probability | None = Field(
        description="How like a frontal chest film the picture is, whatever decided."
    )
    threshold: Probability | None
    reason: str | None = Field(description="Why it was refused; null if it was accepted.")


class Box(_Answer):
    """One suspicious region in pixels of the uploaded image; x to the right, y down."""

    finding: Region
    rescored_score: Probability | None = Field(
        description="Made of the two below by the study's `rescoring`: how likely it is that this "
        "box is right. Null where the study has none; then `score` alone counts."
    )
    score: Probability = Field(description="The detector's own.")
    classifier_probability: Probability | None = Field(
        description="What the classifier says of the same finding; null if it has no such label."
    )
    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def ranking_score(self) -> float:
        """The score by which boxes are chosen and ordered."""
        return self.score if self.rescored_score is None else self.rescored_score


class Triage(_Answer):
    """How urgent the study is, and which rule said so."""

    priority: Priority
    reason: str


class UsedModel(_Answer):
    """A model that took part in the answer."""

    role: str = Field(description="`gate`, `classifier` or `detector`.")
    name: str
    version: str
    sha256: Sha256


class UsedRescoring(_Answer):
    """The constants that rescored the boxes' scores with the classifier's probabilities."""

    name: str
    sha256: Sha256 = Field(description="Of its manifest.")


class Timings(_Answer):
    """Milliseconds spent; null for a step that did not take place."""

    decode: float
    gate: float | None
    classifier: float | None
    detector: float | None
    archive: float | None
    total: float


class StudyProblem(_Answer):
    """A part that is missing from the answer, and why."""

    part: str = Field(description="`classifier` or `detector`.")
    kind: str = Field(
        description="`unreachable`, `timeout`, `overloaded`, `error` or `invalid-answer`."
    )
    detail: str


class Study(_Answer):
    """One read radiograph."""

    id: StudyId
    status: StudyStatus
    received_at: datetime
    file_name: str | None = Field(description="As the client named it; never used as a path.")
    content_sha256: Sha256
    image: ImageMetadata
    patient: DicomMetadata
    gate: Gate
    top_findings: list[FindingProbability] = Field(description="The three most probable.")
    findings: list[FindingProbability] = Field(description="All fourteen, most probable first.")
    boxes: list[Box] = Field(
        description="Highest rescored score first, or score without `rescoring`."
    )
    rescoring: UsedRescoring | None = Field(
        description="What chose and ordered the boxes: their rescored scores, made by this; null "
        "where the detector's own scores and thresholds did, because a reader is missing or no "
        "rescoring was fitted to these two models."
    )
    heatmaps: list[Finding] = Field(
        description="Findings for which `/heatmaps/{finding}.png` exists, most probable first."
    )
    triage: Triage | None = Field(description="Null where nothing was diagnosed.")
    models: list[UsedModel]
    timings_ms: Timings
    problems: list[StudyProblem]


class StudySummary(_Answer):
    """A study in the list."""

    id: StudyId
    status: StudyStatus
    received_at: datetime
    file_name: str | None
    image: ImageMetadata
    patient: DicomMetadata
    gate: Gate
    top_findings: list[FindingProbability]
    triage: Triage | None


class StudyPage(_Answer):
    """Studies, most urgent first, then newest first."""

    items: list[StudySummary]
    next_cursor: str | None = Field(description="Hand back as `cursor`; null on the last page.")
    total: int


class ServiceStatus(_Answer):
    """A reader as the gateway sees it now."""

    role: str
    ready: bool
    detail: str | None
    model: UsedModel | None


class TriageRule(_Answer):
    """A line of the triage table."""

    priority: Priority
    finding: Finding | None
    rule: str


class RescoringStatus(_Answer):
    """Whether boxes of the readers that are there now are rescored."""

    in_use: UsedRescoring | None = Field(description="Null where the detector's scores decide.")
    detail: str


class SystemStatus(_Answer):
    """What this installation is, for the page and for operators."""

    version: str
    intended_use: str
    readers: list[ServiceStatus]
    models: list[UsedModel]
    rescoring: RescoringStatus
    triage_rules: list[TriageRule]
    max_upload_bytes: int
    max_pixels: int
    accepted: list[str] = Field(description="Media types.")
