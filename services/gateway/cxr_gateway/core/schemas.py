"""The public responses of the REST API.

Output schemas carry no defaults, so that every field is required in the generated clients.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr_contracts import (
    Finding,
    FindingLevels,
    FindingProbability,
    Level,
    LevelsSource,
    Probability,
    Problem,
    Region,
    Sha256,
)

StudyId = Annotated[str, Field(pattern=r"^[0-9a-z]{26}$", description="Sortable by time.")]


class StudyStatus(StrEnum):
    """How far the analysis of a study came."""

    PENDING = "pending"  # kept, and analysed soon
    COMPLETE = "complete"  # both inference services answered
    PARTIAL = "partial"  # one did not answer; `problems` names it
    FAILED = "failed"  # neither answered; kept, and can be run again
    REJECTED = "rejected"  # no frontal chest radiograph, or unreadable; nothing was diagnosed


class Priority(StrEnum):
    """How soon a person should look; docs/triage.md says how it is decided."""

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


# A string that is one: kept and sent as the file says it.
IsoDate = Annotated[str, Field(json_schema_extra={"format": "date"})]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Milliseconds = Annotated[float, Field(ge=0.0)]
# Of a box's corner: in pixels from the upper left of the image as displayed.
Pixels = Annotated[float, Field(ge=0.0)]


class ModelRole(StrEnum):
    """What a model of the analysis does."""

    OOD = "ood"  # says whether the image is a readable frontal chest radiograph
    CLASSIFIER = "classifier"
    DETECTOR = "detector"


class StoredPixels(_Output):
    """How the file stores the image, before it was made square and turned for display."""

    columns: Count = Field(description="Pixels from left to right.")
    rows: Count = Field(description="Pixels from top to bottom.")
    orientation: int = Field(
        ge=1,
        le=8,
        description="What was done to the stored image, with square pixels, to display it: the "
        "EXIF code of that turn, 1 for nothing.",
    )


class ImageMetadata(_Output):
    """What is known of the image, which hangs as usual and has square pixels."""

    width: Count = Field(description="Pixels, as displayed; boxes and heat maps are in these.")
    height: Count = Field(description="Pixels, likewise.")
    view: str | None = Field(description="`PA`, `AP` or what the file says; null if it is silent.")
    source: ImageSource = Field(description="What kind of file came.")
    notes: list[str] = Field(
        description="What was odd in the file and how it was read, a sentence each; usually none."
    )
    stored: StoredPixels | None = Field(description="Null for a study from before this was kept.")


class ImageQuality(_Output):
    """What was measured of the image's technical quality, on the pixels as displayed."""

    effective_px: Count = Field(
        description="How many pixels of the side that has fewer carry detail. Of an enlarged "
        "thumbnail these are about the thumbnail's."
    )
    grey_levels: int = Field(
        ge=0,
        le=256,
        description="Greys in use of 256, the darkest and brightest half percent left out.",
    )
    black_share: Share = Field(description="Of all pixels, those at 0; 0 to 1.")
    white_share: Share = Field(description="Of all pixels, those at 255; 0 to 1.")
    mean_grey: float = Field(
        ge=0, le=255, description="Exposure: the middle's mean grey, 0 to 255."
    )
    rotation_degrees: int = Field(
        ge=-180,
        le=270,
        description="By how much it seems to be turned clockwise: 90, 180, 270, or -40 to 40.",
    )
    inverted: bool = Field(description="Whether black and white seem to be exchanged.")
    part_of_chest: float = Field(
        description="By how much it is more like a part of a chest than like a whole one, without "
        "a unit; below 0 for most."
    )
    blocking: float = Field(
        description="By how many greys the steps at block edges of JPEG exceed others; below 0 "
        "where they are smaller."
    )
    warnings: list[str] = Field(
        description="A sentence for each number out of the ordinary; usually none."
    )
    unreadable: str | None = Field(
        description="Why nobody could read the image: the study is `rejected` for it. Usually null."
    )


