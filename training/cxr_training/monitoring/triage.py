"""The triage model: fitted to validation patients, and measured on theirs and on the test set's.

It turns the two networks' answers into the probability of an immediate finding and of one that
should be read the same day. How many images are called urgent is the site's choice (the gateway's
`alert_budget`); here it is the default.

A detector of four networks needs minutes for two thousand images, so its answers are kept in a
cache folder under the sha256 of its weights and of the images' names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_contracts import (
    LOWEST_MIN_SCORE,
    NO_BOX_SCORE,
    Finding,
    MetricRow,
    ModelIdentity,
    Region,
    TriageData,
    TriageFit,
    TriageManifest,
    TriageScore,
    TriageTerm,
)
from cxr_detector.app import detected_boxes
from cxr_detector.loading import Detector
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY
from cxr_gateway.analysis.triage_folder import TriageModel
from cxr_gateway.analysis.triage_model import reference_thresholds
from cxr_gateway.core.schemas import Priority
from cxr_gateway.core.settings import DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET
from cxr_serving.imaging import DecodedImage
from cxr_training.classifier.calibration import patient_folds
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, portable_command, utc_now
from cxr_training.data.pixels import decode_grey
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split
from cxr_training.detector.evaluation import detect
from cxr_training.export.publishing import LICENCE
from cxr_training.metrics.bootstrap import (
    BoolArray,
    FloatArray,
    interval_or_none,
    ratio,
    weighted_shares,
    with_resamples,
)
from cxr_training.metrics.classification import aurocs
from cxr_training.report.tables import metric_row

# Boxes of the same names, where the detector draws them.
IMMEDIATE_REGIONS = (Region.PNEUMOTHORAX,)
SAME_DAY_REGIONS = (
    Region.PNEUMONIA,
    Region.CONSOLIDATION,
    Region.EFFUSION,
    Region.MASS,
    Region.NODULE,
    Region.DIFFUSE_NODULE,
    Region.ATELECTASIS,
    Region.INFILTRATION,
)
# The forms that are compared, the simplest first.
INDEPENDENT, WEIGHTED, WITH_BOXES = "independent findings", "weighted findings", "with boxes"
FORMS = (INDEPENDENT, WEIGHTED, WITH_BOXES)
# A less simple form is taken where it lowers the log loss by at least this much.
LEAST_GAIN = 5e-4
FOLDS = 5
RESAMPLES = 1000
VIEWS = ("PA", "AP")
_QUANTILES = 201
# Strength of the pull of a weight to that of independent findings, or of a box to none.
_PULL = 3.0
_TINY = 1e-9
FINDINGS, REGIONS = list(Finding), list(Region)


@dataclass(frozen=True, slots=True)
class Answers:
    """`probabilities` float64 [N, 14]: calibrated, in the order of `Finding`. `scores` float64
    [N, 15]: of each kind of `Region` the best box's, at least `NO_BOX_SCORE`.
    """

    probabilities: FloatArray
    scores: FloatArray


def answers_of(
    images: Sequence[Radiograph],
    classifier: ClassifierPredictor,
    detector: Detector,
    cache: Path,
) -> Answers:
    """Both models' answers for `images`, the detector's from `cache` where they lie there.

    Raises:
        DataError: an image that cannot be decoded.
    """
    names = "\n".join(image.name for image in images)
    key = sha256((detector.manifest.weights.sha256 + names).encode()).hexdigest()[:16]
    path = cache / f"boxes-{key}.npz"
    if path.is_file():
        scores: FloatArray = np.load(path)["scores"]
    else:
        scores = _best_scores(images, detector)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, scores=scores)
    return Answers(_probabilities(images, classifier), np.maximum(scores, NO_BOX_SCORE))


def _probabilities(images: Sequence[Radiograph], classifier: ClassifierPredictor) -> FloatArray:
    rows = np.empty((len(images), len(FINDINGS)))
    for row, image in enumerate(tqdm(images, desc="classifier", mininterval=5.0)):
        rows[row] = probabilities_of(classifier, decode_grey(image.path))
    return rows


def probabilities_of(classifier: ClassifierPredictor, grey: npt.NDArray[np.uint8]) -> list[float]:
    """What a published classifier says of uint8 [H, W], in the order of `Finding`."""
    (output,) = classifier.predict([classifier.prepare(DecodedImage(grey, "png"))])
    said = {one.finding: one.probability for one in output.findings_and_cams(0)[0]}
    return [said[finding] for finding in FINDINGS]


def _best_scores(images: Sequence[Radiograph], detector: Detector) -> FloatArray:
    rows = np.zeros((len(images), len(REGIONS)))
    for row, image in enumerate(tqdm(images, desc="detector", mininterval=5.0)):
        one = detect(detector, decode_grey(image.path), LOWEST_MIN_SCORE * 10)
        for box in detected_boxes(one.found, detector.manifest):
            column = REGIONS.index(box.finding)
            rows[row, column] = max(rows[row, column], box.score)
    return rows


@dataclass(frozen=True, slots=True)
class TriageImages:
    """Images with both models' answers and what is known of them, [N] each.

    `normal`: radiologists of RSNA read the image as normal. A label that NIH mined from a report
    ("no finding") is weaker.
    """

    answers: Answers
    patients: list[str]
    findings: list[frozenset[Finding]]
    normal: BoolArray
    views: npt.NDArray[np.str_]

    @classmethod
    def of(
        cls, images: Sequence[Radiograph], answers: Answers, normal_names: set[str]
    ) -> "TriageImages":
        """What the data sets say of `images`; `normal_names` are RSNA's."""
        return cls(
            answers,
            [image.patient for image in images],
            [image.findings for image in images],
            np.array([image.name in normal_names for image in images]),
            np.array([image.view for image in images]),
        )

    def having(self, findings: Sequence[Finding]) -> BoolArray:
        """Which images have one of `findings`, bool [N]."""
        wanted = set(findings)
        return np.array([bool(wanted & one) for one in self.findings])

    def scores(self, score: TriageScore) -> FloatArray:
        """`score` of each image, float64 [N]."""
        return np.array(
            [
                score.score(
                    dict(zip(FINDINGS, probabilities, strict=True)),
                    dict(zip(REGIONS, boxes, strict=True)),
                )
                for probabilities, boxes in zip(
                    self.answers.probabilities.tolist(), self.answers.scores.tolist(), strict=True
                )
            ]
        )


