"""The real images: training patients' radiographs, with their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from cxr_gan.errors import GanError
from cxr_gan.training.config import GanConfig
from cxr_training.classifier.loading import epoch_order
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.pixels import width_of
from cxr_training.data.splits import Split, split_sha256

# A class-conditional network learns nothing of a label from fewer images, or learns them by heart.
FEWEST = 10
FEW = 50


@dataclass(frozen=True, slots=True)
class RealImages:
    """What a run learns from.

    `images` holds every radiograph of the data set, uint8 [side_px, side_px] each; `rows` are
    those to learn from, and `labels` float32 [len(rows), n_labels] says what is on them.
    """

    images: CanonicalImages
    rows: npt.NDArray[np.intp]
    labels: Tensor
    split_sha256: str

    def __len__(self) -> int:
        return len(self.rows)


def read_real_images(
    config: GanConfig, nih: Path | None, manifests: Sequence[Path], cache: Path
) -> RealImages:
    """The images that `config` asks for, decoded at the first call and kept in `cache`.

    Synthetic images are left out: a generator that learns from generators forgets what is rare.

    Raises:
        DataError: the data set is not as published; no room for the decoded images.
        GanError: no image to learn from, or a label of fewer than `FEWEST`.
    """
    collection = read_collection(nih, manifests)
    wanted = [
        row
        for row, image in enumerate(collection.images)
        if collection.splits[image.patient] is Split.TRAIN
        and not image.synthetic
        and (not config.image.views or image.view in config.image.views)
    ]
    least_px = config.image.least_source_px or config.image.side_px
    bar = tqdm(wanted, desc="headers", unit="image", delay=2)
    rows = [row for row in bar if width_of(collection.images[row].path) >= least_px]
    if not rows:
        raise GanError(
            f"no training patient has an image of {least_px} px or more and of view "
            f"{' or '.join(config.image.views) or 'any'}: there is nothing to learn from"
        )
    shown = [[x in collection.images[row].findings for x in config.findings] for row in rows]
    labels = torch.tensor(shown, dtype=torch.float32).view(len(rows), len(config.findings))
    refuse_rare_labels(config, labels)
    # Every image of the set, so that all recipes of one size, and the classifier, share a cache.
    paths = tuple(image.path for image in collection.images)
    images = canonical_images(paths, config.image.side_px, cache)
    return RealImages(images, np.array(rows), labels, split_sha256(collection.splits))


def refuse_rare_labels(config: GanConfig, labels: Tensor) -> None:
    """Raise GanError for a label with hardly any image."""
    hardly = _with_fewer_than(FEWEST, config, labels)
    if hardly:
        raise GanError(
            f"fewer than {FEWEST} training images of {hardly}: leave it out, with "
            "--set labels=[...]"
        )


def warning_of_rare_labels(config: GanConfig, labels: Tensor) -> str | None:
    """A sentence on the labels with few images, if any."""
    few = _with_fewer_than(FEW, config, labels)
    if not few:
        return None
    return (
        f"fewer than {FEW} training images of {few}: what is made of it may be one of them "
        "learned by heart"
    )


def _with_fewer_than(least: int, config: GanConfig, labels: Tensor) -> str:
    counts = zip(config.findings, labels.sum(0).tolist(), strict=True)
    return ", ".join(f"{label} ({int(n)})" for label, n in counts if n < least)


class Batches:
    """The images in the order of a run, which follows from the seed and their number alone."""

    def __init__(self, real: RealImages, seed: int) -> None:
        self.real, self.seed = real, seed
        self._orders: dict[int, list[int]] = {}

    def take(self, shown: int, n: int) -> tuple[Tensor, Tensor]:
        """Images number `shown` to `shown + n` of the run, and their labels.

        uint8 [n, 1, side_px, side_px] and float32 [n, n_labels].
        """
        indices = [self._at(number) for number in range(shown, shown + n)]
        pictures = np.stack([self.real.images[int(self.real.rows[i])] for i in indices])
        return torch.from_numpy(pictures)[:, None], self.real.labels[indices]

    def _at(self, number: int) -> int:
        epoch, place = divmod(number, len(self.real))
        if epoch not in self._orders:
            # A batch touches at most the epoch before this one.
            self._orders = {old: x for old, x in self._orders.items() if old == epoch - 1}
            self._orders[epoch] = epoch_order(len(self.real), self.seed, epoch)
        return self._orders[epoch][place]