class SpacingSource(StrEnum):
    """Which element of a DICOM file says how large a pixel is, and where."""

    CALIBRATED = "PixelSpacing"  # in the patient, as somebody calibrated it
    DETECTOR = "ImagerPixelSpacing"  # at the detector, where everything is larger than it is


class PixelSpacing(_Output):
    """How large a pixel of the displayed image is."""

    mm: float = Field(gt=0, description="The side of a pixel, in millimetres.")
    source: SpacingSource = Field(description="Which element says so.")


class StoredGreys(_Output):
    """What `pixels.png` holds: the greys of the file itself, and how `image.png` shows them."""

    bits: int = Field(ge=1, le=16, description="So many bits hold the brightest value.")
    darkest: int = Field(description="The smallest value that occurs, in the file's own unit.")
    brightest: int = Field(description="The largest one, in the file's own unit.")
    black: float = Field(
        description="At and below this value, in the file's own unit, `image.png` is black; where "
        "its curve is no straight line, by the line through the curve's middle."
    )
    white: float = Field(
        description="At and above this value, in the file's own unit, it is white. More than "
        "`black`."
    )
    spacing: PixelSpacing | None = Field(description="Null where the file does not say.")
    sided: bool = Field(
        description="Whether the file says which side is the patient's left, by Patient "
        "Orientation (0020,0020): it is then on the right of the image."
    )


class DicomMetadata(_Output):
    """What a DICOM file says of the patient; all null for PNG and JPEG."""

    patient_id: str | None = Field(description="Patient ID (0010,0020).")
    issuer_of_patient_id: str | None = Field(
        description="Issuer of Patient ID (0010,0021): who gave the number. The same number of "
        "another issuer is another patient."
    )
    name: str | None = Field(description="Patient's Name (0010,0010), as the file writes it.")
    birth_date: IsoDate | None = Field(
        description="YYYY-MM-DD; null where the file has no whole date."
    )
    sex: str | None = Field(description="Patient's Sex (0010,0040): `F`, `M`, `O`, or else.")
    accession_number: str | None = Field(description="Accession Number (0008,0050).")
    study_date: IsoDate | None = Field(
        description="YYYY-MM-DD; null where the file has no whole date."
    )
    study_instance_uid: str | None = Field(description="Study Instance UID (0020,000D).")
    sop_instance_uid: str | None = Field(description="SOP Instance UID (0008,0018).")

    @model_validator(mode="before")
    @classmethod
    def _kept_without_issuer(cls, values: Any) -> Any:
        """A kept result does not hold the issuer; the archive puts it in (`StoredStudy.study`)."""
        return {"issuer_of_patient_id": None, **values} if isinstance(values, dict) else values


class OodResult(_Output):
    """Whether the image is a readable frontal chest radiograph."""

    accepted: bool = Field(description="False: nothing was diagnosed, and `reason` says why.")
    score: Probability | None = Field(
        description="How like a frontal chest radiograph the image is, 0 to 1, whatever decided."
    )
    threshold: Probability | None = Field(description="From this `score` on it is accepted.")
    reason: str | None = Field(description="Why it was refused; null if it was accepted.")


class Box(_Output):
    """One suspicious region in pixels of the uploaded image; x to the right, y down."""

    finding: Region = Field(description="What seems to be there.")
    score: Probability = Field(
        description="How likely it is that this box is right, as measured on validation patients: "
        "of boxes at 0.3, about 3 in 10 are. Of a detector that was not calibrated, its own score."
    )
    detector_score: Probability = Field(
        description="The detector's own, which its thresholds and triage go by."
    )
    classifier_probability: Probability | None = Field(
        description="What the classifier says of the same finding; null if it has no such label."
    )
    x_min: Pixels = Field(description="Left edge, in pixels of `image.png`.")
    y_min: Pixels = Field(description="Upper edge, in pixels.")
    x_max: Pixels = Field(description="Right edge, in pixels, exclusive.")
    y_max: Pixels = Field(description="Lower edge, in pixels, exclusive.")


