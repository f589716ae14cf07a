"""The backbone learns the labels of whole radiographs before the detector learns its boxes.

A fifth of NIH's radiographs carries boxes; all carry labels. The layers before the neck, with a
linear layer on their mean, learn these labels from every radiograph of training patients, and are
then the detector's start. The pictures vary as the detector's own do, above all in sharpness.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from cxr_contracts import Finding, InputSpec
from cxr_detector.preprocessing import Resize, fit
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.errors import RunError
from cxr_training.data.boxed import read_boxed
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split
from cxr_training.detector.config import AugmentationConfig, DetectorConfig, PretrainingConfig
from cxr_training.detector.dataset import read_grey
from cxr_training.detector.schedule import Schedule
from cxr_training.detector.sharpness import vary
from cxr_training.metrics.classification import auroc

# Pneumonia stands on the large files of the published part alone: it would teach their size.
LABELS = tuple(finding for finding in Finding if finding is not Finding.PNEUMONIA)
_EVALUATION_BATCH = 64
_FINAL_FRACTION = 0.01
# Of the budget.
_WARMUP = 0.05

GreyImages = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Radiographs, one row each: uint8 [N, S, S], and their labels, float32 [N, 13] of 0 and 1."""

    pixels: GreyImages
    targets: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The tensors of the layers that learned, by their names in the detector, and the figures."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """For `run.json`."""


def pretrain(
    network: nn.Module, config: DetectorConfig, nih_root: Path, device: torch.device
) -> Pretrained:
    """Teach the backbone of `network` NIH's labels, from where its weights stand.

    Args:
        network: a detector as `build_network` makes it; its backbone is trained in place.
        config: a recipe with `pretraining`.
        nih_root: the folder of NIH's radiographs and labels.
        device: where to compute.

    Raises:
        DataError: the data is not as published.
        RunError: the loss left the numbers.
    """
    recipe = config.pretraining
    if recipe is None:
        raise ValueError("the recipe has no pretraining")
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    boxed = read_boxed(nih_root)
    train, validation = (
        read_labelled(boxed.of(split)[: config.data.max_images], recipe.image_px, config.resize)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    reader = LabelReader(backbone_of(network)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with denormals_flushed():
        epochs = _learn(reader, train, config, recipe, device)
        probabilities = _read(reader, validation, device)
    areas = [
        auroc(validation.targets[:, column], probabilities[:, column])
        for column in range(len(LABELS))
    ]
    known = [area for area in areas if not math.isnan(area)]
    facts = {
        "n_train": len(train),
        "n_validation": len(validation),
        "epochs_run": epochs,
        "auroc": {
            label.value: None if math.isnan(area) else round(area, 4)
            for label, area in zip(LABELS, areas, strict=True)
        },
        "mean_auroc": round(sum(known) / len(known), 4) if known else None,
    }
    layers = reader.backbone.state_dict()
    return Pretrained({f"model.{name}": tensor.cpu() for name, tensor in layers.items()}, facts)


def read_labelled(images: Sequence[Radiograph], side_px: int, resize: Resize) -> LabelledImages:
    """The radiographs at the side of the pre-training; DataError for a file that is no image."""
    spec = InputSpec(
        width_px=side_px, height_px=side_px, channels=3, canonical_px=None, mean=0.0, std=1.0
    )
    pixels = np.empty((len(images), side_px, side_px), dtype=np.uint8)
    for row, image in enumerate(tqdm(images, desc="radiographs", unit="image", mininterval=5)):
        pixels[row] = fit(read_grey(image.path), spec, resize)[0]
    targets = [[label in image.findings for label in LABELS] for image in images]
    return LabelledImages(pixels, np.array(targets, dtype=np.float32).reshape(-1, len(LABELS)))


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


class LabelReader(nn.Module):
    """A backbone with a linear layer on the mean of its last maps."""

    def __init__(self, backbone: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone.eval()
        with torch.no_grad():
            width = self.backbone(torch.zeros(1, 3, 64, 64)).shape[1]
        self.head = nn.Linear(width, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 13] of images [N, 3, S, S] in 0..1."""
        logits: Tensor = self.head(self.backbone(images).mean(dim=(2, 3)))
        return logits


