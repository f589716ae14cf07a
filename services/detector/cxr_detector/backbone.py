"""A timm network as the backbone of a YOLOv5, whose neck and head stay Ultralytics' own.

Import only after `cxr_detector.network.prepare_ultralytics()`: this module imports Ultralytics.
"""

from typing import Any, cast

import timm
from torch import Tensor, nn
from ultralytics.nn.modules import Conv

STRIDES = (8, 16, 32)
"""Of the maps that YOLO's neck takes, finest first."""
# YOLOv5's layers that end in these maps; its pooling pyramid (layer 9) follows as it was.
_ENDS = (4, 6, 8)
_FAMILY = "yolov5"


class TimmBackbone(nn.Module):
    """The maps of a timm network at `STRIDES`, of one plane of the image.

    Attributes:
        network: timm's, of one input channel; its tensors have timm's names.
    """

    def __init__(self, name: str, drop_path_rate: float) -> None:
        super().__init__()
        self.network = timm.create_model(
            name,
            pretrained=False,
            in_chans=1,
            features_only=True,
            out_indices=(2, 3, 4),
            drop_path_rate=drop_path_rate,
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [N, 3, H, W] in 0..1 whose planes are equal, as float32 maps, finest first."""
        # As the classifier's networks are trained: one channel, -1..1.
        return cast("list[Tensor]", self.network(images[:, :1] * 2 - 1))


class MapAdapter(nn.Module):
    """One of the backbone's maps, brought to the width that the neck expects of this layer."""

    def __init__(self, index: int, channels: int, width: int) -> None:
        super().__init__()
        self.index = index
        self.convolution = Conv(channels, width, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """[N, width, h, w] of the backbone's maps."""
        return cast(Tensor, self.convolution(maps[self.index]))


def replace_backbone(
    model: nn.Module, architecture: str, backbone: str, *, drop_path_rate: float = 0.0
) -> None:
    """Put a timm network in place of an Ultralytics model's backbone, with random weights.

    The layers keep their numbers, so that weights of the neck of this YOLO still fit: timm's
    network is layer 0, its adapters are the layers that ended the stages, and what was between
    them does nothing.

    Args:
        model: Ultralytics' `DetectionModel` as built from `architecture`.
        architecture: its name, e.g. `yolov5n`.
        backbone: timm's name of the network, e.g. `tf_efficientnet_lite0`.
        drop_path_rate: timm's, in training: how often the last block's own part is left out.

    Raises:
        ValueError: another family than YOLOv5, or no timm network with maps at `STRIDES`.
    """
    if not architecture.startswith(_FAMILY):
        raise ValueError(
            f"a timm network can take the place of YOLOv5's backbone, not of {architecture}'s"
        )
    if not timm.is_model(backbone):
        raise ValueError(f"timm has no model {backbone!r}")
    inner: Any = model
    try:
        maps = TimmBackbone(backbone, drop_path_rate)
    except (RuntimeError, AttributeError, IndexError, AssertionError) as error:
        raise ValueError(f"timm's {backbone} gives no maps to build on: {error}") from error
    info: Any = maps.network.feature_info
    if tuple(info.reduction()) != STRIDES:
        raise ValueError(f"timm's {backbone} has maps at strides {info.reduction()}, not {STRIDES}")
    layers: dict[int, nn.Module] = {number: nn.Identity() for number in range(1, _ENDS[-1])}
    layers[0] = maps
    for index, number in enumerate(_ENDS):
        width = inner.model[number].cv3.conv.out_channels
        layers[number] = MapAdapter(index, info.channels()[index], width)
    for number, layer in layers.items():
        _number(layer, number, takes=0 if number in _ENDS else -1)
        inner.model[number] = layer
    # Which layers' outputs are kept for later ones.
    inner.save = sorted({0, *inner.save})


def _number(layer: Any, number: int, *, takes: int) -> None:
    """What Ultralytics notes at each layer: its place, whose output it takes, and its kind."""
    layer.i, layer.f, layer.type = number, takes, type(layer).__name__
    layer.np = sum(parameter.numel() for parameter in layer.parameters())
