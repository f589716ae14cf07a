"""What the maps of healthy radiographs have in common.

A class activation map says how much each place speaks for a finding, and most of it is the same
in every chest: lungs speak against a consolidation, whosever they are. Less this usual map, a map
shows where a radiograph differs from a healthy one. `localisation` measures what that is worth.
"""

from typing import Any

import numpy as np
import torch

from cxr_classifier.network import CamClassifier
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loading import evaluation_batches
from cxr_training.classifier.samples import Samples
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.splits import Split

# Enough for a mean on a coarse grid; spread evenly over the training patients.
HEALTHY_IMAGES = 400
MapArray = np.ndarray[Any, np.dtype[np.float32]]


def usual_map(
    network: CamClassifier,
    samples: Samples,
    images: CanonicalImages,
    config: ClassifierConfig,
    *,
    device: torch.device,
) -> MapArray:
    """Mean map of training radiographs without a finding, less its mean over the cells.

    float32 [L, h, w].
    """
    rows = samples.rows(Split.TRAIN)
    healthy = rows[samples.targets[rows].sum(axis=1) == 0]
    chosen = healthy[:: max(1, len(healthy) // HEALTHY_IMAGES)][:HEALTHY_IMAGES]
    total, count = torch.zeros(()), 0
    with torch.inference_mode():
        for batch in evaluation_batches(images, chosen, config, None):
            _, cams = network(batch.to(device))
            total = total + cams.float().sum(dim=0).cpu()
            count += len(batch)
    mean = total / count
    centred: MapArray = (mean - mean.mean(dim=(1, 2), keepdim=True)).numpy()
    return centred
