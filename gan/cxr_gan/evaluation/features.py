"""What turns an image into the features that distances are taken in.

Distances depend on the features: a figure is comparable within one extractor only, and every row
says which. The default is the project's own classifier, so nothing here is "FID", which is a
distance in the features of one Inception network trained on ImageNet.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load
from tqdm import tqdm

from cxr_classifier.network import build_network, load_weights
from cxr_classifier.preprocessing import normalise, to_canonical, to_input_size
from cxr_gan.errors import GanError
from cxr_gan.generator import Images
from cxr_gan.radiographs import Radiographs
from cxr_serving.model_folder import ModelFolderError, open_model_folder

Features = npt.NDArray[np.float32]
PIXELS_PX, LARGEST_PIXELS_PX = 32, 64
_BATCH = 64


class Extractor(Protocol):
    """Grey images uint8 [n, side, side] to features float32 [n, d]."""

    name: str
    """As figures are qualified with it."""
    key: str
    """Another one where features would be others."""

    def __call__(self, images: Images, /) -> Features:
        """The features of a batch."""


class ClassifierFeatures:
    """What a published classifier's last layer sees: its feature map's mean over the cells."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Open it; ModelFolderError for a folder that is no classifier or was changed."""
        opened = open_model_folder(folder, "classifier")
        manifest = opened.manifest
        try:
            network = build_network(manifest.architecture, len(manifest.labels))
            load_weights(network, load(opened.weights()))
        except (ValueError, RuntimeError) as error:
            raise ModelFolderError(f"{folder} does not fill its network: {error}.") from error
        self.name = f"{manifest.name} v{manifest.version}"
        self.key = manifest.weights.sha256
        self._input, self._device = manifest.input, torch.device(device)
        # A third less time on a CPU.
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def __call__(self, images: Images, /) -> Features:
        """The features [n, d] of a batch."""
        spec = self._input
        prepared = [
            normalise(to_input_size(to_canonical(image, spec.canonical_px), spec), spec)
            for image in images
        ]
        batch = torch.from_numpy(np.stack(prepared)).to(self._device)
        with torch.inference_mode():
            batch = batch.contiguous(memory_format=torch.channels_last)
            cells = self._network.features(batch)
            features: Features = cells.mean((2, 3)).float().cpu().numpy()
        return features


class PixelFeatures:
    """The image itself, small, 0 to 1: what no network has had a say in."""

    def __init__(self, side_px: int = PIXELS_PX) -> None:
        self.name, self.key, self.side_px = f"{side_px} px pixels", f"pixels-{side_px}", side_px

    def __call__(self, images: Images, /) -> Features:
        """The pixels [n, side_px^2] of a batch."""
        small = [to_canonical(image, self.side_px).ravel() for image in images]
        return np.stack(small).astype(np.float32) / np.float32(255.0)


def extractor_named(text: str, device: str) -> ClassifierFeatures | PixelFeatures:
    """The extractor of `--features`: `pixels`, `pixels:16`, or a published classifier's folder."""
    kind, _, side = text.partition(":")
    if kind == "pixels":
        if side and not (side.isdecimal() and 1 < int(side) <= LARGEST_PIXELS_PX):
            raise GanError(f"--features {text}: 2 to {LARGEST_PIXELS_PX} pixels a side")
        return PixelFeatures(int(side) if side else PIXELS_PX)
    if not Path(text).is_dir():
        raise GanError(f"--features {text}: neither `pixels` nor a classifier's folder")
    return ClassifierFeatures(Path(text), device)


def features_of(extractor: Extractor, images: Images, name: str) -> Features:
    """The features [n, d] of `images`; `name` is the progress bar's."""
    starts = tqdm(range(0, len(images), _BATCH), desc=name, unit="batch", delay=2)
    return np.concatenate([extractor(images[start : start + _BATCH]) for start in starts])


def cached_features(extractor: Extractor, reals: Radiographs, folder: Path) -> Features:
    """The features of all radiographs, or the same from an earlier call in `folder`."""
    digest = hashlib.sha256(f"{extractor.key}\n{reals.key}".encode()).hexdigest()[:16]
    path = folder / f"features-{digest}.npy"
    try:
        cached: Features = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        pass  # not there, or cut short by a kill
    else:
        return cached
    indices = np.arange(len(reals.places))
    starts = tqdm(indices[::_BATCH], desc="radiographs", unit="batch", delay=2)
    found = np.concatenate([extractor(reals.images(indices[x : x + _BATCH])) for x in starts])
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, found)
    partial.replace(path)
    return found
