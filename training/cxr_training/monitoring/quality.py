"""How often ordinary radiographs are warned of for their quality, and what the warnings are worth.

The larger images of the data set are what a hospital sends, at half its size. Those of 128 and 64
px are copies that the data set made: the warning about detail is right for them, and counted apart.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor, load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding, Interval
from cxr_gateway.core.schemas import ImageQuality
from cxr_gateway.imaging.quality import KINDS, fields_of, measure_quality, reduced, standardised
from cxr_training.data.nih import read_boxed
from cxr_training.data.pixels import decode_grey, through_jpeg
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import NIH_FOLDER, Split
from cxr_training.metrics.bootstrap import (
    FloatArray,
    interval_or_none,
    mean_of_defined,
    with_resamples,
)
from cxr_training.metrics.classification import aurocs
from cxr_training.monitoring.triage import probabilities_of
from cxr_training.report.tables import format_interval, markdown_table, write_csv

Grey = npt.NDArray[np.uint8]
RESAMPLES = 1000
LARGE_PX = 256
# Sides to which the larger images are brought, to see what is lost.
SIDES_PX = (512, 128, 64, 32)
_AVERAGED = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """A radiograph, its quality, and what the classifier says: logits, float64 [14]."""

    image: Radiograph
    side_px: int
    quality: ImageQuality
    logits: FloatArray

    @property
    def kinds(self) -> set[str]:
        """Of its warnings, and `unreadable`."""
        return {name for name, is_so in KINDS.items() if is_so(self.quality)}


def evaluate(options: Namespace) -> int:
    """`cxr quality evaluate`."""
    images = read_boxed(options.data / NIH_FOLDER).of(Split.VALIDATION)
    predictor = load_predictor(ClassifierSettings(model_dir=options.classifier))
    found = measured(images, predictor)
    large = [one.image for one in found if one.side_px >= LARGE_PX]
    spoilt = sensitivities([decode_grey(image.path) for image in large[: options.spoilt]])
    coarser = aurocs_of_coarser(large[: options.coarser], predictor)
    write_results(found, spoilt, coarser, options.results)
    print((options.results / "README.md").read_text())
    return 0


def print_template(options: Namespace) -> int:
    """`cxr quality template`."""
    print(template(read_boxed(options.data / NIH_FOLDER).of(Split.TRAIN)))
    return 0


def logits_of(predictor: ClassifierPredictor, grey: Grey) -> FloatArray:
    """The published classifier's answer for uint8 [H, W]: logits, float64 [14]."""
    chances = np.clip(probabilities_of(predictor, grey), 1e-9, 1.0 - 1e-9)
    logits: FloatArray = np.log(chances / (1.0 - chances))
    return logits


def measured(images: Sequence[Radiograph], predictor: ClassifierPredictor) -> list[Measured]:
    """Each image with its quality and what the classifier says of it."""
    found = []
    for image in tqdm(images, desc="quality", mininterval=5.0):
        grey = decode_grey(image.path)
        logits = logits_of(predictor, grey)
        found.append(Measured(image, min(grey.shape), measure_quality(grey), logits))
    return found


# --- what is worth knowing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """Of `n` images of a size, the share that is warned of for one kind of thing."""

    size: str
    n: int
    kind: str
    share: float


SIZES: Mapping[str, Callable[[int], bool]] = {
    "large": lambda side: side >= LARGE_PX,
    "128 px": lambda side: side == 128,
    "64 px": lambda side: side == 64,
}


def rates(found: Sequence[Measured]) -> list[Rate]:
    """For each size and kind, `any` among them."""
    made = []
    for size, belongs in SIZES.items():
        kinds = [one.kinds for one in found if belongs(one.side_px)]
        n = len(kinds)
        warned = {kind: sum(kind in one for one in kinds) for kind in KINDS}
        warned["any"] = sum(map(bool, kinds))
        made += [Rate(size, n, kind, count / max(n, 1)) for kind, count in warned.items()]
    return made