class VariedImages(Dataset[tuple[Tensor, Tensor]]):
    """Training images, each varied by what its row and the epoch draw."""

    def __init__(self, images: LabelledImages, config: AugmentationConfig, seed: int) -> None:
        self._images = images
        self._config = config
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([self._seed, self.epoch, row])
        grey = moved(self._images.pixels[row], self._config, generator)
        pixels = np.ascontiguousarray(vary(grey, self._config, generator))
        return torch.from_numpy(pixels), torch.from_numpy(self._images.targets[row])


def moved(
    grey: GreyImages, config: AugmentationConfig, generator: np.random.Generator
) -> GreyImages:
    """The image [S, S] turned, scaled, shifted and mirrored as the recipe allows; same size."""
    side = grey.shape[0]
    if generator.random() < config.flip_horizontal:
        grey = grey[:, ::-1]
    angle = math.radians(generator.uniform(-config.degrees, config.degrees))
    scale = 1 / generator.uniform(1 - config.scale, 1 + config.scale)
    shift_x, shift_y = generator.uniform(-config.translate, config.translate, 2) * side
    cos, sin, centre = scale * math.cos(angle), scale * math.sin(angle), side / 2
    # Pillow maps output pixels to input pixels.
    matrix = (
        *(cos, -sin, centre + shift_x - cos * centre + sin * centre),
        *(sin, cos, centre + shift_y - sin * centre - cos * centre),
    )
    image = Image.fromarray(grey).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(image)


def _learn(
    reader: LabelReader,
    images: LabelledImages,
    config: DetectorConfig,
    recipe: PretrainingConfig,
    device: torch.device,
) -> int:
    """Train until the budget is spent; how many epochs were begun."""
    varied = VariedImages(images, config.augmentation, config.seed)
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        varied,
        batch_size=recipe.batch,
        shuffle=True,
        # A last batch of one image has no variance to normalise by.
        drop_last=len(varied) >= recipe.batch,
        num_workers=4 if on_gpu else 0,
        generator=torch.Generator().manual_seed(config.seed),
    )
    reader.train()
    optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=recipe.weight_decay)
    schedule = _schedule(recipe, len(loader))
    begun_at, step = time.monotonic(), 0
    for epoch in range(recipe.epochs):
        varied.epoch = epoch
        losses = 0.0
        bar = tqdm(loader, desc=f"labels, epoch {epoch + 1}", unit="batch", mininterval=5)
        for number, (pixels, targets) in enumerate(bar, start=1):
            elapsed_s = time.monotonic() - begun_at
            if schedule.spent(step, elapsed_s) >= 1.0:
                return epoch + 1
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate(step, elapsed_s)
            with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
                logits = reader(_as_input(pixels, device))
            loss = functional.binary_cross_entropy_with_logits(logits.float(), targets.to(device))
            if not bool(loss.isfinite()):
                raise RunError(
                    f"the loss is no longer finite in epoch {epoch + 1} of the pre-training: "
                    "lower pretraining.learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            losses += loss.item()
            bar.set_postfix_str(f"loss {losses / number:.4f}", refresh=False)
    return recipe.epochs


def _schedule(recipe: PretrainingConfig, steps_per_epoch: int) -> Schedule:
    return Schedule(
        steps_per_epoch=steps_per_epoch,
        epochs=recipe.epochs,
        limit_s=None if recipe.hours is None else recipe.hours * 3600,
        peak=recipe.learning_rate,
        final_fraction=_FINAL_FRACTION,
        warmup_steps=math.ceil(_WARMUP * recipe.epochs * steps_per_epoch),
    )


@torch.inference_mode()
def _read(
    reader: LabelReader, images: LabelledImages, device: torch.device
) -> npt.NDArray[np.float32]:
    """Probabilities [N, 13] of the images as they are."""
    reader.eval()
    answers = [
        torch.sigmoid(reader(_as_input(torch.from_numpy(pixels), device))).cpu()
        for pixels in np.array_split(
            images.pixels, max(1, math.ceil(len(images) / _EVALUATION_BATCH))
        )
    ]
    return torch.cat(answers).numpy()


def _as_input(pixels: Tensor, device: torch.device) -> Tensor:
    """uint8 [N, S, S] as float32 [N, 3, S, S] in 0..1, channels last."""
    planes = pixels.to(device).float().div(255).unsqueeze(1).expand(-1, 3, -1, -1)
    return planes.contiguous(memory_format=torch.channels_last)
