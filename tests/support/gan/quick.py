"""Runs of every recipe small enough for a test, on images that the tests draw."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_gan.radiographs import Radiographs
from cxr_gan.training.config import GanConfig, load_config

CONFIGS = Path(__file__).parents[3] / "gan/configs"
QUICK = (
    "image.side_px=8",
    "network.latent_size=8",
    "network.channels=8",
    "network.most_channels=16",
    "growth.images_per_stage=32",
    "growth.images_at_last=48",
    "training.batch_size=8",
    "training.report_images=40",
    "training.checkpoint_minutes=100",
    "training.max_minutes=null",
    "training.precision=float32",
)


def quick_overrides(recipe: str, *overrides: str) -> tuple[str, ...]:
    """`QUICK`, a DCGAN in its one stage, then `overrides`."""
    still = ("growth.start_px=8",) if recipe.startswith("dcgan") else ()
    labels = () if recipe in ("dcgan", "pggan") else ("labels=[Atelectasis, Hernia]",)
    return (*QUICK, *still, *labels, *overrides)


def quick_gan(recipe: str, *overrides: str) -> GanConfig:
    """A recipe of `gan/configs`, made small."""
    return load_config(CONFIGS / f"{recipe}.yaml", quick_overrides(recipe, *overrides))


def quick_arguments(recipe: str, *overrides: str) -> list[str]:
    """The same for the command line."""
    settings = [x for override in quick_overrides(recipe, *overrides) for x in ("--set", override)]
    return ["--config", str(CONFIGS / f"{recipe}.yaml"), *settings]


def toy_chests(config: GanConfig, n: int = 256) -> Radiographs:
    """Grey images with two dark lungs; the first label puts a bright square to the left below."""
    rng = np.random.default_rng(0)
    side = config.image.side_px
    y, x = np.mgrid[:side, :side] / side
    labels = config.spec.labels
    has_first = rng.random(n) < 0.5 if labels else np.zeros(n, bool)
    grey = np.empty((n, side, side))
    for row in range(n):
        shift, wide = rng.normal(0, 0.03), rng.uniform(0.12, 0.17)
        lungs = sum(
            np.exp(-(((x - at - shift) / wide) ** 2) - ((y - 0.45) / 0.3) ** 2)
            for at in (0.28, 0.72)
        )
        grey[row] = rng.normal(190, 10) - 140 * lungs
        if has_first[row]:
            grey[row, side * 5 // 8 :, : side // 4] = 250
    images = np.clip(grey, 0, 255).astype(np.uint8)
    return Radiographs(
        cached=images,
        places=np.arange(n),
        patients=np.arange(n).astype(str),
        findings=tuple(frozenset(labels[:1] if first else ()) for first in has_first),
        n_first=n,
        split_sha256="toy",
        key="toy",
    )


def random_frechet(one: Tensor, other: Tensor) -> float:
    """Fréchet distance of images in -1..1 in the space of a fixed random network."""
    torch.manual_seed(3)
    eyes = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
    )
    with torch.no_grad():
        features = [functional.adaptive_avg_pool2d(eyes(x), 2).flatten(1) for x in (one, other)]
    means = [x.mean(0) for x in features]
    covariances = [torch.cov(x.T).double() for x in features]
    product = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0)
    spread = sum(c.trace() for c in covariances) - 2 * product.sqrt().sum()
    return float((means[0] - means[1]).square().sum() + spread)