def fit_triage(
    images: TriageImages, classifier: ModelIdentity, detector: ModelIdentity, split_sha256: str
) -> TriageManifest:
    """The form with the lowest cross-fitted log loss, with weights of all validation patients."""
    form, immediate = _chosen(images, IMMEDIATE, IMMEDIATE_REGIONS)
    _, same_day = _chosen(
        images, (*IMMEDIATE, *SAME_DAY), (*IMMEDIATE_REGIONS, *SAME_DAY_REGIONS), form
    )
    manifest = TriageManifest(
        schema_version=1,
        role="triage",
        name=f"{classifier.name}--{detector.name}",
        created_at=utc_now(),
        licence=LICENCE,
        classifier=classifier,
        detector=detector,
        immediate=immediate,
        same_day=same_day,
        data=TriageData(
            split=Split.VALIDATION.value,
            split_sha256=split_sha256,
            n_images=len(images.patients),
            n_patients=len(set(images.patients)),
        ),
        fit=TriageFit(
            command=portable_command(command_line()),
            commit=current_commit(),
            form=form,
            folds=FOLDS,
        ),
        metrics=[],
    )
    rows: list[MetricRow] = []
    for kind, findings, regions in (
        ("immediate", IMMEDIATE, IMMEDIATE_REGIONS),
        ("same_day", (*IMMEDIATE, *SAME_DAY), (*IMMEDIATE_REGIONS, *SAME_DAY_REGIONS)),
    ):
        n, hits = len(images.patients), int(images.having(findings).sum())
        for one, loss in _losses(images, findings, regions).items():
            subset = f"{kind}/{one}"
            rows += metric_row("log_loss", subset, loss, n=n, n_positive=hits, digits=None)
    rows += measure(images, manifest, Split.VALIDATION)
    return manifest.model_copy(update={"metrics": rows})


