"""The labels that a network is asked for."""

import torch
from torch import Tensor

from cxr_gan.spec import GeneratorSpec


def asked_for(spec: GeneratorSpec, labels: Tensor | None, like: Tensor) -> Tensor:
    """Labels [n, len(spec.labels)] as numbers like those of `like`; none: no finding.

    Raises:
        ValueError: another number of labels than the network has.
    """
    shape = (len(like), len(spec.labels))
    if labels is None:
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    if labels.shape != shape:
        raise ValueError(f"labels of shape {tuple(labels.shape)}, but the network takes {shape}")
    return labels.to(like)
