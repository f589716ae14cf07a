"""The real radiographs that samples are judged by: training patients' and held-out ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_gan.errors import GanError
from cxr_gan.judging.extractor import Images
from cxr_gan.sampling.asking import nih_of
from cxr_training.classifier.cache import canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.pixels import width_of
from cxr_training.data.splits import Split

Rows = npt.NDArray[np.intp]
# Fewer tell nothing of a distribution.
FEWEST = 50


@dataclass(frozen=True, slots=True)
class Reals:
    """Radiographs at the generator's size, those of training patients first.

    `held_out` are those of validation patients. No patient is in both.
    """

    images: Images
    patients: npt.NDArray[np.str_]
    findings: tuple[frozenset[str], ...]
    n_training: int
    key: str
    """Another one for other files or another size."""

    @property
    def training(self) -> Rows:
        """Rows of training patients."""
        return np.arange(self.n_training)

    @property
    def held_out(self) -> Rows:
        """Rows of validation patients."""
        return np.arange(self.n_training, len(self.patients))


def read_reals(data: Path, side_px: int, cache: Path) -> Reals:
    """The radiographs of training and validation patients under `data`, at `side_px`.

    A file that is smaller than that is left out: it would be judged as if blur were real. All are
    resized by the way that training resizes them.

    Args:
        data: folder that holds nih/, or is it.
        side_px: the generator's size.
        cache: where the resized images are kept.

    Raises:
        DataError: what the readers refuse.
        GanError: too few radiographs of that size.
    """
    collection = read_collection(nih_of(data))
    chosen = []
    for split in (Split.TRAIN, Split.VALIDATION):
        some = [
            image
            for image in collection.images
            if collection.splits[image.patient] is split and width_of(image.path) >= side_px
        ]
        if len(some) < FEWEST:
            raise GanError(
                f"{data} has {len(some)} {split} radiographs of {side_px} px or more, and judging "
                f"needs {FEWEST}"
            )
        chosen.append(some)
    training, held_out = chosen
    both = [*training, *held_out]
    images = canonical_images(tuple(image.path for image in both), side_px, cache)
    return Reals(
        images=images,
        patients=np.array([image.patient for image in both]),
        findings=tuple(frozenset(finding.value for finding in image.findings) for image in both),
        n_training=len(training),
        key=Path(str(getattr(images, "filename", side_px))).name,
    )


def in_patient_order(patients: npt.NDArray[np.str_], seed: int) -> Rows:
    """All rows, patient by patient, the patients shuffled.

    The first n of them hold as many images of one patient as the whole does, which n images drawn
    one by one would not: such sets resemble each other as much as they should.
    """
    names, index = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    return np.argsort(place[index], kind="stable")


def parts_of(n: int, size: int) -> Sequence[slice]:
    """As many runs of `size` rows as fit in `n`; at least one, of what there is."""
    return [slice(start, start + size) for start in range(0, max(n - size, 0) + 1, size)]