def measure(images: TriageImages, manifest: TriageManifest, split: Split) -> list[MetricRow]:
    """How the published model orders `images` at the default budgets, with 95% intervals.

    On validation patients, to whom weights and quantiles were fitted, weights hardly matter and
    the shares are what the budgets say; only the test set tells what to expect elsewhere.
    """
    immediate, same_day = images.scores(manifest.immediate), images.scores(manifest.same_day)
    called = priorities(manifest, immediate, same_day)
    urgent = called[Priority.URGENT]
    is_immediate = images.having(IMMEDIATE)
    is_same_day = images.having((*IMMEDIATE, *SAME_DAY))
    no_finding = np.array([not findings for findings in images.findings])
    everyone = np.ones(len(images.patients), dtype=bool)
    weights = with_resamples(images.patients, RESAMPLES, seed=1)
    rows: list[MetricRow] = []

    def row(name: str, subset: str, draws: FloatArray, counts: tuple[int, int]) -> None:
        result, (n, hits) = interval_or_none(draws), counts
        rows.extend(
            metric_row(name, subset, result, n=n, n_positive=hits, split=split.value, digits=None)
        )

    def share(name: str, subset: str, among: BoolArray, hits: BoolArray) -> None:
        counts = int(among.sum()), int((among & hits).sum())
        row(name, subset, weighted_shares(weights, among, hits), counts)

    for priority, inside in called.items():
        share("share", priority.value, everyone, inside)
        share("share_of_no_finding", priority.value, no_finding, inside)
        share("share_of_verified_normal", priority.value, images.normal, inside)
        share("share_of_immediate", priority.value, is_immediate, inside)
        share("share_of_same_day", priority.value, is_same_day & ~is_immediate, inside)
        share("precision_immediate", priority.value, inside, is_immediate)
        share("precision_same_day", priority.value, inside, is_same_day)
        for view in VIEWS:
            share("share", f"{priority.value}/view={view}", images.views == view, inside)
    found, usual = (weighted_shares(weights, x, is_immediate) for x in (urgent, everyone))
    counts = int(urgent.sum()), int((urgent & is_immediate).sum())
    row("lift_immediate", "urgent", ratio(found, usual), counts)
    parts = {"all": everyone} | {f"view={view}": images.views == view for view in VIEWS}
    for name, truth, score in (
        ("auroc_immediate", is_immediate, immediate),
        ("auroc_same_day", is_same_day, same_day),
    ):
        for subset, inside in parts.items():
            areas = aurocs(truth[inside], score[inside], weights[:, inside])
            row(name, subset, areas, (int(inside.sum()), int(truth[inside].sum())))
    return rows


def priorities(
    manifest: TriageManifest, immediate: FloatArray, same_day: FloatArray
) -> dict[Priority, BoolArray]:
    """Which images the gateway gives each priority at its default budgets, bool [N] each."""
    model = TriageModel(manifest, "")
    thresholds = reference_thresholds(model, DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET)
    given = np.array(
        [
            thresholds.priority(*scores)
            for scores in zip(immediate.tolist(), same_day.tolist(), strict=True)
        ]
    )
    return {priority: given == priority for priority in Priority}


def with_measured(manifest: TriageManifest, rows: Sequence[MetricRow]) -> TriageManifest:
    """`manifest` with `rows` in place of those of the same split and names."""
    renewed = {(row.name, row.split) for row in rows}
    kept = [row for row in manifest.metrics if (row.name, row.split) not in renewed]
    return manifest.model_copy(update={"metrics": [*kept, *rows]})


def read_triage(path: Path, classifier: ModelIdentity, detector: ModelIdentity) -> TriageManifest:
    """The published triage model of these two; PublishError where there is none."""
    try:
        manifest = TriageManifest.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PublishError(f"{path} is no triage model: {error}") from error
    if (manifest.classifier, manifest.detector) != (classifier, detector):
        raise PublishError(f"{path} was fitted to other models: run `cxr triage fit`")
    return manifest


