"""Checkpoints: written whole or not at all, read without running anything in them."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from cxr_gan.errors import GanError

# Goes up when what a checkpoint means changes.
FORMAT = "cxr-gan-1"
_PARTS = {"spec", "progress", "sums", "generator", "discriminator", "average", "optimisers"}


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`; until it is on the disk the older file keeps its place.

    Raises:
        GanError: no room, or no right to write there; the older file is as it was.
    """
    buffer = io.BytesIO()
    torch.save(state | {"format": FORMAT}, buffer)
    replace_file(path, buffer.getbuffer())


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Put `content` in place of `path` in one step. GanError as `write_checkpoint`."""
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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint, its tensors on the CPU.

    Raises:
        GanError: no such file, none that can be read, or one of other code.
    """
    try:
        # weights_only: tensors and plain values, nothing that unpickling could run.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GanError(f"{path} cannot be read: {error.strerror}") from error
    except (EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GanError(f"{path} is no checkpoint that can be read: {said}") from error
    form = state.get("format") if isinstance(state, dict) else None
    if form != FORMAT or not state.keys() >= _PARTS:
        raise GanError(f"{path} is a checkpoint of other code: {form or 'unknown'}, not {FORMAT}")
    found: dict[str, Any] = state
    return found
