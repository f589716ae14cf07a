"""The public responses of the REST API.

Output schemas carry no defaults, so that every field is required in the generated clients.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Finding, FindingProbability, Probability, Region, Sha256

StudyId = Annotated[str, Field(pattern=r"^[0-9a-z]{26}$", description="Sortable by time.")]


class StudyStatus(StrEnum):
    """How far the analysis of a study came."""

    COMPLETE = "complete"  # both inference services answered
    PARTIAL = "partial"  # one did not answer; `problems` names it
    FAILED = "failed"  # neither answered; kept, and can be run again
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


class FailureKind(StrEnum):
    """The `kind` of a `StudyProblem`."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    ERROR = "error"
    INVALID_ANSWER = "invalid-answer"


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageMetadata(_Output):
    """What is known of the image, which hangs as usual and has square pixels."""

    width: int = Field(description="Pixels, as displayed; boxes and heat maps are in these.")
    height: int = Field(description="Likewise.")
    view: str | None = Field(description="`PA`, `AP` or what the file says; null if it is silent.")
    source: ImageSource
    notes: list[str] = Field(
        description="What was odd in the file and how it was read, a sentence each; usually none."
    )


class DicomMetadata(_Output):
    """What a DICOM file says of the patient; all null for PNG and JPEG."""

    patient_id: str | None
    name: str | None
    birth_date: str | None = Field(description="YYYY-MM-DD.")
    sex: str | None
    accession_number: str | None
    study_date: str | None = Field(description="YYYY-MM-DD.")
    study_instance_uid: str | None
    sop_instance_uid: str | None


class OodResult(_Output):
    """Whether the image is a frontal chest radiograph, as the out-of-distribution detector says."""

    accepted: bool
    score: Probability | None = Field(
        description="How like a frontal chest radiograph the image is, whatever decided."
    )
    threshold: Probability | None
    reason: str | None = Field(description="Why it was refused; null if it was accepted.")


class Box(_Output):
    """One suspicious region in pixels of the uploaded image; x to the right, y down."""

    finding: Region
    score: Probability = Field(
        description="How likely it is that this box is right: rescored with the classifier's "
        "probability by the study's `rescoring`, or the detector's own score where it has none."
    )
    detector_score: Probability = Field(description="The detector's own.")
    classifier_probability: Probability | None = Field(
        description="What the classifier says of the same finding; null if it has no such label."
    )
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Triage(_Output):
    """How urgent the study is, and which rule said so."""

    priority: Priority
    reason: str


class UsedModel(_Output):
    """A model that took part in the analysis."""

    role: str = Field(description="`ood`, `classifier` or `detector`.")
    name: str
    version: str
    sha256: Sha256


class UsedRescoring(_Output):
    """The constants by which boxes were rescored with the classifier's probabilities."""

    name: str
    sha256: Sha256 = Field(description="Of its manifest.")


class Timings(_Output):
    """Milliseconds spent; null for a step that did not take place."""

    decode: float
    ood: float | None
    classifier: float | None
    detector: float | None
    archive: float | None
    total: float


class StudyProblem(_Output):
    """A service whose part is missing from the study, and why."""

    service: str = Field(description="`classifier` or `detector`.")
    kind: str = Field(
        description="`unreachable`, `timeout`, `overloaded`, `error` or `invalid-answer`."
    )
    detail: str


class Study(_Output):
    """One analysed radiograph."""

    id: StudyId
    status: StudyStatus
    received_at: datetime
    file_name: str | None = Field(description="As the client named it; never used as a path.")
    content_sha256: Sha256
    image: ImageMetadata
    patient: DicomMetadata
    ood: OodResult
    top_findings: list[FindingProbability] = Field(description="The three most probable.")
    findings: list[FindingProbability] = Field(description="All fourteen, most probable first.")
    boxes: list[Box] = Field(description="Highest score first.")
    rescoring: UsedRescoring | None = Field(
        description="By what the boxes were rescored; null where the detector's own scores and "
        "thresholds decided, because a service did not answer or no rescoring was fitted to these "
        "two models."
    )
    heatmaps: list[Finding] = Field(
        description="Findings for which `/heatmaps/{finding}.png` exists, most probable first."
    )
    triage: Triage | None = Field(description="Null where nothing was diagnosed.")
    models: list[UsedModel]
    timings_ms: Timings
    problems: list[StudyProblem]


class StudySummary(_Output):
    """A study in the list."""

    id: StudyId
    status: StudyStatus
    received_at: datetime
    file_name: str | None
    image: ImageMetadata
    patient: DicomMetadata
    ood: OodResult
    top_findings: list[FindingProbability]
    triage: Triage | None


class StudyPage(_Output):
    """Studies, most urgent first, then newest first."""

    items: list[StudySummary]
    next_cursor: str | None = Field(description="Hand back as `cursor`; null on the last page.")
    total: int


class ServiceStatus(_Output):
    """An inference service as the gateway sees it now."""

    role: str
    ready: bool
    detail: str | None
    model: UsedModel | None


class TriageRule(_Output):
    """A line of the triage table."""

    priority: Priority
    finding: Finding | None
    rule: str


class RescoringStatus(_Output):
    """Whether boxes of the models that are active now are rescored."""

    in_use: UsedRescoring | None = Field(description="Null where the detector's scores decide.")
    detail: str


class SystemStatus(_Output):
    """What this installation is, for the page and for operators."""

    version: str
    intended_use: str
    services: list[ServiceStatus]
    models: list[UsedModel]
    rescoring: RescoringStatus
    triage_rules: list[TriageRule]
    max_upload_bytes: int
    max_pixels: int
    accepted: list[str] = Field(description="Media types.")