def mean_auroc(
    images: Sequence[Radiograph], logits: FloatArray, *, seed: int = 1
) -> Interval | None:
    """The mean AUROC of all findings that occur, with an interval over patients.

    Args:
        images: with their findings and patients.
        logits: float64 [N, 14].
        seed: of the resampling.
    """
    if not images:
        return None
    targets = np.array([[finding in image.findings for finding in Finding] for image in images])
    lines = with_resamples([image.patient for image in images], RESAMPLES, seed)
    areas = [
        aurocs(targets[:, label], logits[:, label], lines)
        for label in range(len(Finding))
        if 0 < targets[:, label].sum() < len(images)
    ]
    return interval_or_none(mean_of_defined(areas)) if areas else None


def aurocs_with_and_without(found: Sequence[Measured]) -> list[tuple[str, str, int, Interval]]:
    """Of each size: all images, those without a warning, and those with one."""
    rows = []
    sizes: dict[str, Callable[[int], bool]] = {"all": lambda _: True, **SIZES}
    for size, belongs in sizes.items():
        group = [one for one in found if belongs(one.side_px)]
        parts = {
            "all": group,
            "not warned of": [one for one in group if not one.kinds],
            "warned of": [one for one in group if one.kinds],
        }
        for name, part in parts.items():
            logits = np.array([one.logits for one in part])
            area = mean_auroc([one.image for one in part], logits)
            if area is not None:
                rows.append((size, name, len(part), area))
    return rows


def brought_to(grey: Grey, side_px: int) -> Grey:
    """The image at `side_px` a side, by Lanczos; as it is where it has no more."""
    if min(grey.shape) <= side_px:
        return grey
    size = (side_px, side_px)
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))


def _enlarged(grey: Grey, side_px: int, how: Image.Resampling) -> Grey:
    small = Image.fromarray(brought_to(grey, side_px))
    return np.asarray(small.resize((1024, 1024), how))


def _turned(grey: Grey, degrees: float) -> Grey:
    image = Image.fromarray(grey)
    return np.asarray(image.rotate(-degrees, Image.Resampling.BILINEAR, fillcolor=int(grey.mean())))


