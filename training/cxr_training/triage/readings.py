"""What the published system says of each validation radiograph, through the services' own code."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import ClassifyResponse, DetectResponse, Finding, ImageSize, ModelIdentity
from cxr_detector.app import detected_boxes
from cxr_detector.predictor import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.merge import joined_boxes, ranked_findings
from cxr_gateway.schemas import Priority
from cxr_gateway.triage import triage
from cxr_serving.image import decode_grey
from cxr_serving.image_limits import ImageLimits
from cxr_training.data.radiographs import Radiograph

# The answers stay in this process; nobody asks which model gave them.
_NOBODY = ModelIdentity(name="evaluation", version="0", sha256="0" * 64)


@dataclass(frozen=True, slots=True)
class TriagedImage:
    """A radiograph, what NIH says of it, and how urgent the system calls it."""

    patient: str
    findings: frozenset[Finding]
    priority: Priority


def triaged(
    images: list[Radiograph], classifier_dir: Path, detector_dir: Path
) -> Iterator[TriagedImage]:
    """Each image with the priority that the published models and the gateway's table give it."""
    classifier = load_classifier(ClassifierSettings(model_dir=classifier_dir))
    detector = load_detector(DetectorSettings(model_dir=detector_dir))
    # The data sets hold small copies of the films; the services refuse nothing above this.
    limits = ImageLimits(min_side_px=1)
    for image in tqdm(images, desc="triage", mininterval=5.0):
        decoded = decode_grey(image.path.read_bytes(), limits)
        (reading,) = classifier.predict([classifier.prepare(decoded)])
        (found,) = detector.predict([detector.prepare(decoded)])
        findings, _ = reading.answer(0)
        classified = ClassifyResponse(model=_NOBODY, findings=findings, cams=[])
        detected = DetectResponse(
            model=_NOBODY,
            image=ImageSize(width=decoded.width, height=decoded.height),
            boxes=detected_boxes(found, detector.manifest),
        )
        ranked = ranked_findings(classified)
        answer = triage(ranked, joined_boxes(detected, ranked), detector_answered=True)
        yield TriagedImage(image.patient, image.findings, answer.priority)
