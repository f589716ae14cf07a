"""Features of many images, a batch at a time; those of real images are kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr_gan.judging.extractor import BATCH, Extractor, Features, Images


def features_of(extractor: Extractor, images: Images, says: str) -> Features:
    """The features of `images`, which may be a memory map."""
    starts = tqdm(range(0, len(images), BATCH), desc=says, unit="batch", delay=2)
    return np.concatenate(
        [extractor(np.asarray(images[start : start + BATCH])) for start in starts]
    )


def kept_features(
    extractor: Extractor, images: Images, about: Sequence[str], folder: Path, says: str
) -> Features:
    """`features_of`, or the same from an earlier call.

    Args:
        extractor: of the features.
        images: their images.
        about: what the images follow from, e.g. their files and how they were resized.
        folder: where features are kept.
        says: the name of the progress bar.
    """
    digest = hashlib.sha256("\n".join([extractor.key, *about]).encode()).hexdigest()[:16]
    path = folder / f"features-{digest}.npy"
    try:
        kept: Features = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        pass  # not there, or cut short by a kill
    else:
        return kept
    found = features_of(extractor, images, says)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, found)
    partial.replace(path)
    return found
