"""torchxrayvision's own networks with random weights that behave as trained ones do."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from support.images import radiograph_like

with warnings.catch_warnings():
    # It turns every warning off for the whole process, and has some of its own.
    warnings.simplefilter("ignore")
    import torchxrayvision as xrv

__all__ = [
    "THRESHOLDS",
    "drawn_images",
    "library_input",
    "library_outputs",
    "random_densenet",
    "save",
    "settle",
    "xrv",
]
SIDE_PX = 224
THRESHOLDS = np.linspace(0.05, 0.6, 18, dtype=np.float32)


def drawn_images(count: int = 4, side_px: int = SIDE_PX) -> list[npt.NDArray[np.uint8]]:
    """Grey images [H, W] of the networks' own input size."""
    return [radiograph_like(side_px, side_px, seed=seed) for seed in range(count)]


def library_input(grey: npt.NDArray[np.uint8]) -> Tensor:
    """[1, 1, H, W] in -1024..1024, by the library's own function."""
    return torch.from_numpy(xrv.datasets.normalize(grey, 255)[None, None]).float()


def library_outputs(network: nn.Module, images: list[npt.NDArray[np.uint8]]) -> Tensor:
    """What the library's own forward says of the images, [P, outputs]."""
    with torch.inference_mode():
        return torch.cat([network(library_input(grey)) for grey in images])


def settle(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics of its own, so that no layer can be skipped unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
    with torch.no_grad():
        network.train()
        network(torch.cat([library_input(grey) for grey in drawn_images(2, 96)]))
        for module in norms:
            module.momentum = 0.1
            shape = module.weight.shape
            module.weight.copy_(0.8 + 0.4 * torch.rand(shape, generator=generator))
            module.bias.copy_(0.2 * torch.randn(shape, generator=generator))
    return network.eval()


def random_densenet(seed: int = 0, **arguments: Any) -> Any:
    """The library's DenseNet, its head included, settled."""
    torch.manual_seed(seed)
    network: Any = settle(xrv.models.DenseNet(**arguments), seed)
    nn.init.normal_(network.classifier.weight, std=0.1)
    nn.init.normal_(network.classifier.bias, std=1.0)
    return network


def save(network: object, path: Path, *, before_1_6: bool = False) -> Path:
    """Saved as the library's releases are: the whole module, here in either format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(network, path, _use_new_zipfile_serialization=not before_1_6)
    return path
