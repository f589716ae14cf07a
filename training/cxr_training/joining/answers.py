"""What both published readers say of the annotated radiographs, kept so that a refit takes seconds.

Everything goes the way of serving: the services' own decoding, preprocessing, ONNX Runtime, box
selection and calibration.
"""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import LOWEST_MIN_SCORE, Finding, ModelIdentity, finding_of_region
from cxr_detector.loading import Detector
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_serving.imaging import decode_grey
from cxr_serving.imaging import ImageLimits
from cxr_serving.model_folder import identity_of
from cxr_training.data.pixels import upload_of
from cxr_training.detector.annotations import REGIONS, AnnotatedImage
from cxr_training.detector.dataset import image_boxes
from cxr_training.detector.scoring import BoolArray, FloatArray, IndexArray, Matches, match

FINDINGS: tuple[Finding, ...] = tuple(Finding)
REGION_FINDINGS: tuple[Finding | None, ...] = tuple(finding_of_region(region) for region in REGIONS)


@dataclass(frozen=True, slots=True)
class Answers:
    """Both readers' answers on `n` radiographs, and the truth; a detection is a box found."""

    probabilities: FloatArray
    """[n, findings], the classifier's, calibrated."""
    truth: npt.NDArray[np.int64]
    """[n, regions], how many boxes were drawn."""
    known: BoolArray
    """[n, regions], whether anybody looked for the class."""
    patients: npt.NDArray[np.str_]
    """[n]."""
    image: IndexArray
    """[D], index of the radiograph."""
    label: IndexArray
    """[D], index of the region."""
    score: FloatArray
    """[D], the detector's."""
    hit: BoolArray
    """[D, T], whether it hits a drawn box at each IoU; joining changes no order within one
    radiograph and class, so it changes no hit."""

    def opinions(self) -> FloatArray:
        """[D], the classifier's probability of each detection's own finding; NaN without one."""
        columns = [FINDINGS.index(finding) if finding else -1 for finding in REGION_FINDINGS]
        column = np.array(columns)[self.label]
        found = self.probabilities[self.image, column]
        return np.where(column >= 0, found, np.nan)

    def of_patients(self, inside: BoolArray) -> Self:
        """The radiographs for which `inside` [n] holds, renumbered."""
        number = np.cumsum(inside) - 1
        kept = inside[self.image]
        return replace(
            self,
            probabilities=self.probabilities[inside],
            truth=self.truth[inside],
            known=self.known[inside],
            patients=self.patients[inside],
            image=number[self.image[kept]],
            label=self.label[kept],
            score=self.score[kept],
            hit=self.hit[kept],
        )

    def judged(self) -> BoolArray:
        """[D], whether a detection can be judged: somebody looked for its class there."""
        return self.known[self.image, self.label]

    def matches(self, scores: FloatArray, *, known_only: bool) -> Matches:
        """The detections under `scores` [D], highest first, as the figures take them."""
        truth = np.where(self.known, self.truth, 0) if known_only else self.truth
        order = np.argsort(-scores, kind="stable")
        if known_only:
            order = order[self.judged()[order]]
        return Matches(
            image=self.image[order],
            label=self.label[order],
            score=scores[order],
            hit=self.hit[order],
            truth=truth,
        )


@dataclass(frozen=True, slots=True)
class ReaderPair:
    """Both published readers, loaded as their services load them."""

    classifier: ClassifierPredictor
    detector: Detector

    @classmethod
    def load(cls, classifier_dir: Path, detector_dir: Path) -> Self:
        """Both on ONNX Runtime; ModelFolderError for a folder that cannot be served."""
        classifier = ClassifierSettings(model_dir=classifier_dir, runtime="onnxruntime")
        detector = DetectorSettings(model_dir=detector_dir, model=None, runtime="onnxruntime")
        return cls(load_classifier(classifier), load_detector(detector))

    @property
    def identities(self) -> tuple[ModelIdentity, ModelIdentity]:
        """The classifier's and the detector's."""
        return identity_of(self.classifier.manifest), identity_of(self.detector.manifest)


def kept_answers(readers: ReaderPair, images: Sequence[AnnotatedImage], path: Path) -> Answers:
    """The answers in `path` if they are of these readers and radiographs, or new ones kept there.

    Raises:
        Unprocessable: a radiograph that the services would not read.
    """
    key = _key(readers, images)
    try:
        with np.load(path) as stored:
            if str(stored["key"]) == key:
                return Answers(**{field.name: stored[field.name] for field in fields(Answers)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        pass  # not there, or of another version: asked anew
    answers = collect(readers, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {field.name: getattr(answers, field.name) for field in fields(Answers)}
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, key=np.array(key), **arrays)
    partial.replace(path)
    return answers


def collect(readers: ReaderPair, images: Sequence[AnnotatedImage]) -> Answers:
    """Ask both readers about each of `images`."""
    # The data sets hold small copies of the films; the services refuse nothing above this.
    limits = ImageLimits(min_side_px=1)
    probabilities = np.zeros((len(images), len(FINDINGS)))
    truth = np.zeros((len(images), len(REGIONS)), dtype=np.int64)
    labels, scores, hits = [], [], []
    for index, image in enumerate(tqdm(images, desc="joining", mininterval=5.0)):
        decoded = decode_grey(upload_of(image.path), limits)
        (reading,) = readers.classifier.predict([readers.classifier.prepare(decoded)])
        for row in reading.answer(0)[0]:
            probabilities[index, FINDINGS.index(row.finding)] = row.probability
        prepared = replace(readers.detector.prepare(decoded), min_score=LOWEST_MIN_SCORE)
        (found,) = readers.detector.predict([prepared])
        region_of = np.array([REGIONS.index(region) for region in readers.detector.regions])
        label = region_of[found.labels]
        drawn = np.array([REGIONS.index(box.region) for box in image.boxes], dtype=np.intp)
        np.add.at(truth[index], drawn, 1)
        labels.append(label)
        scores.append(found.scores)
        boxes = image_boxes(image, decoded.width, decoded.height)
        hits.append(match(found.boxes, label, boxes, drawn))
    return Answers(
        probabilities=probabilities,
        truth=truth,
        known=np.array([[region not in image.unknown for region in REGIONS] for image in images]),
        patients=np.array([image.patient for image in images]),
        image=np.repeat(np.arange(len(images)), [len(found) for found in scores]),
        label=np.concatenate(labels),
        score=np.concatenate(scores).astype(np.float64),
        hit=np.concatenate(hits),
    )


def _key(readers: ReaderPair, images: Sequence[AnnotatedImage]) -> str:
    """Changes with the weights, the calibration, the box selection, the radiographs, the boxes."""
    said: dict[str, Any] = {
        # Whatever is in a manifest may decide what is answered, but not these.
        "models": [
            manifest.model_dump(exclude={"created_at", "data", "training", "metrics"})
            for manifest in (readers.classifier.manifest, readers.detector.manifest)
        ],
        "lowest": LOWEST_MIN_SCORE,
        "images": [
            [image.name, image.side_px, sorted(image.unknown), [str(box) for box in image.boxes]]
            for image in images
        ],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
