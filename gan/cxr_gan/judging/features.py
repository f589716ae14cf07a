"""Features of many images, a batch at a time; those of real images are kept."""

import hashlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr_gan.judging.extractor import BATCH, Extractor, Features, Images
from cxr_gan.judging.reals import Reals


def features_of(extractor: Extractor, images: Images, says: str) -> Features:
    """The features [n, d] of `images`; `says` names the progress bar."""
    starts = tqdm(range(0, len(images), BATCH), desc=says, unit="batch", delay=2)
    return np.concatenate([extractor(images[start : start + BATCH]) for start in starts])


def kept_features(extractor: Extractor, reals: Reals, folder: Path) -> Features:
    """The features of all radiographs, or the same from an earlier call in `folder`."""
    digest = hashlib.sha256(f"{extractor.key}\n{reals.key}".encode()).hexdigest()[:16]
    path = folder / f"features-{digest}.npy"
    try:
        kept: Features = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        pass  # not there, or cut short by a kill
    else:
        return kept
    rows = np.arange(len(reals.places))
    starts = tqdm(rows[::BATCH], desc="radiographs", unit="batch", delay=2)
    found = np.concatenate(
        [extractor(reals.pictures(rows[start : start + BATCH])) for start in starts]
    )
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, found)
    partial.replace(path)
    return found
