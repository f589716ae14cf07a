"""The backbone learns the labels of whole radiographs before the detector learns its boxes.

A fifth of NIH's radiographs carries boxes; all carry labels. The layers before the neck, with a
linear layer on their mean, learn these labels from every radiograph of training patients, and are
then the detector's start. The images vary as the detector's own do, above all in resolution.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from cxr_contracts import Finding
from cxr_detector.preprocessing import fit
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.errors import RunError
from cxr_training.data.nih import read_boxed
from cxr_training.data.pixels import decode_grey
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import NIH_FOLDER, Split
from cxr_training.detector.config import (
    AugmentationConfig,
    DetectorConfig,
    PretrainingConfig,
    square_input,
)
from cxr_training.detector.dataset import RESIZE, vary_resolution
from cxr_training.detector.start import StartWeights
from cxr_training.metrics.classification import auroc

# File size is a confounder of Pneumonia: its images are nearly all large.
LABELS = tuple(finding for finding in Finding if finding is not Finding.PNEUMONIA)
_EVALUATION_BATCH = 64
_WARMUP_SHARE = 0.05


def pretrain(
    network: nn.Module, config: DetectorConfig, data: Path, device: torch.device
) -> StartWeights:
    """Teach the backbone of `network` NIH's labels, from where its weights stand.

    Args:
        network: a detector as `build_network` makes it; its backbone is trained in place.
        config: a recipe with `pretraining`.
        data: the folder that holds nih/.
        device: where to compute.

    Raises:
        DataError: the data is not as published.
        RunError: the loss is no longer finite.
    """
    recipe = config.pretraining
    if recipe is None:
        raise ValueError("the recipe has no pretraining")
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    boxed = read_boxed(data / NIH_FOLDER)
    train, validation = (
        LabelledImages(boxed.of(split)[: config.data.max_images], recipe.image_px, vary, config)
        for split, vary in ((Split.TRAIN, True), (Split.VALIDATION, False))
    )
    classifier = LabelClassifier(backbone_of(network)).to(device)
    with denormals_flushed():
        _train(classifier, train, config.seed, recipe, device)
        areas = _aurocs(classifier, validation, device)
    known = [area for area in areas if not math.isnan(area)]
    facts = {
        "n_train": len(train),
        "n_validation": len(validation),
        "epochs_run": recipe.epochs,
        "mean_auroc": round(sum(known) / len(known), 4) if known else None,
    }
    layers = classifier.backbone.state_dict()
    return StartWeights({f"model.{name}": tensor.cpu() for name, tensor in layers.items()}, facts)


def backbone_of(network: nn.Module) -> nn.Sequential:
    """The layers of an Ultralytics network before its neck: a chain, each fed by the one before.

    Raises:
        ValueError: a layer takes more than the one before it.
    """
    inner: Any = network
    layers = list(inner.model[: len(inner.yaml["backbone"])])
    if any(layer.f != -1 for layer in layers):
        raise ValueError("the backbone is no chain of layers")
    return nn.Sequential(*layers)


class LabelClassifier(nn.Module):
    """A backbone with a linear layer on the mean of its last maps."""

    def __init__(self, backbone: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone.eval()
        with torch.no_grad():
            width = self.backbone(torch.zeros(1, 3, 64, 64)).shape[1]
        self.head = nn.Linear(width, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 13] of images uint8 [N, 1, S, S]."""
        planes = images.float().div(255).expand(-1, 3, -1, -1)
        maps = self.backbone(planes.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


class LabelledImages(Dataset[tuple[Tensor, Tensor]]):
    """Radiographs as uint8 [1, S, S], varied or not, with their labels, float32 [13] of 0 and 1."""

    def __init__(
        self,
        images: Sequence[Radiograph],
        side_px: int,
        vary: bool,
        config: DetectorConfig,
    ) -> None:
        spec = square_input(side_px)
        self._pixels = np.empty((len(images), side_px, side_px), dtype=np.uint8)
        for index, image in enumerate(tqdm(images, desc="radiographs", mininterval=5)):
            self._pixels[index] = fit(decode_grey(image.path), spec, RESIZE)[0]
        labels = [[label in image.findings for label in LABELS] for image in images]
        self.targets: npt.NDArray[np.float32] = np.array(labels, dtype=np.float32)
        self._augmentation: AugmentationConfig | None = config.augmentation if vary else None
        self._move = movement(config.augmentation)
        self._generator = np.random.default_rng(config.seed)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, target = torch.from_numpy(self._pixels[index])[None], self.targets[index]
        if self._augmentation is not None:
            moved = self._move(image)[0].numpy()
            varied = vary_resolution(moved, self._augmentation, self._generator)
            image = torch.from_numpy(varied)[None]
        return image, torch.from_numpy(target)


def movement(config: AugmentationConfig) -> v2.Transform:
    """Flip, turn, shift and scale as the recipe allows, of images [1, S, S]."""
    affine = v2.RandomAffine(
        degrees=config.degrees,
        translate=(config.translate, config.translate),
        scale=(1 - config.scale, 1 + config.scale),
        interpolation=v2.InterpolationMode.BILINEAR,
    )
    return v2.Compose([v2.RandomHorizontalFlip(config.flip_horizontal), affine])


def _train(
    classifier: LabelClassifier,
    images: LabelledImages,
    seed: int,
    recipe: PretrainingConfig,
    device: torch.device,
) -> None:
    loader = DataLoader(
        images,
        batch_size=recipe.batch,
        shuffle=True,
        # A last batch of one image has no variance to normalise by.
        drop_last=len(images) >= recipe.batch,
        generator=torch.Generator().manual_seed(seed),
    )
    optimizer = torch.optim.AdamW(
        classifier.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        epochs=recipe.epochs,
        steps_per_epoch=len(loader),
        pct_start=_WARMUP_SHARE,
        cycle_momentum=False,
    )
    classifier.train()
    for epoch in range(1, recipe.epochs + 1):
        for pixels, targets in tqdm(loader, desc=f"labels, epoch {epoch}", mininterval=5):
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                logits = classifier(pixels.to(device))
            loss = functional.binary_cross_entropy_with_logits(logits.float(), targets.to(device))
            if not bool(loss.isfinite()):
                raise RunError(
                    f"the loss is no longer finite in epoch {epoch} of the pre-training: "
                    "lower pretraining.learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


@torch.inference_mode()
def _aurocs(
    classifier: LabelClassifier, images: LabelledImages, device: torch.device
) -> list[float]:
    """Of each label, NaN where not both answers occur."""
    classifier.eval()
    loader = DataLoader(images, batch_size=_EVALUATION_BATCH)
    scores = torch.cat([classifier(pixels.to(device)).cpu() for pixels, _ in loader]).numpy()
    return [auroc(images.targets[:, at], scores[:, at]) for at in range(len(LABELS))]
