"""Batches of network inputs from canonical images, those of training randomly varied.

What is varied above all is sharpness. Source size is a shortcut: in the part of ChestX-ray14 that
this project trains on, Pneumonia stands almost only on the images with the largest files. After
`to_canonical` what is left of the size is sharpness, so a random part of all images is brought down
to the smallest source size and through the serving preprocessing up again, others to a size
between, and blur, noise and JPEG rounds cover what the resampling of the sources may have left.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cxr_classifier.preprocessing import GreyImage, normalise, to_canonical, to_input_size
from cxr_training.classifier.config import Augmentation, ClassifierConfig, Sampling
from cxr_training.classifier.samples import RowArray, Samples, added_rows, masked_targets
from cxr_training.classifier.supervision import Affine, Supervision
from cxr_training.core.cpu import usable_cores
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.pixels import through_jpeg
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import FloatArray

_EVALUATION_BATCH = 64
_MOST_WORKERS = 16
# Batches that each worker keeps ready, so that one slow file does not stop a GPU.
_PREFETCH = 4
# A finding that fewer training images have is rare.
_RARE = 0.06
_FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)


class Batch(NamedTuple):
    """Images to train on, float32 all; one of them has no first axis.

    `image` [B, 1, H, W]; `target` [B, 14] of 0, 1 or `MASKED`; `auxiliary` [B, A + 1] and
    `covered` [B, 14, h, w] as in `Supervision`, or [B, 0] where nothing supervises.
    """

    image: Tensor
    target: Tensor
    auxiliary: Tensor
    covered: Tensor


_NOTHING = torch.zeros(0)


def augmented(
    image: GreyImage, config: Augmentation, rng: np.random.Generator
) -> tuple[GreyImage, Affine]:
    """A variation of a canonical image, of the same size, uint8 [S, S]; and how it was moved."""
    varied, moved = _moved(image, config, rng)
    return _brightened(vary_resolution(varied, config, rng), config, rng), moved


def vary_resolution(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    """The image at a random effective resolution, perhaps blurred and re-encoded."""
    side = image.shape[0]
    draw = rng.random()
    if draw < config.coarsest_share:
        image = coarsened(image, min(config.coarsest_px, side), _FILTERS[rng.integers(3)])
    elif draw < config.coarsest_share + config.coarser_share:
        size = int(rng.integers(min(config.coarsest_px, side), side + 1))
        image = coarsened(image, size, _FILTERS[rng.integers(3)])
    if rng.random() < config.blur_share:
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.0)))
        image = np.asarray(Image.fromarray(image).filter(blur), dtype=np.uint8)
    if rng.random() < config.jpeg_share:
        image = through_jpeg(image, int(rng.integers(50, 96)))
    return image


def coarsened(
    image: GreyImage, size_px: int, resampling: Image.Resampling = Image.Resampling.BILINEAR
) -> GreyImage:
    """What serving would see of the image, had it been stored at `size_px` a side."""
    side = image.shape[0]
    if size_px >= side:
        return image
    small = Image.fromarray(image).resize((size_px, size_px), resampling)
    return to_canonical(np.asarray(small, dtype=np.uint8), side)


def _moved(
    image: GreyImage, config: Augmentation, rng: np.random.Generator
) -> tuple[GreyImage, Affine]:
    side = image.shape[0]
    angle = np.deg2rad(rng.uniform(-1, 1) * config.rotation_degrees)
    # Pillow maps output pixels to input pixels, so a scale above one shows less of the image.
    scale_x, scale_y = 1 / (1 + rng.uniform(-1, 1, 2) * config.scale)
    shift_x, shift_y = rng.uniform(-1, 1, 2) * config.translation * side
    cos, sin, centre = np.cos(angle), np.sin(angle), side / 2
    a, b, d, e = scale_x * cos, -scale_y * sin, scale_x * sin, scale_y * cos
    c = centre + shift_x - a * centre - b * centre
    f = centre + shift_y - d * centre - e * centre
    moved = (float(a), float(b), float(c), float(d), float(e), float(f))
    varied = Image.fromarray(image).transform(
        (side, side), Image.Transform.AFFINE, moved, Image.Resampling.BICUBIC
    )
    return np.asarray(varied, dtype=np.uint8), moved


def _brightened(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    grey: npt.NDArray[np.float32] = image.astype(np.float32)
    mean = float(grey.mean())
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    grey = (grey - mean) * contrast + mean + rng.uniform(-1, 1) * config.brightness * 255
    noise_std = rng.uniform(0, config.noise_std)
    grey += rng.standard_normal(grey.shape, dtype=np.float32) * noise_std
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


class TrainingImages(Dataset[Batch]):
    """Augmented training images; what an image looks like follows from seed, epoch and row.

    An item is asked for by its epoch and index, because workers outlive an epoch. Where an epoch
    shows all images several times, the indices of the second time follow those of the first.
    """

    def __init__(
        self,
        samples: Samples,
        images: CanonicalImages,
        config: ClassifierConfig,
        supervision: Supervision | None = None,
        cells: int = 0,
    ) -> None:
        """Of training patients; `cells` is the side of a map, for `supervision`."""
        training = config.training
        once = samples.rows(Split.TRAIN)
        self.n_once = len(once)
        again = added_rows(samples, training.oversampled_to, config.seed)
        self.rows = np.concatenate([once, *again.values()])
        starts = {1} | {rule.from_epoch for rule in training.within_source.values()}
        # Of the epochs from each start to the next; epochs count from 1 here.
        self.targets: dict[int, npt.NDArray[np.float32]] = {}
        for start in starts:
            rules = training.within_source_in(start)
            sources = {label: rule.sources for label, rule in rules.items()}
            self.targets[start] = masked_targets(samples, sources)
        self.images, self.config = images, config
        self.supervision, self.cells = supervision, cells

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, index = item
        turn, place = divmod(index, len(self.rows))
        row = int(self.rows[place])
        # An image that an epoch shows again looks otherwise.
        again = () if turn == 0 and place < self.n_once else (index,)
        rng = np.random.default_rng((self.config.seed, epoch, row, *again))
        image, moved = augmented(np.asarray(self.images[row]), self.config.augmentation, rng)
        start = max(start for start in self.targets if start <= epoch + 1)
        auxiliary = covered = _NOTHING
        if self.supervision is not None:
            auxiliary = torch.from_numpy(self.supervision.targets[row])
            covered = torch.from_numpy(
                self.supervision.covered(row, moved, image.shape[0], self.cells)
            )
        target = torch.from_numpy(self.targets[start][row])
        return Batch(_to_input(image, self.config), target, auxiliary, covered)


def drawing_chances(
    samples: Samples, rows: RowArray, sampling: Sampling, boxed: Collection[int]
) -> FloatArray:
    """The chance of each of `rows` to be drawn for a batch, float64, one in all.

    Args:
        samples: of all splits; a finding is rare by those of training patients.
        rows: of training images, one several times perhaps.
        sampling: the recipe's.
        boxed: rows of images with drawn boxes.
    """
    targets = samples.targets[rows] == 1
    rare = (samples.targets[samples.rows(Split.TRAIN)] == 1).mean(axis=0) < _RARE
    chances = np.where(targets.any(axis=1), 1.0, sampling.no_finding)
    chances *= np.where(targets[:, rare].any(axis=1), sampling.rare, 1.0)
    chances *= np.where(samples.sources[rows] == "large", sampling.large, 1.0)
    chances *= np.where(np.isin(rows, list(boxed)), sampling.boxed, 1.0)
    shares: FloatArray = chances / chances.sum()
    return shares


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of an epoch as (epoch, index).

    The order follows from seed and epoch alone, so a resumed run leaves out those that were seen.
    The last, smaller batch of an epoch is left out (of one image, there would be no variance to
    normalise by) unless it is the only one.

    With `steps` an epoch is so many whole batches, of as many images or as many times all of them
    as that takes. With `chances` [n_images] each batch is drawn by them, anew.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        seed: int,
        steps: int | None = None,
        chances: FloatArray | None = None,
    ) -> None:
        self.n_images, self.seed, self.steps, self.chances = n_images, seed, steps, chances
        self.size = batch_size if steps else min(batch_size, n_images)
        self.n_batches = steps or n_images // self.size
        self.start(0, 0)

    def start(self, epoch: int, first: int) -> None:
        """Which epoch comes next, and how many of its batches are not wanted any more."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return max(0, self.n_batches - self.first)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        if self.chances is not None:
            yield from (self._drawn(batch) for batch in range(self.first, self.n_batches))
            return
        turns = -(-self.n_batches * self.size // self.n_images)
        order = [
            turn * self.n_images + index
            for turn in range(turns)
            for index in epoch_order(self.n_images, self.seed, self.epoch * turns + turn)
        ]
        for start in range(self.first * self.size, self.n_batches * self.size, self.size):
            yield [(self.epoch, index) for index in order[start : start + self.size]]

    def _drawn(self, batch: int) -> list[tuple[int, int]]:
        """Each batch is a turn of its own, so that an image drawn again looks otherwise."""
        rng = np.random.default_rng((self.seed, self.epoch, batch))
        again = self.size > self.n_images
        drawn = rng.choice(self.n_images, self.size, replace=again, p=self.chances)
        return [(self.epoch, batch * self.n_images + int(index)) for index in drawn]


def epoch_order(n_images: int, seed: int, epoch: int) -> list[int]:
    """The shuffled indices of an epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    # PyTorch's own shuffling loader draws once before it shuffles; so runs made with it agree.
    torch.empty((), dtype=torch.int64).random_(generator=generator)
    return torch.randperm(n_images, generator=generator).tolist()


def loader_workers(config: ClassifierConfig, device: torch.device) -> int:
    """Processes that load; 0 loads in the training process itself.

    Unless configured: none on a CPU, which has no core to spare for them; for a GPU, the cores but
    one.
    """
    if config.training.workers is not None:
        return config.training.workers
    return 0 if device.type == "cpu" else max(1, min(usable_cores() - 1, _MOST_WORKERS))


def training_loader(
    samples: Samples,
    images: CanonicalImages,
    config: ClassifierConfig,
    device: torch.device,
    *,
    supervision: Supervision | None = None,
    cells: int = 0,
) -> tuple[DataLoader[Batch], EpochBatches]:
    """The loader of a run, and the sampler by which to say which epoch it reads next.

    `cells`: see `TrainingImages`.
    """
    data = TrainingImages(samples, images, config, supervision, cells)
    training, chances = config.training, None
    if training.sampling is not None:
        boxed = () if supervision is None else supervision.boxes
        chances = drawing_chances(samples, data.rows, training.sampling, boxed)
    batches = EpochBatches(
        len(data), training.batch_size, config.seed, training.steps_per_epoch, chances
    )
    workers = loader_workers(config, device)
    loader = DataLoader(
        data,
        batch_sampler=batches,
        persistent_workers=workers > 0,
        prefetch_factor=_PREFETCH if workers > 0 else None,
        **_loading(workers, device),
    )
    return loader, batches


def _loading(workers: int, device: torch.device) -> dict[str, Any]:
    return {
        # Of its own, so that loading draws nothing from the numbers that dropout uses.
        "generator": torch.Generator(),
        "num_workers": workers,
        # Anything but a fork would pickle the mapped images as a whole.
        "multiprocessing_context": "fork" if workers else None,
        "pin_memory": device.type == "cuda",
    }


def evaluation_batches(
    images: CanonicalImages, rows: RowArray, config: ClassifierConfig, device: torch.device
) -> DataLoader[Tensor]:
    """Batches [B, 1, H, W] of `rows`, in their order, without augmentation, for `device`."""

    def stacked(batch: list[int]) -> Tensor:
        return torch.stack([_to_input(np.asarray(images[row]), config) for row in batch])

    return DataLoader(
        # Rows are data set enough: `stacked` makes the tensors of them.
        cast("Dataset[Tensor]", rows.tolist()),
        batch_size=_EVALUATION_BATCH,
        collate_fn=stacked,
        **_loading(loader_workers(config, device), device),
    )


def _to_input(canonical: GreyImage, config: ClassifierConfig) -> Tensor:
    return torch.from_numpy(normalise(to_input_size(canonical, config.input), config.input))