class TriageCause(_Output):
    """The answer that decided: of all, the one that raised the deciding score most."""

    finding: Finding | None = Field(
        description="What the answer is about; with `region`, the finding of the same name, if any."
    )
    region: Region | None = Field(description="Null where the classifier's answer decided.")
    value: Probability = Field(
        description="The finding's probability, or the detector's own score of the region's box."
    )
    usual: Probability | None = Field(
        description="The median of the same value among the radiographs that triage was fitted on; "
        "null where evidence levels decided."
    )
    level: Level | None = Field(description="Of `finding`; null without the classifier's answer.")
    box: Count | None = Field(description="With `region`: which of the study's `boxes`, from 0.")


class UsedTriage(_Output):
    """The constants by which answers became a score."""

    name: str = Field(description="Of the triage model's folder.")
    sha256: Sha256 = Field(description="Of its manifest.")


class Triage(_Output):
    """How soon a person should look, and why: as data, and as a sentence."""

    priority: Priority = Field(description="How soon.")
    score: Probability | None = Field(
        description="The probability of an immediate finding; null where evidence levels decided, "
        "because a service did not answer or no triage model was fitted to these two models."
    )
    same_day_score: Probability | None = Field(
        description="The probability of a finding that is immediate or to be read the same day."
    )
    urgent_threshold: Probability | None = Field(description="From this `score` on: urgent.")
    soon_threshold: Probability | None = Field(description="From this `same_day_score` on: soon.")
    cause: TriageCause | None = Field(
        description="What decided on urgent or soon; null for routine, and where only a missing "
        "answer did."
    )
    model: UsedTriage | None = Field(description="Null where evidence levels decided.")
    reason: str = Field(description="The same for a person, a sentence or two.")


class UsedModel(_Output):
    """A model that took part in the analysis."""

    role: ModelRole = Field(description="What it does.")
    name: str = Field(description="Of the model's folder, e.g. `lite0-cxr`.")
    version: str = Field(description="As its manifest says, e.g. `3.0.0`.")
    sha256: Sha256 = Field(description="Of the model's `weights.safetensors`.")


class UsedRescoring(_Output):
    """The constants by which versions up to 0.2 rescored boxes with the classifier's answer."""

    name: str = Field(description="Of their folder.")
    sha256: Sha256 = Field(description="Of its manifest.")


class Timings(_Output):
    """Milliseconds spent; null for a step that did not take place."""

    decode: Milliseconds = Field(description="Milliseconds to decode the file.")
    ood: Milliseconds | None = Field(
        description="Milliseconds to tell whether it is a chest radiograph."
    )
    classifier: Milliseconds | None = Field(
        description="Milliseconds until the classifier answered; it works beside the detector."
    )
    detector: Milliseconds | None = Field(description="Milliseconds until the detector answered.")
    archive: Milliseconds | None = Field(description="Milliseconds to keep file and result.")
    total: Milliseconds = Field(description="Milliseconds from the whole file to the result.")


class StudyProblem(_Output):
    """A service whose part is missing from the study, and why."""

    service: ModelRole = Field(description="Whose part: the classifier's or the detector's.")
    kind: FailureKind = Field(description="What was the matter.")
    detail: str = Field(description="The same for a person.")


