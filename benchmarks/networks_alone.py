"""The physical limit: the served networks without anything around them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.images import sample_png
from benchmarks.load import Run
from benchmarks.served import CLASSIFIER, DETECTOR
from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_serving.imaging import decode_grey


class NetworksAlone:
    """Classifier and detector as the services load them: from the ONNX files, on all processors.

    Their inputs are made once, of the public sample; only runs are timed, from a network's input
    to probabilities and boxes.
    """

    def __init__(self) -> None:
        image = decode_grey(sample_png())
        classifier = load_classifier(ClassifierSettings(model_dir=CLASSIFIER))
        detector = load_detector(DetectorSettings(model_dir=DETECTOR))
        one, other = [classifier.prepare(image)], [detector.prepare(image)]
        self._runs: list[Callable[[], object]] = [
            lambda: classifier.predict(one),
            lambda: detector.predict(other),
        ]
        self._pool = ThreadPoolExecutor(len(self._runs))

    def in_turn(self) -> None:
        """One after the other."""
        for run in self._runs:
            run()

    def side_by_side(self) -> None:
        """Both at once, each on all processors."""
        for future in [self._pool.submit(run) for run in self._runs]:
            future.result()


def timed(way: Callable[[], None], count: int) -> Run:
    """So many runs, each after the one before."""
    started = time.perf_counter()
    ends = [started]
    for _ in range(count):
        way()
        ends.append(time.perf_counter())
    return Run(np.diff(ends) * 1000, ends[-1] - started, [])
