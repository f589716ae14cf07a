"""The API's models: `make generate` writes them from docs/openapi.json."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """What the gateway answers. A field of a later version is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Region = str
"""A kind of box of the detector. The published models know those of the examples; a model
that was trained with labels of its own answers with those.
"""


class Box(Model):
    """One suspicious region in pixels of the uploaded image; x to the right, y down."""

    finding: Region
    """What seems to be there."""
    score: float
    """How likely it is that this box is right, as measured on validation patients: of boxes at
    0.3, about 3 in 10 are. Of a detector that was not calibrated, its own score.
    """
    detector_score: float
    """The detector's own, which its thresholds and triage go by."""
    classifier_probability: float | None
    """What the classifier says of the same finding; null if it has no such label."""
    x_min: float
    """Left edge, in pixels of `image.png`."""
    y_min: float
    """Upper edge, in pixels."""
    x_max: float
    """Right edge, in pixels, exclusive."""
    y_max: float
    """Lower edge, in pixels, exclusive."""


class DicomMetadata(Model):
    """What a DICOM file says of the patient; all null for PNG and JPEG."""

    patient_id: str | None
    """Patient ID (0010,0020)."""
    issuer_of_patient_id: str | None
    """Issuer of Patient ID (0010,0021): who gave the number. The same number of another issuer
    is another patient.
    """
    name: str | None
    """Patient's Name (0010,0010), as the file writes it."""
    birth_date: dt.date | None
    """YYYY-MM-DD; null where the file has no whole date."""
    sex: str | None
    """Patient's Sex (0010,0040): `F`, `M`, `O`, or else."""
    accession_number: str | None
    """Accession Number (0008,0050)."""
    study_date: dt.date | None
    """YYYY-MM-DD; null where the file has no whole date."""
    study_instance_uid: str | None
    """Study Instance UID (0020,000D)."""
    sop_instance_uid: str | None
    """SOP Instance UID (0008,0018)."""


Finding = str
"""A finding of the classifier. The published models know those of the examples; a model
that was trained with labels of its own answers with those.
"""


class Level(StrEnum):
    """How strong the evidence for a finding is, by the operating points of its model."""

    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


class FindingProbability(Model):
    """One finding: its calibrated probability, and how strong that evidence is."""

    finding: Finding
    """Which one, as NIH ChestX-ray14 spells it."""
    probability: float
    """0 to 1, calibrated on validation patients."""
    level: Level
    """`likely`, `possible` or `unlikely`: what follows."""
    possible_threshold: float
    """The screening point: from here on the finding is possible."""
    likely_threshold: float
    """The rule-in point: from here on the finding is likely."""


class ImageSource(StrEnum):
    """The kind of file that was uploaded."""

    PNG = "png"
    JPEG = "jpeg"
    DICOM = "dicom"


class StoredPixels(Model):
    """How the file stores the image, before it was made square and turned for display."""

    columns: int
    """Pixels from left to right."""
    rows: int
    """Pixels from top to bottom."""
    orientation: int
    """What was done to the stored image, with square pixels, to display it: the EXIF code of
    that turn, 1 for nothing.
    """


class ImageMetadata(Model):
    """What is known of the image, which hangs as usual and has square pixels."""

    width: int
    """Pixels, as displayed; boxes and heat maps are in these."""
    height: int
    """Pixels, likewise."""
    view: str | None
    """`PA`, `AP` or what the file says; null if it is silent."""
    source: ImageSource
    """What kind of file came."""
    notes: list[str]
    """What was odd in the file and how it was read, a sentence each; usually none."""
    stored: StoredPixels | None
    """Null for a study from before this was kept."""


