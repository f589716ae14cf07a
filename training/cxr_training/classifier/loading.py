"""Batches of network inputs from canonical images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cxr_classifier.preprocessing import GreyImage, normalise, to_input_size
from cxr_training.classifier.augment import augmented, coarsened
from cxr_training.classifier.config import ClassifierConfig, sources_of
from cxr_training.classifier.samples import RowArray, Samples, added_rows, masked_targets
from cxr_training.core.distributed import Processes, processes_on_this_machine
from cxr_training.core.parallel import usable_cores
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.splits import Split

Batch = tuple[Tensor, Tensor]
_EVALUATION_BATCH = 64
_MOST_WORKERS = 16
# Batches that each worker keeps ready, so that one slow file does not stop a GPU.
_PREFETCH = 4


class _Images:
    """Canonical images that reach a worker by their file's name, where they are a file.

    A worker that is not forked gets its data set pickled, and a memory map is pickled as the
    whole array.
    """

    def __init__(self, images: CanonicalImages) -> None:
        self.images = images

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self.images, np.memmap) and self.images.filename is not None:
            return {"file": str(self.images.filename)}
        return {"images": self.images}

    def __setstate__(self, state: dict[str, Any]) -> None:
        file = state.get("file")
        self.images = state["images"] if file is None else np.load(file, mmap_mode="r")

    def __getitem__(self, row: int) -> GreyImage:
        return np.asarray(self.images[row])


class TrainingImages(Dataset[Batch]):
    """Augmented training images; what an image looks like follows from seed, epoch and row.

    An item is asked for by its epoch and index, because workers outlive an epoch. Where an epoch
    shows all images several times, the indices of the second time follow those of the first.
    """

    def __init__(self, samples: Samples, images: CanonicalImages, config: ClassifierConfig) -> None:
        training = config.training
        once = samples.rows(Split.TRAIN)
        self.n_once = len(once)
        again = added_rows(samples, training.oversampled_to, config.seed)
        self.rows = np.concatenate([once, *again.values()])
        starts = {1} | {rule.from_epoch for rule in training.within_source.values()}
        # Of the epochs from each start to the next; epochs count from 1 here.
        self.targets = {
            start: masked_targets(samples, sources_of(training.within_source_in(start)))
            for start in starts
        }
        self.images = _Images(images)
        self.config = config

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, index = item
        turn, place = divmod(index, len(self.rows))
        row = int(self.rows[place])
        # An image that an epoch shows again looks otherwise.
        again = () if turn == 0 and place < self.n_once else (index,)
        rng = np.random.default_rng((self.config.seed, epoch, row, *again))
        image = augmented(self.images[row], self.config.augmentation, rng)
        start = max(start for start in self.targets if start <= epoch + 1)
        return _to_input(image, self.config), torch.from_numpy(self.targets[start][row])


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of an epoch as (epoch, index), in this process its share of each.

    The order follows from seed and epoch alone, so all processes cut the same batches and a
    resumed run leaves out those that were seen. The last, smaller batch of an epoch is left out
    (of one image, there would be no variance to normalise by) unless it is the only one.

    With `steps` an epoch is so many whole batches, of as many images or as many times all of them
    as that takes.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        seed: int,
        processes: Processes | None = None,
        steps: int | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.n_images = n_images
        # Raises where the batch does not divide.
        self.share = self.processes.share(batch_size)
        self.steps = steps
        if n_images <= batch_size and steps is None:
            self.share = n_images // self.processes.size
        self.seed = seed
        self.start(0, 0)

    @property
    def n_batches(self) -> int:
        """Of a whole epoch."""
        return self.steps or self.n_images // (self.share * self.processes.size)

    def start(self, epoch: int, first: int) -> None:
        """Which epoch comes next, and how many of its batches are not wanted any more."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return max(0, self.n_batches - self.first)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        for batch in range(self.first, self.n_batches):
            start = (batch * self.processes.size + self.processes.rank) * self.share
            yield [(self.epoch, index) for index in order[start : start + self.share]]

    def _order(self) -> list[int]:
        turns = -(-self.n_batches * self.share * self.processes.size // self.n_images)
        if self.steps is None or turns == 1:
            return epoch_order(self.n_images, self.seed, self.epoch)
        return [
            turn * self.n_images + index
            for turn in range(turns)
            for index in epoch_order(self.n_images, self.seed, self.epoch * turns + turn)
        ]


def epoch_order(n_images: int, seed: int, epoch: int) -> list[int]:
    """The shuffled indices of an epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    # PyTorch's own shuffling loader draws once before it shuffles; so runs made with it agree.
    torch.empty((), dtype=torch.int64).random_(generator=generator)
    return torch.randperm(n_images, generator=generator).tolist()


def loader_workers(config: ClassifierConfig, device: torch.device) -> int:
    """Processes that load, of each training process; 0 loads in the training process itself.

    Unless configured: none on a CPU, which has no core to spare for them; for a GPU, this
    process's part of the cores but one.
    """
    if config.training.workers is not None:
        return config.training.workers
    if device.type == "cpu":
        return 0
    return max(1, min(usable_cores() // processes_on_this_machine() - 1, _MOST_WORKERS))


def training_loader(
    samples: Samples,
    images: CanonicalImages,
    config: ClassifierConfig,
    device: torch.device,
    processes: Processes,
) -> tuple[DataLoader[Batch], EpochBatches]:
    """The loader of a run, and the sampler by which to say which epoch it reads next.

    Batches are images [B, 1, H, W] and targets [B, 14], both float32; a target is 0, 1, or
    `MASKED`.

    Raises:
        RunError: the batch does not divide among the processes.
    """
    data = TrainingImages(samples, images, config)
    training = config.training
    batches = EpochBatches(
        len(data), training.batch_size, config.seed, processes, training.steps_per_epoch
    )
    workers = loader_workers(config, device)
    loader = DataLoader(
        data,
        batch_sampler=batches,
        # Of its own, so that loading draws nothing from the numbers that dropout uses.
        generator=torch.Generator(),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        prefetch_factor=_PREFETCH if workers > 0 else None,
    )
    return loader, batches


class _EvaluationImages(Dataset[Tensor]):
    def __init__(
        self,
        images: CanonicalImages,
        rows: RowArray,
        config: ClassifierConfig,
        coarsen_to_px: int | None,
    ) -> None:
        self.images, self.rows = _Images(images), rows
        self.config, self.coarsen_to_px = config, coarsen_to_px

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        grey = self.images[int(self.rows[index])]
        if self.coarsen_to_px is not None:
            grey = coarsened(grey, self.coarsen_to_px)
        return _to_input(grey, self.config)


def evaluation_batches(
    images: CanonicalImages,
    rows: RowArray,
    config: ClassifierConfig,
    coarsen_to_px: int | None,
    device: torch.device | None = None,
) -> DataLoader[Tensor]:
    """Batches [B, 1, H, W] of `rows`, in their order, without augmentation, for `device`."""
    device = device or torch.device("cpu")
    return DataLoader(
        _EvaluationImages(images, rows, config, coarsen_to_px),
        batch_size=_EVALUATION_BATCH,
        generator=torch.Generator(),
        num_workers=loader_workers(config, device),
        pin_memory=device.type == "cuda",
    )


def _to_input(canonical: GreyImage, config: ClassifierConfig) -> Tensor:
    return torch.from_numpy(normalise(to_input_size(canonical, config.input), config.input))
