"""What a run leaves on disk as it goes: checkpoints and grids of samples."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor, nn

from cxr_gan.errors import GanError
from cxr_gan.networks.spec import GeneratorSpec

# Goes up when what a checkpoint means changes.
FORMAT = "cxr-gan-1"
_PARTS = {"spec", "progress", "sums", "generator", "discriminator", "average", "optimisers"}
_COLUMNS, _ROWS, _LEAST_CELL_PX = 8, 6, 64


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Put `content` in place of `path` in one step, on the disk.

    Raises:
        GanError: no room, or no right to write there; the older file is as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        older = "the older one is as it was" if path.exists() else "there is no older one"
        raise GanError(f"{path} cannot be written ({error.strerror}): {older}") from error


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all; GanError as `replace_file`."""
    buffer = io.BytesIO()
    torch.save(state | {"format": FORMAT}, buffer)
    replace_file(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint, its tensors on the CPU.

    Raises:
        GanError: no such file, none that can be read, or one of other code.
    """
    try:
        # weights_only: tensors and plain values, nothing that unpickling could run.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GanError(f"{path} is no checkpoint that can be read: {said}") from error
    form = state.get("format") if isinstance(state, dict) else None
    if form != FORMAT or not state.keys() >= _PARTS:
        raise GanError(f"{path} is a checkpoint of other code: {form or 'unknown'}, not {FORMAT}")
    return state


def grid_inputs(spec: GeneratorSpec, seed: int) -> tuple[Tensor, Tensor]:
    """Latents and labels of a grid, row by row.

    With labels: a row without a finding, then one for each label, from the same latents.
    """
    draw = torch.Generator().manual_seed(seed)
    if not spec.labels:
        latent = torch.randn(_ROWS * _COLUMNS, spec.latent_size, generator=draw)
        return latent, torch.zeros(len(latent), 0)
    latent = torch.randn(_COLUMNS, spec.latent_size, generator=draw)
    labels = torch.cat([torch.zeros(1, len(spec.labels)), torch.eye(len(spec.labels))])
    return latent.repeat(len(labels), 1), labels.repeat_interleave(_COLUMNS, 0)


def write_grid(generator: nn.Module, latent: Tensor, labels: Tensor, path: Path) -> None:
    """Write what `generator` makes of these as one PNG, marked as synthetic."""
    with torch.inference_mode():
        rows = zip(*(torch.split(x, _COLUMNS) for x in (latent, labels)), strict=True)
        made = [torch.cat(list(generator(*row).float().cpu()[:, 0]), 1) for row in rows]
    grey = ((torch.cat(made) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    larger = max(1, _LEAST_CELL_PX // (grey.shape[1] // _COLUMNS))
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Synthetic", "made by a generative model; shows no patient")
    buffer = io.BytesIO()
    cells = np.kron(grey, np.ones((larger, larger), np.uint8))
    Image.fromarray(cells).save(buffer, "PNG", pnginfo=facts)
    replace_file(path, buffer.getvalue())