class ImageQuality(Model):
    """What was measured of the image's technical quality, on the pixels as displayed."""

    effective_px: int
    """How many pixels of the side that has fewer carry detail. Of an enlarged thumbnail these
    are about the thumbnail's.
    """
    grey_levels: int
    """Greys in use of 256, the darkest and brightest half percent left out."""
    black_share: float
    """Of all pixels, those at 0; 0 to 1."""
    white_share: float
    """Of all pixels, those at 255; 0 to 1."""
    mean_grey: float
    """Exposure: the middle's mean grey, 0 to 255."""
    rotation_degrees: int
    """By how much it seems to be turned clockwise: 90, 180, 270, or -40 to 40."""
    inverted: bool
    """Whether black and white seem to be exchanged."""
    part_of_chest: float
    """By how much it is more like a part of a chest than like a whole one, without a unit;
    below 0 for most.
    """
    blocking: float
    """By how many greys the steps at block edges of JPEG exceed others; below 0 where they are
    smaller.
    """
    warnings: list[str]
    """A sentence for each number out of the ordinary; usually none."""
    unreadable: str | None
    """Why nobody could read the image: the study is `rejected` for it. Usually null."""


class OodResult(Model):
    """Whether the image is a readable frontal chest radiograph."""

    accepted: bool
    """False: nothing was diagnosed, and `reason` says why."""
    score: float | None
    """How like a frontal chest radiograph the image is, 0 to 1, whatever decided."""
    threshold: float | None
    """From this `score` on it is accepted."""
    reason: str | None
    """Why it was refused; null if it was accepted."""


class FailureKind(StrEnum):
    """The `kind` of a `StudyProblem`."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    ERROR = "error"
    INVALID_ANSWER = "invalid-answer"


class ModelRole(StrEnum):
    """What a model of the analysis does."""

    OOD = "ood"
    CLASSIFIER = "classifier"
    DETECTOR = "detector"


class StudyProblem(Model):
    """A service whose part is missing from the study, and why."""

    service: ModelRole
    """Whose part: the classifier's or the detector's."""
    kind: FailureKind
    """What was the matter."""
    detail: str
    """The same for a person."""


class StudyStatus(StrEnum):
    """How far the analysis of a study came."""

    PENDING = "pending"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    REJECTED = "rejected"


class Timings(Model):
    """Milliseconds spent; null for a step that did not take place."""

    decode: float
    """Milliseconds to decode the file."""
    ood: float | None
    """Milliseconds to tell whether it is a chest radiograph."""
    classifier: float | None
    """Milliseconds until the classifier answered; it works beside the detector."""
    detector: float | None
    """Milliseconds until the detector answered."""
    archive: float | None
    """Milliseconds to keep file and result."""
    total: float
    """Milliseconds from the whole file to the result."""


class Priority(StrEnum):
    """How soon a person should look; docs/triage.md says how it is decided."""

    URGENT = "urgent"
    SOON = "soon"
    ROUTINE = "routine"


class TriageCause(Model):
    """The answer that decided: of all, the one that raised the deciding score most."""

    finding: Finding | None
    """What the answer is about; with `region`, the finding of the same name, if any."""
    region: Region | None
    """Null where the classifier's answer decided."""
    value: float
    """The finding's probability, or the detector's own score of the region's box."""
    usual: float | None
    """The median of the same value among the radiographs that triage was fitted on; null where
    evidence levels decided.
    """
    level: Level | None
    """Of `finding`; null without the classifier's answer."""
    box: int | None
    """With `region`: which of the study's `boxes`, from 0."""


class UsedTriage(Model):
    """The constants by which answers became a score."""

    name: str
    """Of the triage model's folder."""
    sha256: str
    """Of its manifest."""


class Triage(Model):
    """How soon a person should look, and why: as data, and as a sentence."""

    priority: Priority
    """How soon."""
    score: float | None
    """The probability of an immediate finding; null where evidence levels decided, because a
    service did not answer or no triage model was fitted to these two models.
    """
    same_day_score: float | None
    """The probability of a finding that is immediate or to be read the same day."""
    urgent_threshold: float | None
    """From this `score` on: urgent."""
    soon_threshold: float | None
    """From this `same_day_score` on: soon."""
    cause: TriageCause | None
    """What decided on urgent or soon; null for routine, and where only a missing answer did."""
    model: UsedTriage | None
    """Null where evidence levels decided."""
    reason: str
    """The same for a person, a sentence or two."""


