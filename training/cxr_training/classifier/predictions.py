"""What a classifier predicts for the images of a split, and the subsets that have own figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_contracts import Finding
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.loading import coarsened
from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.core.cpu import usable_cores
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import FloatArray

BoolArray = npt.NDArray[np.bool_]
SOURCES, SEXES, VIEWS = ("large", "medium", "small"), ("F", "M"), ("PA", "AP")
# Years, both ends in. NIH's few impossible ages (above 120) are unknown ages.
AGE_BANDS = ((0, 17), (18, 39), (40, 59), (60, 79), (80, 120))
SUBGROUP_KINDS = ("sex", "age", "view")
# Larger than a service's on a CPU: here nobody waits for the first prediction of a batch.
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the network says of a split's images.

    `logits` and `coarse_logits` are float64 [N, L] in the order of `labels`; the latter are of the
    same images brought down to `coarse_px` a side first. `targets` is float64 [N, L]. The others
    are as in `Samples`, [N] each.
    """

    split: Split
    logits: FloatArray
    coarse_logits: FloatArray
    coarse_px: int
    targets: FloatArray
    patients: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    ages: npt.NDArray[np.int64]
    sexes: npt.NDArray[np.str_]
    views: npt.NDArray[np.str_]
    labels: tuple[Finding, ...] = LABELS

    def __len__(self) -> int:
        return len(self.targets)


def predict(folder: ModelFolder, samples: Samples, split: Split, coarse_px: int) -> Predictions:
    """The predictions of a published model, as a service makes them.

    Nothing is taken from a run's cache: each file is decoded, and goes through the preprocessing,
    the batches and the ONNX file of the service.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what the manifest says, or cannot be loaded.
    """
    # Only the ONNX file runs here; the weights are checked because a service may run those.
    folder.weights()
    runtime = OnnxRuntime(folder.onnx(), threads=usable_cores())
    predictor = ClassifierPredictor(folder.manifest, runtime)
    predictor.warm_up(_BATCH)
    spec = predictor.manifest.input
    side_px = spec.canonical_px or max(spec.width_px, spec.height_px)
    logits, coarse = [], []
    for images in _batches(samples, split):
        logits.append(_logits(predictor, images, samples.labels))
        softened = [coarsened(to_canonical(image, side_px), coarse_px) for image in images]
        coarse.append(_logits(predictor, softened, samples.labels))
    rows = samples.rows(split)
    return Predictions(
        split=split,
        logits=np.concatenate(logits),
        coarse_logits=np.concatenate(coarse),
        coarse_px=coarse_px,
        targets=samples.targets[rows].astype(np.float64),
        patients=samples.patients[rows],
        sources=samples.sources[rows],
        ages=samples.ages[rows],
        sexes=samples.sexes[rows],
        views=samples.views[rows],
        labels=samples.labels,
    )


def _batches(samples: Samples, split: Split) -> Iterator[list[GreyImage]]:
    rows = samples.rows(split)
    with tqdm(total=len(rows), desc="predicting", unit="image", mininterval=5) as bar:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            yield [decode_grey(samples.paths[row]) for row in batch]
            bar.update(len(batch))


def _logits(
    predictor: ClassifierPredictor, images: list[GreyImage], labels: Sequence[Finding]
) -> FloatArray:
    """Logits float64 [N, L] in the order of `labels`, whatever that of the manifest."""
    inputs = [predictor.prepare(DecodedImage(image, "png")) for image in images]
    columns = [predictor.calibration.findings.index(label) for label in labels]
    outputs = predictor.predict(inputs)
    return np.stack([output.logits[columns] for output in outputs]).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of the images; `name` is empty for all. `coarse`: with figures of `coarse_logits`."""

    name: str
    inside: BoolArray
    coarse: bool = False

    @property
    def is_subgroup(self) -> bool:
        """Whether it is a part of the patients or views, rather than of the files."""
        return is_subgroup(self.name)

    def label(self, label: str) -> str:
        """How a row of one label in this subset is named."""
        return f"{label}/{self.name}" if self.name else label


def is_subgroup(subset: str) -> bool:
    """Whether a row's subset is of a sex, an age band or a view, of one label or of all."""
    kind, separator, _ = subset.rpartition("/")[2].partition("=")
    return bool(separator) and kind in SUBGROUP_KINDS


def subsets(predictions: Predictions) -> list[Subset]:
    """All images, then each source size, all at the smallest size, each sex, age band and view.

    Those that hold no image are left out.
    """
    everything = np.ones(len(predictions), dtype=bool)
    ages = predictions.ages
    parts = [
        *(Subset(f"source={source}", predictions.sources == source) for source in SOURCES),
        Subset(f"coarsened={predictions.coarse_px}px", everything, coarse=True),
        *(Subset(f"sex={sex}", predictions.sexes == sex) for sex in SEXES),
        *(
            Subset(f"age={_band(low, high)}", (ages >= low) & (ages <= high))
            for low, high in AGE_BANDS
        ),
        *(Subset(f"view={view}", predictions.views == view) for view in VIEWS),
    ]
    return [Subset("", everything), *(part for part in parts if part.inside.any())]


def _band(low: int, high: int) -> str:
    return f"{low}-{high}" if high < AGE_BANDS[-1][1] else f"{low}+"
