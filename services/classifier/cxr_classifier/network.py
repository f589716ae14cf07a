"""The classifier's network in PyTorch; imports torch and timm, so import it only where they are.

A timm backbone whose linear head is applied to every cell of its last feature map. The mean over
the cells is the logit, so the class activation map (Zhou et al., CVPR 2016) costs nothing more
and needs no gradient.
"""

from typing import cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_contracts import Architecture


class GreyToColour(nn.Module):
    """A grey image [N, 1, H, W] in every channel, each normalised by its own mean and std."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        # Of the architecture, not of the weights.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, C, H, W]."""
        return (image - cast(Tensor, self.mean)) / cast(Tensor, self.std)


class CamNetwork(nn.Module):
    """Image to logits and class activation maps."""

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mirrored: bool = False,
        usual_map: tuple[int, int, int] | None = None,
        colour: nn.Module | None = None,
    ) -> None:
        """Around `backbone`.

        Args:
            backbone: with a linear head over a feature map.
            mirrored: in evaluation, the mean with what it says of the mirror image.
            usual_map: the shape [L, h, w] of the buffer of that name, which is taken off every
                map in evaluation: what the maps of healthy radiographs have in common. Its mean
                over the cells is zero, so that a map's mean stays the logit.
            colour: makes of the grey image what a backbone for colour images was trained on.
        """
        super().__init__()
        self.backbone = backbone
        self.mirrored = mirrored
        self.usual_map: Tensor | None
        self.register_buffer("usual_map", None if usual_map is None else torch.zeros(usual_map))
        self.as_trained = colour or nn.Identity()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, L] and maps [N, L, h, w] of normalised images [N, C, H, W].

        The mean of a map over its cells is the logit of its label.
        """
        logits, cams = self._read(image)
        if self.training:
            return logits, cams
        if self.mirrored:
            mirror_logits, mirror_cams = self._read(image.flip(3))
            logits, cams = (logits + mirror_logits) / 2, (cams + mirror_cams.flip(3)) / 2
        return logits, cams if self.usual_map is None else cams - self.usual_map

    def _read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        image = self.as_trained(image)
        features = cast(Tensor, self.backbone.forward_features(image))  # type: ignore[operator]
        # Whole channels are dropped, which is what dropout after the pooling would do.
        rate = float(getattr(self.backbone, "drop_rate", 0.0))
        features = functional.dropout2d(features, rate, self.training)
        head = self.head
        cams = functional.conv2d(features, head.weight[:, :, None, None], head.bias)
        return cams.mean(dim=(2, 3)), cams

    @property
    def head(self) -> nn.Linear:
        """The linear layer from features to labels."""
        return cast(nn.Linear, self.backbone.get_classifier())  # type: ignore[operator]


def build_network(architecture: Architecture, n_labels: int) -> CamNetwork:
    """The network of a manifest, its weights still random.

    Args:
        architecture: of library `timm`; `arguments` go to `timm.create_model`, but for five of
            our own. `dilated`: false undoes the dilation by which timm pays for an
            `output_stride`; the map is as fine, the convolutions are a fifth faster, and the
            receptive field stays that of the small image. `mirrored` and `usual_map`, the
            latter as [h, w]: see `CamNetwork`. `channel_mean` and `channel_std`, together: those
            of `GreyToColour`, for a backbone with three input channels.
        n_labels: outputs of the linear head.

    Raises:
        ValueError: another library, an unknown model, or a model without a linear head over a
            feature map (a transformer, for instance).
    """
    if architecture.library != "timm":
        raise ValueError(f"architecture library {architecture.library!r}: only 'timm' is known")
    if not timm.is_model(architecture.name):
        raise ValueError(f"timm has no model {architecture.name!r}")
    arguments = dict(architecture.arguments)
    dilated = arguments.pop("dilated", True)
    mirrored = bool(arguments.pop("mirrored", False))
    cells = arguments.pop("usual_map", None)
    channel_mean = arguments.pop("channel_mean", None)
    channel_std = arguments.pop("channel_std", None)
    backbone = timm.create_model(
        architecture.name, pretrained=False, num_classes=n_labels, **arguments
    )
    if not dilated:
        _undo_dilation(backbone)
    network = CamNetwork(
        backbone,
        mirrored=mirrored,
        usual_map=None if cells is None else (n_labels, *cells),
        colour=None if channel_mean is None else GreyToColour(channel_mean, channel_std),
    )
    if not isinstance(network.head, nn.Linear):
        raise ValueError(f"{architecture.name!r} has no linear head to apply to its feature map")
    return network


def _undo_dilation(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            padding = cast(tuple[int, int], module.padding)
            rows, columns = module.dilation
            module.padding = (padding[0] // rows, padding[1] // columns)
            module.dilation = (1, 1)


def load_weights(network: CamNetwork, state: dict[str, Tensor]) -> CamNetwork:
    """Fill `network` with the tensors of `weights.safetensors` and set it to evaluation.

    Raises:
        RuntimeError: a tensor is missing, surplus or of another shape.
    """
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)