class UsedModel(Model):
    """A model that took part in the analysis."""

    role: ModelRole
    """What it does."""
    name: str
    """Of the model's folder, e.g. `lite0-cxr`."""
    version: str
    """As its manifest says, e.g. `3.0.0`."""
    sha256: str
    """Of the model's `weights.safetensors`."""


class UsedRescoring(Model):
    """The constants by which versions up to 0.2 rescored boxes with the classifier's answer."""

    name: str
    """Of their folder."""
    sha256: str
    """Of its manifest."""


class Study(Model):
    """One analysed radiograph."""

    id: str
    """Sortable by time."""
    status: StudyStatus
    """How far the analysis came."""
    received_at: dt.datetime
    """When the whole file had come, in UTC."""
    file_name: str | None
    """As the client named it; never used as a path."""
    content_sha256: str
    """Of the uploaded bytes."""
    image: ImageMetadata
    """Size, view and kind of file."""
    quality: ImageQuality | None
    """Null for a study from before it was measured."""
    patient: DicomMetadata
    """What the file says of the patient."""
    ood: OodResult
    """Whether it is a readable frontal chest radiograph."""
    top_findings: list[FindingProbability]
    """The first three of `findings`."""
    findings: list[FindingProbability]
    """All fourteen, by level (likely first), then by probability."""
    boxes: list[Box]
    """Highest score first."""
    rescoring: UsedRescoring | None
    """By what the boxes of a study of an earlier version were rescored; null where they were
    not, and of every study since.
    """
    heatmaps: list[Finding]
    """Findings for which `/heatmaps/{finding}.png` exists, the strongest first."""
    triage: Triage | None
    """Null where nothing was diagnosed."""
    models: list[UsedModel]
    """Those that took part, with version and hash."""
    calibrated: bool | None
    """Whether the classifier's probabilities were calibrated and its levels measured; false of
    an imported model before `cxr models calibrate`. Null where it did not answer, and of a
    study from before this was kept.
    """
    timings_ms: Timings
    """How long it took, step by step."""
    problems: list[StudyProblem]
    """Services that did not answer; usually none."""


class WorklistState(StrEnum):
    """Whether a person has looked."""

    NEW = "new"
    ASSIGNED = "assigned"
    OPENED = "opened"
    DONE = "done"


class Worklist(Model):
    """How far people are with a study."""

    state: WorklistState
    """How far."""
    by: str | None
    """Who set the state, as the audit log calls them; null where nobody did."""
    at: dt.datetime | None
    """When."""
    to: str | None
    """Of `assigned`: to whom; null otherwise."""


class StudySummary(Model):
    """A study in the list."""

    id: str
    """Sortable by time."""
    status: StudyStatus
    """How far the analysis came."""
    received_at: dt.datetime
    """When the whole file had come, in UTC."""
    file_name: str | None
    """As the client named it; never used as a path."""
    image: ImageMetadata
    """Size, view and kind of file."""
    patient: DicomMetadata
    """What the file says of the patient."""
    ood: OodResult
    """Whether it is a readable frontal chest radiograph."""
    top_findings: list[FindingProbability]
    """The three strongest."""
    triage: Triage | None
    """Null where nothing was diagnosed."""
    worklist: Worklist
    """Whether a person has looked."""


class StudyPage(Model):
    """Studies: those that waited too long, then the most urgent, done last; or by `sort`."""

    items: list[StudySummary]
    """In the order in which to read them, or `sort`."""
    next_cursor: str | None
    """Hand back as `cursor`; null on the last page."""
    total: int
    """How many studies the query has, on all pages."""