class Study(_Output):
    """One analysed radiograph."""

    id: StudyId
    status: StudyStatus = Field(description="How far the analysis came.")
    received_at: datetime = Field(description="When the whole file had come, in UTC.")
    file_name: str | None = Field(description="As the client named it; never used as a path.")
    content_sha256: Sha256 = Field(description="Of the uploaded bytes.")
    image: ImageMetadata = Field(description="Size, view and kind of file.")
    quality: ImageQuality | None = Field(
        description="Null for a study from before it was measured."
    )
    patient: DicomMetadata = Field(description="What the file says of the patient.")
    ood: OodResult = Field(description="Whether it is a readable frontal chest radiograph.")
    top_findings: list[FindingProbability] = Field(description="The first three of `findings`.")
    findings: list[FindingProbability] = Field(
        description="All fourteen, by level (likely first), then by probability."
    )
    boxes: list[Box] = Field(description="Highest score first.")
    rescoring: UsedRescoring | None = Field(
        description="By what the boxes of a study of an earlier version were rescored; null where "
        "they were not, and of every study since."
    )
    heatmaps: list[Finding] = Field(
        description="Findings for which `/heatmaps/{finding}.png` exists, the strongest first."
    )
    triage: Triage | None = Field(description="Null where nothing was diagnosed.")
    models: list[UsedModel] = Field(description="Those that took part, with version and hash.")
    calibrated: bool | None = Field(
        description="Whether the classifier's probabilities were calibrated and its levels "
        "measured; false of an imported model before `cxr models calibrate`. Null where it did not "
        "answer, and of a study from before this was kept."
    )
    timings_ms: Timings = Field(description="How long it took, step by step.")
    problems: list[StudyProblem] = Field(description="Services that did not answer; usually none.")


class SubmittedFile(_Output):
    """What became of one file of several: its study, or its problem."""

    file_name: str | None = Field(description="As the client named it.")
    status: int = Field(
        ge=200, le=599, description="The HTTP status code that the file alone would have had."
    )
    study: Study | None = Field(description="Null where there is a problem.")
    problem: Problem | None = Field(
        description="Null where there is a study. `study_id` in it names one that is kept though "
        "neither inference service answered."
    )


class SubmittedFiles(_Output):
    """What became of each file of a request."""

    items: list[SubmittedFile] = Field(description="In the order in which the files were sent.")


class WorklistState(StrEnum):
    """Whether a person has looked."""

    NEW = "new"  # nobody opened it
    ASSIGNED = "assigned"  # somebody will
    OPENED = "opened"
    DONE = "done"  # it goes below all others


class Worklist(_Output):
    """How far people are with a study."""

    state: WorklistState = Field(description="How far.")
    by: str | None = Field(
        description="Who set the state, as the audit log calls them; null where nobody did."
    )
    at: datetime | None = Field(description="When.")
    to: str | None = Field(description="Of `assigned`: to whom; null otherwise.")


