"""What a published classifier answers, through the service's own code."""

import os
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_serving.image import DecodedImage
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.answers import Answers, answers_of
from cxr_training.classifier.augment import coarsened
from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import FloatArray

# Larger than a service's on a CPU: here nobody waits for the first answer of a batch.
_BATCH = 8


def read_published(folder: ModelFolder, samples: Samples, coarse_px: int) -> Answers:
    """The answers on all validation images, as they are and brought down to `coarse_px` first.

    Nothing is taken from a run's cache: each file is decoded, and goes through the preprocessing,
    the batches and the ONNX file of the service.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what the manifest says, or cannot be loaded.
    """
    # Only the ONNX file runs here; the weights are checked because a service may run those.
    folder.weights()
    runtime = OnnxRuntime(folder.onnx(), threads=len(os.sched_getaffinity(0)))
    predictor = ClassifierPredictor(folder.manifest, runtime)
    predictor.warm_up(_BATCH)
    logits, coarse = [], []
    for images in _batches(samples):
        logits.append(_logits(predictor, images))
        side_px = _side_px(predictor)
        softened = [coarsened(to_canonical(image, side_px), coarse_px) for image in images]
        coarse.append(_logits(predictor, softened))
    return answers_of(samples, np.concatenate(logits), np.concatenate(coarse), coarse_px)


def _batches(samples: Samples) -> Iterator[list[GreyImage]]:
    rows = samples.rows(Split.VALIDATION)
    with tqdm(total=len(rows), desc="judging", unit="image", mininterval=5) as bar:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            yield [decode_grey(samples.paths[row]) for row in batch]
            bar.update(len(batch))


def _logits(predictor: ClassifierPredictor, images: list[GreyImage]) -> FloatArray:
    """Logits float64 [N, 14] in the order of `LABELS`, whatever that of the manifest."""
    inputs = [predictor.prepare(DecodedImage(image, "png", as_stored=True)) for image in images]
    columns = [predictor.calibration.findings.index(label) for label in LABELS]
    readings = predictor.predict(inputs)
    return np.stack([reading.logits[columns] for reading in readings]).astype(np.float64)


def _side_px(predictor: ClassifierPredictor) -> int:
    """The side of the square from which an image is brought down."""
    spec = predictor.manifest.input
    return spec.canonical_px or max(spec.width_px, spec.height_px)