class Problem(Model):
    """What went wrong, for a program (`type`, `status`) and for a person (`title`, `detail`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    """Stable identifier of the kind of problem, e.g. `urn:cxr:problem:not-found`."""
    title: str
    """The kind of problem in a few words; the same for every case."""
    status: int
    """The HTTP status code."""
    detail: str
    """What happened in this case, and what would be accepted."""
    instance: str | None = None
    """The request path."""


class SubmittedFile(Model):
    """What became of one file of several: its study, or its problem."""

    file_name: str | None
    """As the client named it."""
    status: int
    """The HTTP status code that the file alone would have had."""
    study: Study | None
    """Null where there is a problem."""
    problem: Problem | None
    """Null where there is a study. `study_id` in it names one that is kept though neither
    inference service answered.
    """


class SubmittedFiles(Model):
    """What became of each file of a request."""

    items: list[SubmittedFile]
    """In the order in which the files were sent."""


class Interval(Model):
    """A figure with its 95% interval."""

    value: float
    """As measured, 0 to 1 for a share."""
    low: float
    """Where its 95% interval begins."""
    high: float
    """Where its 95% interval ends."""


class OperatingPoint(Model):
    """A threshold on a calibrated probability, and what it was measured to mean."""

    threshold: float
    """From this probability on, 0 to 1."""
    rule: str
    """How it was chosen, e.g. `specificity 0.95`."""
    split: str
    """Whose images were measured: `test`, or `validation`."""
    n: int
    """How many images were measured."""
    n_positive: int
    """How many of them have the finding."""
    sensitivity: Interval | None
    """Null with too few positives."""
    specificity: Interval | None
    """Null with too few negatives."""
    precision: Interval | None
    """Of the images that reach it; null if few do."""


class FindingLevels(Model):
    """From where on a finding is possible and likely, and what that was measured to mean."""

    finding: Finding
    """Which one."""
    possible: OperatingPoint | None
    """Null where it was not measured."""
    likely: OperatingPoint | None
    """Likewise."""


class LevelsSource(StrEnum):
    """Where a classifier's levels come from."""

    MEASURED = "measured"
    DERIVED_FROM_THRESHOLDS = "derived from thresholds"


class ServiceStatus(Model):
    """An inference service as the gateway sees it now."""

    role: ModelRole
    """Which one."""
    ready: bool
    """Whether it takes requests."""
    detail: str | None
    """Why it does not, for a person; null where it does."""
    model: UsedModel | None
    """Which model answers; null while unknown."""
    licence: str | None
    """Of the model's weights; null where the service does not say."""
    calibrated: bool | None
    """Whether a classifier was calibrated and its levels measured; null of a detector."""
    has_maps: bool | None
    """Whether a classifier shows where each finding comes from; null of a detector."""
    levels: LevelsSource | None
    """Where a classifier's evidence levels come from; null of a detector."""
    maps_are_evidence: bool | None
    """Whether a classifier's maps point into drawn boxes more often than the usual place of
    each finding does, which needs no image; null where that was not measured.
    """


class TriageRule(Model):
    """A line of the table by which levels decide where no triage model does."""

    priority: Priority
    """What follows."""
    finding: Finding | None
    """Whose level decides; null: any or none."""
    rule: str
    """The condition, for a person."""


class MeasuredPriority(Model):
    """What a priority meant on radiographs of test patients, whom nothing was fitted on."""

    priority: Priority
    """Of which this was counted."""
    n_called: int
    """Test radiographs of this priority."""
    n_immediate: int
    """How many of them have an immediate finding."""
    n_same_day: int
    """How many have one that is immediate or of the same day."""


class ThresholdsFrom(StrEnum):
    """Whose radiographs the thresholds of triage follow from."""

    REFERENCE = "reference"
    SITE = "site"


class TriageStatus(Model):
    """How priorities are decided by the models that are active now."""

    model: UsedTriage | None
    """Null where evidence levels decide."""
    detail: str
    """How priorities are decided, for a person."""
    immediate: list[Finding]
    """Findings of which minutes count."""
    same_day: list[Finding]
    """Findings to be read the same day."""
    alert_budget: float
    """The share of radiographs that is to be urgent, 0..1."""
    soon_budget: float
    """The further share that is to be soon, 0..1."""
    urgent_threshold: float | None
    """Null without a model."""
    soon_threshold: float | None
    """Likewise."""
    thresholds_from: ThresholdsFrom | None
    """Likewise."""
    tuned_at: dt.datetime | None
    """When the site's own were set; else null."""
    tuned_on: int | None
    """To how many of its radiographs; else null."""
    measured: list[MeasuredPriority]
    """At the default budgets; none without a model, or at other budgets."""


