"""What both published models predict on the radiographs of a rescoring.

The annotated radiographs are nearly all diseased, and most are large files. What a rescoring is
worth shows on ordinary ones as well, so radiographs without a finding are added: as many for each
size of file, in proportion, or else file size would be a confounder.

Everything goes the way of serving: the services' own decoding, preprocessing, ONNX Runtime, box
selection and calibration.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

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
from cxr_gateway.analysis.rescoring import logit
from cxr_serving.imaging import ImageLimits, decode_grey
from cxr_serving.model_folder import identity_of
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import (
    REGIONS,
    SET_NAMES,
    AnnotatedImage,
    as_background,
    read_annotations,
    read_test_annotations,
)
from cxr_training.data.boxed import read_boxed
from cxr_training.data.layout import NIH_FOLDER, TEST_FOLDER
from cxr_training.data.pixels import upload_of
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.dataset import pixel_boxes
from cxr_training.metrics.detection import BoolArray, FloatArray, IndexArray, Matches, match

FINDINGS: tuple[Finding, ...] = tuple(Finding)
REGION_FINDINGS: tuple[Finding | None, ...] = tuple(finding_of_region(region) for region in REGIONS)
HAS_FINDING: BoolArray = np.array([finding is not None for finding in REGION_FINDINGS])
_COLUMNS = np.array([FINDINGS.index(finding) if finding else 0 for finding in REGION_FINDINGS])
# As the published detectors were evaluated; see training/configs/detector/.
_MERGE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Predictions:
    """Both models' predictions on `n` radiographs, and the truth; a detection is a box found."""

    probabilities: FloatArray
    """[n, findings], the classifier's, calibrated."""
    truth: npt.NDArray[np.int64]
    """[n, regions], how many boxes were drawn."""
    known: BoolArray
    """[n, regions], whether anybody looked for the class."""
    annotated: BoolArray
    """[n], whether anybody drew boxes; the others are ordinary radiographs."""
    patients: npt.NDArray[np.str_]
    """[n]."""
    image: IndexArray
    """[D], index of the radiograph."""
    label: IndexArray
    """[D], index of the region."""
    score: FloatArray
    """[D], the detector's."""
    hit: BoolArray
    """[D, T], whether it hits a drawn box at each IoU; rescoring changes no order within one
    radiograph and class, so it changes no hit."""

    @property
    def is_known(self) -> BoolArray:
        """[D], whether anybody looked for the detection's class there."""
        return self.known[self.image, self.label]

    @property
    def known_truth(self) -> npt.NDArray[np.int64]:
        """[n, regions], how many boxes were drawn of known classes."""
        return np.where(self.known, self.truth, 0)

    def class_logits(self) -> FloatArray:
        """[D], logit of the classifier's probability of a detection's finding; 0 without one."""
        found = logit(self.probabilities[self.image, _COLUMNS[self.label]])
        return np.where(HAS_FINDING[self.label], found, 0.0)

    def mean_class_logits(self) -> FloatArray:
        """[regions], the classifier's mean logit of each region's finding; 0 without one."""
        return np.where(HAS_FINDING, logit(self.probabilities).mean(axis=0)[_COLUMNS], 0.0)

    def of_images(self, inside: BoolArray) -> Self:
        """The radiographs for which `inside` [n] holds, renumbered."""
        number, kept = np.cumsum(inside) - 1, inside[self.image]
        by_image = ("probabilities", "truth", "known", "annotated", "patients")
        changes = {name: getattr(self, name)[inside] for name in by_image}
        changes |= {name: getattr(self, name)[kept] for name in ("label", "score", "hit")}
        return replace(self, **changes, image=number[self.image[kept]])

    def matches(self, scores: FloatArray) -> Matches:
        """The detections of known classes under `scores` [D], highest first."""
        order = np.argsort(-scores, kind="stable")
        order = order[self.is_known[order]]
        return Matches(
            image=self.image[order],
            label=self.label[order],
            score=scores[order],
            hit=self.hit[order],
            truth=self.known_truth,
        )


