"""Each kind of recipe, made small, brings what it makes nearer to what it is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cxr_gan.training.trainer import Trainer
from support.gan.quick import quick_gan, random_frechet, toy_chests

pytestmark = pytest.mark.slow

LEARNING = (
    "image.side_px=16",
    "network.latent_size=16",
    "network.most_channels=32",
    "training.batch_size=16",
    "training.ema_half_life_images=200",
    "training.report_images=100000",
    "growth.images_per_stage=400",
    "growth.images_at_last=1600",
)
# What does not grow has one stage, of the whole side, and its steps are cheaper.
STAGES = {
    "dcgan": ("growth.start_px=16", "growth.images_at_last=4800"),
    "pggan": ("growth.start_px=8",),
}
FACTOR = 3.0


def made_by(trainer: Trainer, labels: Tensor) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    latent = torch.randn(len(labels), trainer.config.network.latent_size, generator=draw)
    with torch.no_grad():
        made: Tensor = trainer.average(latent, labels)
    return made


# Both families, with and without labels, each loss and each penalty.
@pytest.mark.parametrize("recipe", ["dcgan-conditional", "pggan", "pggan-modern"])
def test_the_distance_to_real_falls_threefold(recipe: str, tmp_path: Path) -> None:
    config = quick_gan(recipe, *LEARNING, *STAGES[recipe.partition("-")[0]])
    real = toy_chests(config)
    trainer = Trainer(config, real, tmp_path)
    shown = torch.from_numpy(np.asarray(real.cached)).float()[:, None] / 127.5 - 1
    before = random_frechet(made_by(trainer, trainer.batches.labels), shown)
    trainer.run()
    after = random_frechet(made_by(trainer, trainer.batches.labels), shown)
    assert after < before / FACTOR
