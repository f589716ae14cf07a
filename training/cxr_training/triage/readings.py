"""What the published system says of each validation radiograph, through the services' own code."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import ClassifyResponse, DetectResponse, Finding, ImageSize
from cxr_detector.app import detected_boxes
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.joining import load_joinings
from cxr_gateway.merge import joined_boxes, ranked_findings
from cxr_gateway.schemas import Priority
from cxr_gateway.triage import triage
from cxr_serving.imaging import decode_grey
from cxr_serving.imaging import ImageLimits
from cxr_serving.model_folder import identity_of
from cxr_training.data.pixels import upload_of
from cxr_training.data.radiographs import Radiograph


@dataclass(frozen=True, slots=True)
class TriagedImage:
    """A radiograph, what NIH says of it, and how urgent the system calls it."""

    patient: str
    findings: frozenset[Finding]
    priority: Priority


def triaged(
    images: list[Radiograph], classifier_dir: Path, detector_dir: Path, joining_dir: Path
) -> Iterator[TriagedImage]:
    """Each image with the priority that the published models and the gateway's table give it.

    Raises:
        JoiningError: `joining_dir` holds what the gateway would not take.
    """
    classifier = load_classifier(ClassifierSettings(model_dir=classifier_dir))
    detector = load_detector(DetectorSettings(model_dir=detector_dir))
    joinings = load_joinings(joining_dir)
    read_by, found_by = identity_of(classifier.manifest), identity_of(detector.manifest)
    joining = joinings.of(read_by, found_by)
    # The data sets hold small copies of the films; the services refuse nothing above this.
    limits = ImageLimits(min_side_px=1)
    for image in tqdm(images, desc="triage", mininterval=5.0):
        decoded = decode_grey(upload_of(image.path), limits)
        (reading,) = classifier.predict([classifier.prepare(decoded)])
        prepared = replace(detector.prepare(decoded), min_score=joinings.min_score)
        (found,) = detector.predict([prepared])
        findings, _ = reading.answer(0)
        classified = ClassifyResponse(model=read_by, findings=findings, cams=[])
        detected = DetectResponse(
            model=found_by,
            image=ImageSize(width=decoded.width, height=decoded.height),
            boxes=detected_boxes(found, detector.manifest),
        )
        ranked = ranked_findings(classified)
        boxes = joined_boxes(detected, ranked, joining)
        answer = triage(ranked, boxes, detector_answered=True)
        yield TriagedImage(image.patient, image.findings, answer.priority)