@dataclass(frozen=True, slots=True)
class ModelPair:
    """A published classifier and detector, loaded as their services load them."""

    classifier: ClassifierPredictor
    detector: Detector

    @classmethod
    def load(cls, classifier_dir: Path, detector_dir: Path) -> Self:
        """Both on ONNX Runtime.

        Raises:
            ModelFolderError: a folder that cannot be served.
            PublishError: the detector does not know every kind of region.
        """
        classifier = ClassifierSettings(model_dir=classifier_dir, runtime="onnxruntime")
        detector = DetectorSettings(model_dir=detector_dir, model=None, runtime="onnxruntime")
        pair = cls(load_classifier(classifier), load_detector(detector))
        missing = [region for region in REGIONS if region not in pair.detector.regions]
        if missing:
            raise PublishError(
                "a rescoring has constants for every kind of region, and "
                f"{pair.detector.manifest.name} does not know {', '.join(missing)}"
            )
        return pair

    @property
    def identities(self) -> tuple[ModelIdentity, ModelIdentity]:
        """The classifier's and the detector's."""
        return identity_of(self.classifier.manifest), identity_of(self.detector.manifest)


def images_of(data: Path, split: Split) -> tuple[list[AnnotatedImage], str]:
    """The annotated radiographs of validation or test patients, then others without a finding.

    With them the sha256 of the patient split.

    Raises:
        DataError: what the readers of the sets refuse.
    """
    is_test = split is Split.TEST
    read = read_test_annotations if is_test else read_annotations
    annotations = read(data, sets=SET_NAMES, merge_iou=_MERGE_IOU)
    annotated = annotations.of(split)
    taken = {image.name for image in annotations.images}
    nih = (data / TEST_FOLDER if is_test else data) / NIH_FOLDER
    clear = [
        as_background(image, split)
        for image in read_boxed(nih, held_out=is_test).of(split)
        if not image.findings and image.name not in taken
    ]
    return [*annotated, *matched_by_size(annotated, clear)], split_sha256(annotations.splits)


def matched_by_size(
    annotated: Sequence[AnnotatedImage], clear: Sequence[AnnotatedImage], seed: int = 8
) -> list[AnnotatedImage]:
    """Of `clear`, the same share of `annotated` for every size of file: at most as many."""
    wanted = Counter(image.side_px for image in annotated)
    available: defaultdict[int, list[AnnotatedImage]] = defaultdict(list)
    for image in sorted(clear, key=lambda image: image.name):
        available[image.side_px].append(image)
    share = min([1.0, *(len(available[side]) / count for side, count in wanted.items())])
    chooser = random.Random(seed)  # noqa: S311 - no secret
    chosen = [
        image
        for side, count in sorted(wanted.items())
        for image in chooser.sample(available[side], int(share * count))
    ]
    return sorted(chosen, key=lambda image: image.name)


def predict(models: ModelPair, images: Sequence[AnnotatedImage]) -> Predictions:
    """Run both models on each of `images`; Unprocessable for one that the services would refuse."""
    # The data sets hold small copies of the radiographs; the services refuse nothing above this.
    limits = ImageLimits(min_side_px=1)
    probabilities = np.zeros((len(images), len(FINDINGS)))
    truth = np.zeros((len(images), len(REGIONS)), dtype=np.int64)
    region_of = np.array([REGIONS.index(region) for region in models.detector.regions])
    labels, scores, hits = [], [], []
    for index, image in enumerate(tqdm(images, desc="rescoring", mininterval=5.0)):
        decoded = decode_grey(upload_of(image.path), limits)
        (output,) = models.classifier.predict([models.classifier.prepare(decoded)])
        for one in output.findings_and_cams(0)[0]:
            probabilities[index, FINDINGS.index(one.finding)] = one.probability
        prepared = replace(models.detector.prepare(decoded), min_score=LOWEST_MIN_SCORE)
        (found,) = models.detector.predict([prepared])
        label = region_of[found.labels]
        drawn = np.array([REGIONS.index(box.region) for box in image.boxes], dtype=np.intp)
        np.add.at(truth[index], drawn, 1)
        labels.append(label)
        scores.append(found.scores)
        boxes = pixel_boxes(image, decoded.width, decoded.height)
        hits.append(match(found.boxes, label, boxes, drawn))
    return Predictions(
        probabilities=probabilities,
        truth=truth,
        known=np.array([[region not in image.unknown for region in REGIONS] for image in images]),
        annotated=np.array([image.is_annotated for image in images]),
        patients=np.array([image.patient for image in images]),
        image=np.repeat(np.arange(len(images)), [len(found) for found in scores]),
        label=np.concatenate(labels),
        score=np.concatenate(scores).astype(np.float64),
        hit=np.concatenate(hits),
    )
