"""How well the triage table orders radiographs: shares of each priority, on validation patients."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import ClassifyResponse, DetectResponse, Finding, ImageSize, Interval
from cxr_detector.app import detected_boxes
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.analysis.merge import merged_boxes, ranked_findings
from cxr_gateway.analysis.rescoring import load_rescorings
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY, triage
from cxr_gateway.core.schemas import Priority
from cxr_serving.imaging import ImageLimits, decode_grey
from cxr_serving.model_folder import identity_of
from cxr_training.data.pixels import upload_of
from cxr_training.data.radiographs import Radiograph
from cxr_training.metrics.bootstrap import bootstrap_interval
from cxr_training.report.tables import markdown_table

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class TriagedImage:
    """A radiograph, what NIH says of it, and how urgent the system calls it."""

    patient: str
    findings: frozenset[Finding]
    priority: Priority


# Kinds of radiographs by NIH's labels, the most urgent first; each image is of one kind.
KINDS: tuple[tuple[str, Callable[[TriagedImage], bool]], ...] = (
    ("an immediate finding", lambda image: bool(image.findings & set(IMMEDIATE))),
    ("a same-day finding", lambda image: bool(image.findings & set(SAME_DAY))),
    ("another finding", lambda image: bool(image.findings)),
    ("no finding", lambda image: not image.findings),
)


@dataclass(frozen=True, slots=True)
class PriorityShare:
    """Of the images of one kind, the share that is given one priority."""

    kind: str
    n: int
    priority: Priority
    share: Interval


def triaged(images: Sequence[Radiograph], models: Path, classifier: Path) -> Iterator[TriagedImage]:
    """Each image with the priority that the published models and the gateway's table give it.

    Args:
        images: to triage.
        models: holds detector/ and rescoring/.
        classifier: the folder of the classifier.

    Raises:
        ModelFolderError, RescoringError: what lies in `models` would not be served.
    """
    predictor = load_classifier(ClassifierSettings(model_dir=classifier))
    detector = load_detector(DetectorSettings(model_dir=models / "detector"))
    rescorings = load_rescorings(models / "rescoring")
    identities = identity_of(predictor.manifest), identity_of(detector.manifest)
    rescoring = rescorings.of(*identities)
    # The data sets hold small copies of the radiographs; the services refuse nothing above this.
    limits = ImageLimits(min_side_px=1)
    for image in tqdm(images, desc="triage", mininterval=5.0):
        decoded = decode_grey(upload_of(image.path), limits)
        (output,) = predictor.predict([predictor.prepare(decoded)])
        prepared = replace(detector.prepare(decoded), min_score=rescorings.min_score)
        (found,) = detector.predict([prepared])
        findings, _ = output.findings_and_cams(0)
        classified = ClassifyResponse(model=identities[0], findings=findings, cams=[])
        detected = DetectResponse(
            model=identities[1],
            image=ImageSize(width=decoded.width, height=decoded.height),
            boxes=detected_boxes(found, detector.manifest),
        )
        ranked = ranked_findings(classified)
        boxes = merged_boxes(detected, ranked, rescoring)
        result = triage(ranked, boxes, detector_answered=True)
        yield TriagedImage(image.patient, image.findings, result.priority)


def priority_shares(images: Sequence[TriagedImage], *, seed: int = 1) -> list[PriorityShare]:
    """One for each kind of radiograph and priority, with intervals over patients."""
    kinds = np.array([next(kind for kind, holds in KINDS if holds(image)) for image in images])
    priorities = np.array([image.priority.value for image in images])
    patients = [image.patient for image in images]
    shares = []
    for kind, _ in KINDS:
        of_kind = kinds == kind
        for priority in Priority:
            share = bootstrap_interval(
                _share(of_kind, of_kind & (priorities == priority.value)),
                patients,
                resamples=RESAMPLES,
                seed=seed,
            )
            if share is not None:
                shares.append(PriorityShare(kind, int(of_kind.sum()), priority, share))
    return shares


def write_shares(shares: Sequence[PriorityShare], folder: Path, split: str) -> None:
    """`triage.csv` and a page that shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "triage.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["kind", "n", "priority", "share", "low", "high"])
        for one in shares:
            numbers = (one.share.value, one.share.low, one.share.high)
            writer.writerow([one.kind, one.n, one.priority.value, *(f"{x:.4f}" for x in numbers)])
    lines = []
    for kind, _ in KINDS:
        of_kind = [one for one in shares if one.kind == kind]
        if of_kind:
            cells = [
                f"{one.share.value:.0%} ({100 * one.share.low:.0f} to {100 * one.share.high:.0f})"
                for one in of_kind
            ]
            lines.append([kind, str(of_kind[0].n), *cells])
    parts = [
        "# How the triage table orders radiographs",
        "Made by `make evaluate-triage`: the published classifier and detector and the gateway's "
        f"table on all {split} radiographs of NIH ChestX-ray14, by NIH's labels (mined from "
        "reports, about 90% right). Shares with 95% intervals over patients. The thresholds were "
        "chosen on validation patients, so expect somewhat less on others.",
        f"Immediate: {_names(IMMEDIATE)}. Same day: {_names(SAME_DAY)}.",
        markdown_table(["radiographs with", "n", *(p.value for p in Priority)], lines),
    ]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n")


def _names(findings: Sequence[str]) -> str:
    return ", ".join(str(finding).replace("_", " ") for finding in findings)


def _share(
    whole: npt.NDArray[np.bool_], part: npt.NDArray[np.bool_]
) -> Callable[[npt.NDArray[np.int64]], float]:
    def statistic(weights: npt.NDArray[np.int64]) -> float:
        total = weights[whole].sum()
        return float(weights[part].sum() / total) if total else float("nan")

    return statistic