_HOW = Image.Resampling
# What is done to an ordinary image, and the kind of warning that it should meet.
SPOILT: Mapping[str, tuple[str, Callable[[Grey], Grey]]] = {
    "thumbnail of 64 px": ("detail", lambda grey: brought_to(grey, 64)),
    "64 px enlarged, nearest": ("detail", lambda grey: _enlarged(grey, 64, _HOW.NEAREST)),
    "64 px enlarged, bilinear": ("detail", lambda grey: _enlarged(grey, 64, _HOW.BILINEAR)),
    "64 px enlarged, bicubic": ("detail", lambda grey: _enlarged(grey, 64, _HOW.BICUBIC)),
    "64 px enlarged, bilinear, JPEG 75": (
        "detail",
        lambda grey: through_jpeg(_enlarged(grey, 64, _HOW.BILINEAR), 75),
    ),
    "16 levels of grey": ("greys", lambda grey: grey // 16 * 16),
    "a third as bright": ("exposure", lambda grey: (grey * 0.33).astype(np.uint8)),
    "twice as bright, clipped": (
        "clipped",
        lambda grey: np.minimum(grey.astype(np.uint16) * 2, 255).astype(np.uint8),
    ),
    "black and white exchanged": ("inverted", lambda grey: 255 - grey),
    "turned by 90 degrees": ("rotation", lambda grey: np.rot90(grey).copy()),
    "turned by 180 degrees": ("rotation", lambda grey: np.rot90(grey, 2).copy()),
    "leaning by 30 degrees": ("rotation", lambda grey: _turned(grey, 30)),
    "the left half": ("field of view", lambda grey: grey[:, : grey.shape[1] // 2].copy()),
    "the right half": ("field of view", lambda grey: grey[:, grey.shape[1] // 2 :].copy()),
    "the upper half": ("field of view", lambda grey: grey[: grey.shape[0] // 2].copy()),
    "JPEG of quality 30": ("blocking", lambda grey: through_jpeg(grey, 30)),
    "JPEG of quality 10": ("blocking", lambda grey: through_jpeg(grey, 10)),
}


def sensitivities(greys: Sequence[Grey]) -> list[tuple[str, str, float, float]]:
    """Of images spoilt in a known way: the share warned of for that, and for anything."""
    rows = []
    for name, (kind, spoil) in tqdm(SPOILT.items(), desc="spoilt", mininterval=5.0):
        kinds = []
        for grey in greys:
            quality = measure_quality(np.ascontiguousarray(spoil(grey)))
            kinds.append({one for one, is_so in KINDS.items() if is_so(quality)})
        n = len(kinds)
        rows.append((name, kind, sum(kind in one for one in kinds) / n, sum(map(bool, kinds)) / n))
    return rows


def aurocs_of_coarser(
    images: Sequence[Radiograph], predictor: ClassifierPredictor
) -> list[tuple[int, Interval]]:
    """The mean AUROC on the images brought to each of `SIDES_PX`."""
    made = []
    for side in tqdm(SIDES_PX, desc="coarser", mininterval=5.0):
        small = (brought_to(decode_grey(image.path), side) for image in images)
        found = [logits_of(predictor, grey) for grey in small]
        area = mean_auroc(images, np.array(found))
        if area is not None:
            made.append((side, area))
    return made


def template(images: Sequence[Radiograph], *, seed: int = 0) -> npt.NDArray[np.int64]:
    """The mean chest that `cxr_gateway.imaging.quality` holds: tenths, [12, 12].

    Args:
        images: of the training patients; a thousand of them are drawn.
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(images))[:_AVERAGED]
    fields = [fields_of(reduced(decode_grey(images[index].path))) for index in drawn]
    return np.rint(standardised(np.mean(fields, axis=0)) * 10).astype(np.int64)


# --- results ----------------------------------------------------------------------------------


def write_results(
    found: Sequence[Measured],
    spoilt: Sequence[tuple[str, str, float, float]],
    coarser: Sequence[tuple[int, Interval]],
    folder: Path,
) -> None:
    """`rates.csv` and a page that shows it all."""
    folder.mkdir(parents=True, exist_ok=True)
    all_rates = rates(found)
    lines = ([one.size, one.n, one.kind, f"{one.share:.4f}"] for one in all_rates)
    write_csv(folder / "rates.csv", ["size", "n", "kind", "share"], lines)
    sizes = {one.size: one.n for one in all_rates}
    of = {(one.size, one.kind): f"{one.share:.1%}" for one in all_rates}
    parts = [
        "# Image quality: who is warned of, and what it is worth",
        "Made by `make evaluate-quality` on the validation patients of NIH ChestX-ray14. The "
        "thresholds were set on training patients. Larger images (256 to 512 px) are what "
        "hospitals send, at half the size or less; for them all warnings together should stay "
        "below 2%. Copies of 128 px count as ordinary in training, and have just enough detail "
        "not to be warned of; copies of 64 px are thumbnails, and the warning about detail is "
        "right for them. A 64 px file is analysed, with the warning; what carries less detail "
        "than 60 px is rejected.",
        "Share of images with each warning:",
        markdown_table(
            ["", *(f"{size} ({n})" for size, n in sizes.items())],
            [[kind, *(of[size, kind] for size in sizes)] for kind in [*KINDS, "any"]],
        ),
        "Mean AUROC of the published classifier, with 95% intervals over patients. Groups of few "
        "images miss findings, and their means are of those that occur:",
        markdown_table(
            ["images", "part", "n", "mean AUROC"],
            [
                [size, name, str(n), format_interval(area)]
                for size, name, n, area in aurocs_with_and_without(found)
            ],
        ),
        "Ordinary large images spoilt in a known way, and how many of them are warned of, for that "
        "and for anything:",
        markdown_table(
            ["spoilt", "warning", "warned of it", "warned of"],
            [[name, kind, f"{share:.0%}", f"{any_:.0%}"] for name, kind, share, any_ in spoilt],
        ),
    ]
    if coarser:
        parts += [
            "The large images brought down to fewer pixels, and the classifier's mean AUROC then:",
            markdown_table(
                ["pixels a side", "mean AUROC"],
                [[str(side), format_interval(area)] for side, area in coarser],
            ),
        ]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n")
