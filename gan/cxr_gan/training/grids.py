"""Pictures of what a generator makes from the same latents as it learns."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor, nn

from cxr_gan.spec import GeneratorSpec
from cxr_gan.training.checkpoints import replace_file

COLUMNS = 8
_ROWS = 6
_LEAST_CELL_PX = 64


def fixed_inputs(spec: GeneratorSpec, seed: int) -> tuple[Tensor, Tensor]:
    """Latents and labels of a grid, row by row.

    With labels: a row without a finding, then one for each label, from the same latents.
    """
    draw = torch.Generator().manual_seed(seed)
    if not spec.labels:
        latent = torch.randn(_ROWS * COLUMNS, spec.latent_size, generator=draw)
        return latent, torch.zeros(len(latent), 0)
    rows = len(spec.labels) + 1
    latent = torch.randn(COLUMNS, spec.latent_size, generator=draw).repeat(rows, 1)
    labels = torch.cat([torch.zeros(1, len(spec.labels)), torch.eye(len(spec.labels))])
    return latent, labels.repeat_interleave(COLUMNS, 0)


def write_grid(generator: nn.Module, latent: Tensor, labels: Tensor, path: Path) -> None:
    """Write what `generator` makes of these as one PNG, marked as synthetic."""
    with torch.inference_mode():
        made = [
            generator(some, asked).float().cpu()
            for some, asked in zip(
                torch.split(latent, COLUMNS), torch.split(labels, COLUMNS), strict=True
            )
        ]
    side = made[0].shape[-1]
    rows = [torch.cat(list(row[:, 0]), 1) for row in made]
    grey = ((torch.cat(rows) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    larger = max(1, _LEAST_CELL_PX // side)
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Synthetic", "made by a generative model; shows no patient")
    buffer = io.BytesIO()
    cells = np.kron(grey, np.ones((larger, larger), np.uint8))
    Image.fromarray(cells).save(buffer, "PNG", pnginfo=facts)
    replace_file(path, buffer.getvalue())
