"""Batches of network inputs from canonical images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cxr_classifier.preprocessing import GreyImage, normalise, to_input_size
from cxr_training.classifier.augment import augmented, coarsened
from cxr_training.classifier.cache import CanonicalImages
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.samples import Samples, judged_targets
from cxr_training.data.splits import Split

RowArray = np.ndarray[Any, np.dtype[np.intp]]
_EVALUATION_BATCH = 64


class TrainingImages(Dataset[tuple[Tensor, Tensor]]):
    """Augmented training images; what an image looks like follows from seed, epoch and row."""

    def __init__(
        self, samples: Samples, images: CanonicalImages, config: ClassifierConfig, epoch: int
    ) -> None:
        self.rows = samples.rows(Split.TRAIN)
        self.targets = judged_targets(samples, config.judged_on)
        self.images = images
        self.config = config
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = int(self.rows[index])
        rng = np.random.default_rng((self.config.seed, self.epoch, row))
        image = augmented(np.asarray(self.images[row]), self.config.augmentation, rng)
        return _to_input(image, self.config), torch.from_numpy(self.targets[row])


def training_batches(
    samples: Samples, images: CanonicalImages, config: ClassifierConfig, epoch: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled batches of one epoch: images [B, 1, H, W] and targets [B, 14], both float32.

    A target is 0, 1, or `UNJUDGED`.
    """
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    return DataLoader(
        TrainingImages(samples, images, config, epoch),
        batch_size=config.training.batch_size,
        shuffle=True,
        generator=generator,
        num_workers=config.training.workers,
        # A batch of one has no variance for batch normalisation to use.
        drop_last=len(samples.rows(Split.TRAIN)) > config.training.batch_size,
    )


def evaluation_batches(
    images: CanonicalImages, rows: RowArray, config: ClassifierConfig, coarsen_to_px: int | None
) -> Iterator[Tensor]:
    """Batches [B, 1, H, W] of `rows`, in their order, without augmentation."""
    for start in range(0, len(rows), _EVALUATION_BATCH):
        greys = (np.asarray(images[int(row)]) for row in rows[start : start + _EVALUATION_BATCH])
        if coarsen_to_px is not None:
            greys = (coarsened(grey, coarsen_to_px) for grey in greys)
        yield torch.stack([_to_input(grey, config) for grey in greys])


def _to_input(canonical: GreyImage, config: ClassifierConfig) -> Tensor:
    return torch.from_numpy(normalise(to_input_size(canonical, config.input), config.input))