class ViewerLink(Model):
    """Another viewer that has the same studies."""

    name: str
    """As people call it."""
    url: str
    """Of a study, with `{study_uid}`, `{patient_id}` and `{accession}` to be filled in,
    percent-encoded. A study that lacks one of those in it has no such link.
    """


class SystemStatus(Model):
    """What this installation is, for the page and for operators."""

    version: str
    """Of the product."""
    intended_use: str
    """What it is for, and what not."""
    services: list[ServiceStatus]
    """The inference services."""
    models: list[UsedModel]
    """Those that answer now."""
    finding_levels: list[FindingLevels]
    """What the active classifier's levels were measured to mean, a line for each finding; none
    while it does not answer.
    """
    triage: TriageStatus
    """How priorities are decided."""
    triage_rules: list[TriageRule]
    """Where no triage model decides: the first that applies does."""
    max_wait_minutes: int
    """A study that nobody opened rises to the top of the list after so long; 0: never."""
    max_upload_bytes: int
    """A longer file is refused: 413."""
    max_pixels: int
    """An image of more pixels is refused: 413."""
    accepted: list[str]
    """Media types."""
    viewer_links: list[ViewerLink]
    """Where else a study can be opened."""


class PrincipalKind(StrEnum):
    """How someone came in."""

    LOCAL = "local"
    USER = "user"
    KEY = "key"
    NOBODY = "nobody"


class Role(StrEnum):
    """What someone may do; the table of permissions says it route by route."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    INTEGRATOR = "integrator"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Me(Model):
    """Who asks."""

    kind: PrincipalKind
    """`local`: this machine, open to it alone."""
    name: str
    """For the person's own eyes."""
    roles: list[Role]
    """Of the user or the key; none allows nothing more."""
    department: str | None
    """Whose studies are seen; null is all."""
    may: list[str]
    """The operations of this API that the roles allow."""
    can_sign_out: bool
    """Whether there is a session to end."""
    reads_first: bool
    """Whether the page asks for a first opinion before it shows the answers."""


class BoxTarget(Model):
    """One of the detector's boxes."""

    kind: Literal["box"]
    """Says that it is one."""
    index: int
    """Which of the study's `boxes`, from 0."""
    region: Region
    """What the box is called; another is a conflict."""


class Corners(Model):
    """A rectangle in pixels of the image as displayed; x to the right, y down."""

    x_min: float
    """Left edge, in pixels."""
    y_min: float
    """Upper edge, in pixels."""
    x_max: float
    """Right edge, in pixels."""
    y_max: float
    """Lower edge, in pixels."""


class FindingTarget(Model):
    """One of the classifier's findings."""

    kind: Literal["finding"]
    """Says that it is one."""
    finding: Finding
    """Which one."""


class Verdict(StrEnum):
    """What a reader says of an answer."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    MODIFIED = "modified"
    ADDED = "added"
    COMMENTED = "commented"


class ReviewEntry(Model):
    """What a reader said."""

    id: str
    """The UUID under which it was put."""
    revision: int
    """The analysis that the reader saw, from 1."""
    verdict: Verdict
    """What the reader says of it."""
    target: FindingTarget | BoxTarget | None
    """Which answer; null for the study, or what is added."""
    label: Finding | Region | None
    """What it is by the reader."""
    corners: Corners | None
    """Where it is by the reader."""
    shown_level: Level | None
    """With a finding: its level as it was shown."""
    shown_value: float | None
    """The probability or the score as it was shown, 0 to 1."""
    model: UsedModel | None
    """Whose answer it is about."""
    comment: str
    """The reader's own words; usually empty."""
    by: str
    """Who, as the audit log calls them."""
    mine: bool
    """Whether it is of whoever asks, who alone may take it back."""
    at: dt.datetime
    """When it was said."""
    withdrawn_at: dt.datetime | None
    """When it was taken back; usually null."""
    counts: bool
    """Whether it stands: not taken back, not replaced by a later word of the same reader, and
    not about a box of an earlier analysis.
    """