def _chosen(
    images: TriageImages,
    findings: Sequence[Finding],
    regions: Sequence[Region],
    form: str | None = None,
) -> tuple[str, TriageScore]:
    """The form (`form` if given) and its score, with weights of all images."""
    if form is None:
        losses = _losses(images, findings, regions)
        form = FORMS[0]
        for other in FORMS[1:]:
            if losses[other] < losses[form] - LEAST_GAIN:
                form = other
    values = _values(images.answers, findings, regions)
    weights = _weights(form, values, images.having(findings), len(findings))
    # A term that adds nothing would only be looked at by people who read the manifest.
    terms = [
        TriageTerm(
            finding=name if isinstance(name, Finding) else None,
            region=name if isinstance(name, Region) else None,
            weight=round(float(weight), 4),
            usual=round(float(np.median(column)), 6),
        )
        for name, weight, column in zip((*findings, *regions), weights, values.T, strict=True)
        if round(float(weight), 4) > 0
    ]
    bare = TriageScore(findings=list(findings), terms=terms, quantiles=[0.0] * _QUANTILES)
    quantiles = np.quantile(images.scores(bare), np.linspace(0, 1, _QUANTILES)).round(6)
    return form, bare.model_copy(update={"quantiles": quantiles.tolist()})


def _losses(
    images: TriageImages, findings: Sequence[Finding], regions: Sequence[Region]
) -> Mapping[str, float]:
    """The log loss of each form, each image's score from patients of other folds."""
    values, truth = _values(images.answers, findings, regions), images.having(findings)
    fold = patient_folds(images.patients, FOLDS, seed=1)
    losses = {}
    for form in FORMS:
        added = np.empty(len(truth))
        for held_out in range(FOLDS):
            inside = fold == held_out
            weights = _weights(form, values[~inside], truth[~inside], len(findings))
            added[inside] = _odds(values[inside]) @ weights
        losses[form] = float(_log_losses(added, truth).mean())
    return losses


def _values(answers: Answers, findings: Sequence[Finding], regions: Sequence[Region]) -> FloatArray:
    """What each term sees, float64 [N, findings + regions]."""
    columns = [answers.probabilities[:, FINDINGS.index(one)] for one in findings]
    columns += [np.maximum(answers.scores[:, REGIONS.index(one)], NO_BOX_SCORE) for one in regions]
    values: FloatArray = np.stack(columns, axis=1)
    return values


def _odds(values: FloatArray) -> FloatArray:
    added: FloatArray = -np.log1p(-np.minimum(values, 1 - _TINY))
    return added


def _weights(form: str, values: FloatArray, truth: BoolArray, n_findings: int) -> FloatArray:
    """Weights of a form, float64 [terms], none below zero: those of the highest likelihood."""
    prior: FloatArray = np.r_[np.ones(n_findings), np.zeros(values.shape[1] - n_findings)]
    if form == INDEPENDENT:
        return prior
    used = np.arange(len(prior)) < (n_findings if form == WEIGHTED else len(prior))
    added = _odds(values)[:, used]

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        total = np.maximum(added @ weights, _TINY)
        pull = weights - prior[used]
        slope = np.where(truth, -1 / np.expm1(np.minimum(total, 500)), 1.0)
        value = _log_losses(total, truth).sum() + _PULL * (pull**2).sum()
        return float(value), added.T @ slope + 2 * _PULL * pull

    start = np.maximum(prior[used], 1e-3)
    bounds = [(0.0, None)] * int(used.sum())
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    weights = np.zeros(len(prior))
    weights[used] = found.x
    return weights


def _log_losses(added: FloatArray, truth: BoolArray) -> FloatArray:
    """Of the scores 1 - exp(-added)."""
    added = np.maximum(added, _TINY)
    losses: FloatArray = np.where(truth, -np.log(-np.expm1(-added)), added)
    return losses