class WorklistChange(BaseModel):
    """What a person says of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: WorklistState = Field(description="How far they are now.")
    to: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=r"^[^\x00-\x1f]*$",
        description="With `assigned`: to whom; whoever says so, if null.",
    )


class StudySummary(_Output):
    """A study in the list."""

    id: StudyId
    status: StudyStatus = Field(description="How far the analysis came.")
    received_at: datetime = Field(description="When the whole file had come, in UTC.")
    file_name: str | None = Field(description="As the client named it; never used as a path.")
    image: ImageMetadata = Field(description="Size, view and kind of file.")
    patient: DicomMetadata = Field(description="What the file says of the patient.")
    ood: OodResult = Field(description="Whether it is a readable frontal chest radiograph.")
    top_findings: list[FindingProbability] = Field(description="The three strongest.")
    triage: Triage | None = Field(description="Null where nothing was diagnosed.")
    worklist: Worklist = Field(description="Whether a person has looked.")


class StudyPage(_Output):
    """Studies: those that waited too long, then the most urgent, done last; or by `sort`."""

    items: list[StudySummary] = Field(description="In the order in which to read them, or `sort`.")
    next_cursor: str | None = Field(description="Hand back as `cursor`; null on the last page.")
    total: Count = Field(description="How many studies the query has, on all pages.")


class ServiceStatus(_Output):
    """An inference service as the gateway sees it now."""

    role: ModelRole = Field(description="Which one.")
    ready: bool = Field(description="Whether it takes requests.")
    detail: str | None = Field(description="Why it does not, for a person; null where it does.")
    model: UsedModel | None = Field(description="Which model answers; null while unknown.")
    licence: str | None = Field(
        description="Of the model's weights; null where the service does not say."
    )
    calibrated: bool | None = Field(
        description="Whether a classifier was calibrated and its levels measured; null of a "
        "detector."
    )
    has_maps: bool | None = Field(
        description="Whether a classifier shows where each finding comes from; null of a detector."
    )
    levels: LevelsSource | None = Field(
        description="Where a classifier's evidence levels come from; null of a detector."
    )
    maps_are_evidence: bool | None = Field(
        description="Whether a classifier's maps point into drawn boxes more often than the usual "
        "place of each finding does, which needs no image; null where that was not measured."
    )


class TriageRule(_Output):
    """A line of the table by which levels decide where no triage model does."""

    priority: Priority = Field(description="What follows.")
    finding: Finding | None = Field(description="Whose level decides; null: any or none.")
    rule: str = Field(description="The condition, for a person.")


class ThresholdsFrom(StrEnum):
    """Whose radiographs the thresholds of triage follow from."""

    REFERENCE = "reference"  # those on which the triage model was fitted
    SITE = "site"  # this installation's own, by `cxr-gateway triage tune`


class MeasuredPriority(_Output):
    """What a priority meant on radiographs of test patients, whom nothing was fitted on."""

    priority: Priority = Field(description="Of which this was counted.")
    n_called: Count = Field(description="Test radiographs of this priority.")
    n_immediate: Count = Field(description="How many of them have an immediate finding.")
    n_same_day: Count = Field(description="How many have one that is immediate or of the same day.")


class TriageStatus(_Output):
    """How priorities are decided by the models that are active now."""

    model: UsedTriage | None = Field(description="Null where evidence levels decide.")
    detail: str = Field(description="How priorities are decided, for a person.")
    immediate: list[Finding] = Field(description="Findings of which minutes count.")
    same_day: list[Finding] = Field(description="Findings to be read the same day.")
    alert_budget: Share = Field(description="The share of radiographs that is to be urgent, 0..1.")
    soon_budget: Share = Field(description="The further share that is to be soon, 0..1.")
    urgent_threshold: Probability | None = Field(description="Null without a model.")
    soon_threshold: Probability | None = Field(description="Likewise.")
    thresholds_from: ThresholdsFrom | None = Field(description="Likewise.")
    tuned_at: datetime | None = Field(description="When the site's own were set; else null.")
    tuned_on: Count | None = Field(description="To how many of its radiographs; else null.")
    measured: list[MeasuredPriority] = Field(
        description="At the default budgets; none without a model, or at other budgets."
    )


class ViewerLink(_Output):
    """Another viewer that has the same studies."""

    name: str = Field(description="As people call it.")
    url: str = Field(
        description="Of a study, with `{study_uid}`, `{patient_id}` and `{accession}` to be "
        "filled in, percent-encoded. A study that lacks one of those in it has no such link."
    )


class SystemStatus(_Output):
    """What this installation is, for the page and for operators."""

    version: str = Field(description="Of the product.")
    intended_use: str = Field(description="What it is for, and what not.")
    services: list[ServiceStatus] = Field(description="The inference services.")
    models: list[UsedModel] = Field(description="Those that answer now.")
    finding_levels: list[FindingLevels] = Field(
        description="What the active classifier's levels were measured to mean, a line for each "
        "finding; none while it does not answer."
    )
    triage: TriageStatus = Field(description="How priorities are decided.")
    triage_rules: list[TriageRule] = Field(
        description="Where no triage model decides: the first that applies does."
    )
    max_wait_minutes: Count = Field(
        description="A study that nobody opened rises to the top of the list after so long; 0: "
        "never."
    )
    max_upload_bytes: Count = Field(description="A longer file is refused: 413.")
    max_pixels: Count = Field(description="An image of more pixels is refused: 413.")
    accepted: list[str] = Field(description="Media types.")
    viewer_links: list[ViewerLink] = Field(description="Where else a study can be opened.")
