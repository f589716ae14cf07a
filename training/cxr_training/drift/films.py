"""What the gateway would keep of each validation film, through the services' own code."""

from collections.abc import Iterator
from dataclasses import dataclass

from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_contracts import FindingProbability
from cxr_gateway.drift.film import numbers_of, view_of
from cxr_gateway.drift.measures import measure
from cxr_gateway.gate import Gate
from cxr_gateway.intake import Limits, read_upload
from cxr_gateway.schemas import Gate as GateWord
from cxr_serving.imaging import decode_grey
from cxr_serving.imaging import ImageLimits
from cxr_training.data.radiographs import Radiograph


@dataclass(frozen=True, slots=True)
class ReadFilm:
    """One film; `numbers` in the order of `NUMBERS`, without findings if the gate refused it."""

    patient: str
    accepted: bool
    source: str
    view: str
    numbers: list[float | None]


def read_films(
    images: list[Radiograph], gate: Gate, classifier: ClassifierPredictor
) -> Iterator[ReadFilm]:
    """Each image as intake, gate and classifier see it; the view is the data set's word.

    The files hold none, where a hospital's DICOM files do.
    """
    for image in tqdm(images, desc="drift reference", mininterval=5.0):
        yield _read(image, gate, classifier)


def _read(image: Radiograph, gate: Gate, classifier: ClassifierPredictor) -> ReadFilm:
    content = image.path.read_bytes()
    # The data sets hold small copies of the films, which the services would not refuse either.
    intake = read_upload(content, limits=Limits(min_side_px=1))
    score = gate.check(intake.grey)
    accepted = score.accepted and intake.refused is None
    findings: list[FindingProbability] = []
    if accepted:
        decoded = decode_grey(content, ImageLimits(min_side_px=1))
        (reading,) = classifier.predict([classifier.prepare(decoded)])
        findings, _ = reading.answer(0)
    word = GateWord(
        accepted=accepted, score=score.score, threshold=score.threshold, reason=score.reason
    )
    numbers = numbers_of(intake.facts, word, measure(intake.grey), findings)
    source = intake.facts.source.value
    return ReadFilm(image.patient, accepted, source, view_of(image.view), numbers)
