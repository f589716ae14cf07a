"""The real radiographs that samples are judged by: training patients' and held-out ones."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_gan.errors import GanError
from cxr_gan.judging.extractor import Images
from cxr_gan.published.synthesizer import ShownRadiographs
from cxr_gan.sampling.asking import nih_of
from cxr_training.data.cache import CanonicalImages, canonical_images
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

    cached: CanonicalImages
    """Every image of the data set."""
    places: Rows
    """Where each radiograph [n] stands in `cached`."""
    patients: npt.NDArray[np.str_]
    findings: tuple[frozenset[str], ...]
    n_training: int
    key: str
    """Another one for other files or another size."""

    def pictures(self, rows: Rows) -> Images:
        """Some of the radiographs, uint8 [m, side, side]."""
        return np.stack([self.cached[int(self.places[row])] for row in rows])

    @property
    def training(self) -> Rows:
        """Rows of training patients."""
        return np.arange(self.n_training)

    @property
    def held_out(self) -> Rows:
        """Rows of validation patients."""
        return np.arange(self.n_training, len(self.patients))


def read_reals(data: Path, side_px: int, shown: ShownRadiographs, cache: Path) -> Reals:
    """The radiographs of training and validation patients under `data`, at `side_px`.

    Those of views and sizes that the generator was not shown are left out: they would count as a
    lack of it, and small ones as if blur were real. All are resized as for training.

    Args:
        data: folder that holds nih/, or is it.
        side_px: the generator's size.
        shown: which it was trained on.
        cache: where the resized images are kept; training's own will do.

    Raises:
        DataError: what the readers refuse.
        GanError: too few such radiographs.
    """
    collection = read_collection(nih_of(data))
    least_px = shown.least_source_px or side_px
    wanted: dict[Split, list[int]] = {Split.TRAIN: [], Split.VALIDATION: []}
    for place, image in enumerate(collection.images):
        split = collection.splits[image.patient]
        seen = not shown.views or image.view in shown.views
        if split in wanted and seen and width_of(image.path) >= least_px:
            wanted[split].append(place)
    for split, places in wanted.items():
        if len(places) < FEWEST:
            raise GanError(
                f"{data} has {len(places)} {split} radiographs of {least_px} px or more and of "
                f"view {' or '.join(shown.views) or 'any'}, and judging needs {FEWEST}"
            )
    places = [*wanted[Split.TRAIN], *wanted[Split.VALIDATION]]
    both = [collection.images[place] for place in places]
    # Every image of the set, as training keeps them.
    paths = tuple(image.path for image in collection.images)
    images = canonical_images(paths, side_px, cache)
    chosen = hashlib.sha256(str(places).encode()).hexdigest()[:16]
    return Reals(
        cached=images,
        places=np.array(places),
        patients=np.array([image.patient for image in both]),
        findings=tuple(frozenset(finding.value for finding in image.findings) for image in both),
        n_training=len(wanted[Split.TRAIN]),
        key=f"{Path(str(getattr(images, 'filename', side_px))).name}:{chosen}",
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
