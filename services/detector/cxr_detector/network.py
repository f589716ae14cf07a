"""The detector as a PyTorch module, built from a published model's manifest.

With `backbone`, the only module of this package that needs torch and Ultralytics. It imports them
when asked: importing Ultralytics reads its environment, writes a settings file and may ask the
network whether there is a newer release. All of that is turned off or moved aside here.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_contracts import Architecture, ModelManifest

if TYPE_CHECKING:
    from torch import nn

# Ultralytics takes a path or an address as well; a manifest may name a network and nothing else.
_NETWORK_NAME = re.compile(r"yolov?\d+[a-z]")


def prepare_ultralytics() -> None:
    """Import Ultralytics so that it stays offline, silent, and leaves the rest as it was.

    Call before importing from it. What the environment already says is respected.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    # Its font and settings files; one folder for each user, or the second user could not write.
    folder = Path(tempfile.gettempdir()) / f"cxr-ultralytics-{os.getuid()}"
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder))
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    from PIL import Image
    from ultralytics.utils import patches

    # It replaces Pillow's `open` for the whole process by one that, shown a file that is no
    # image, looks for a package to install.
    Image.open = patches._image_open


def build_network(architecture: Architecture, n_labels: int) -> "nn.Module":
    """The untrained network, in evaluation mode.

    Every family that Ultralytics builds by name and whose head is its `Detect`: YOLOv5 (with the
    anchor-free head), YOLOv8, YOLO11, YOLO26. The argument `backbone` names a timm network that
    takes the place of YOLOv5's own (`cxr_detector.backbone`); other arguments go to Ultralytics.

    Its forward takes float32 [N, 3, H, W] in 0..1, H and W multiples of 32, and returns decoded
    predictions [N, 4 + n_labels, A]: centre x, centre y, width and height in input pixels, then
    the score of each class after the sigmoid. Its state dict has Ultralytics' own names.

    Raises:
        ValueError: the architecture is of another library, or it or its backbone is unknown.
    """
    if architecture.library != "ultralytics":
        raise ValueError(f"expected an Ultralytics architecture, got {architecture.library!r}")
    prepare_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    arguments: dict[str, Any] = dict(architecture.arguments)
    backbone = arguments.pop("backbone", None)
    build: Any = DetectionModel  # untyped in Ultralytics
    layout = network_layout(architecture.name)
    network: nn.Module = build(layout, nc=n_labels, verbose=False, **arguments)
    if backbone is not None:
        from cxr_detector.backbone import replace_backbone

        replace_backbone(network, architecture.name, str(backbone))
    return as_decoder(network)


def network_layout(name: str) -> dict[str, Any]:
    """Ultralytics' description of the network of this name, e.g. `yolov5n`, with one head.

    YOLO26 has a second head, which learns from the detached features of the first and finds without
    suppression; Ultralytics itself returns the first and suppression unless told otherwise.
    Ours is the first alone: what it learns is the same, and every family has one form of output.

    Raises:
        ValueError: Ultralytics has no such network.
    """
    prepare_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    try:
        if _NETWORK_NAME.fullmatch(name) is None:
            raise FileNotFoundError(name)
        layout: dict[str, Any] = yaml_model_load(f"{name}.yaml")
    except FileNotFoundError as error:
        raise ValueError(f"Ultralytics has no network named {name!r}") from error
    return {**layout, "end2end": False}


def as_decoder(network: "nn.Module") -> "nn.Module":
    """The same module in evaluation mode, answering decoded predictions without the raw maps."""
    inner: Any = network
    inner.model[-1].export = True
    return network.eval()


def load_network(manifest: ModelManifest, folder: Path) -> "nn.Module":
    """The published network with the weights in `folder`, batch normalisation folded in.

    Raises:
        ValueError: another library's architecture.
        RuntimeError: the weights do not fill the network (torch's own list of the differences).
    """
    from safetensors.torch import load_file

    network: Any = build_network(manifest.architecture, len(manifest.labels))
    network.load_state_dict(load_file(folder / manifest.weights.path))
    network.fuse(verbose=False)
    module: nn.Module = network.requires_grad_(False).eval()
    return module