class Review(Model):
    """What readers said of a study."""

    study_id: str
    """Sortable by time."""
    revision: int
    """Of the study's latest analysis; hand it back with a change."""
    entries: list[ReviewEntry]
    """The oldest first."""


class ReviewChange(Model):
    """What a reader says of a study or of one of its answers."""

    revision: int
    """Of the review that the reader saw."""
    verdict: Verdict
    """What the reader says of it."""
    target: FindingTarget | BoxTarget | None = None
    """Null for `added`, and for a comment on the study."""
    label: Finding | Region | None = None
    """With `modified` and `added`: what it is."""
    corners: Corners | None = None
    """With `modified` of a box and `added`: where it is."""
    comment: str = ""
    """The reader's own words; needed with `commented`."""


class ReportText(Model):
    """A report's sections, plain text."""

    examination: str
    """What was done, and of whom."""
    comparison: str
    """With what it was compared."""
    findings: str
    """What is seen."""
    impression: str
    """What that means."""


class ReportVersion(Model):
    """A version as it was kept."""

    version: int
    """From 1."""
    revision: int
    """The analysis that its author saw."""
    at: dt.datetime
    """When it was written."""
    by: str
    """As the audit log calls them."""
    name: str
    """As it stands under the text."""
    signed: bool
    """Whether its author answers for it."""
    text: ReportText
    """As it was written."""


class Report(Model):
    """A study's report: what is drafted, and what people wrote."""

    study_id: str
    """Sortable by time."""
    revision: int
    """Of the study's latest analysis."""
    draft: ReportText
    """From levels and corrections as they are now."""
    versions: list[ReportVersion]
    """The latest last; usually none."""


class ReportChange(Model):
    """The next version of a report."""

    based_on: int
    """The last version that its author saw; 0: there was none."""
    revision: int
    """Of the analysis that its author saw."""
    text: ReportText
    """All of it; sections may be empty."""
    sign: bool
    """Whether its author answers for it."""


class ChangeKind(StrEnum):
    """What happened to a study."""

    CREATED = "created"
    ANALYSED = "analysed"
    RERUN = "rerun"
    REVIEWED = "reviewed"
    REPORTED = "reported"
    WORKLIST = "worklist"
    DELETED = "deleted"


class ChangedStudy(Model):
    """What a changed study is by now. Of the patient it says nothing."""

    status: StudyStatus
    """How far its analysis came."""
    priority: Priority | None
    """Null where nothing was diagnosed."""
    score: float | None
    """The probability of an immediate finding, 0 to 1, by which studies of one priority are
    ordered; null where there is none.
    """
    worklist: WorklistState
    """How far a person is with it."""
    revision: int
    """Which result it is, from 1."""


class Change(Model):
    """Something that happened to a study."""

    cursor: str
    """The place after this change: hand it back as `since` or `Last-Event-ID`. What it is made
    of may change.
    """
    at: dt.datetime
    """When, in UTC."""
    kind: ChangeKind
    """`created`, `analysed` (a pending one has its result), `rerun` (analysed again),
    `reviewed` (a reader said something or took it back), `reported` (a version of the report),
    `worklist` (opened, done, or new again), `deleted`.
    """
    study_id: str
    """Which study."""
    study: ChangedStudy | None
    """As it is at the time of the answer, whatever changed since; null once it is deleted, of
    which the deletion is the only change that is left.
    """


class ChangePage(Model):
    """Changes in the order in which they happened."""

    items: list[Change]
    """The earliest first."""
    next_cursor: str
    """Hand it back as `since`, now if there are more, else whenever you look again."""
    has_more: bool
    """Whether there are further changes already."""
