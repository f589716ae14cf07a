"""The published detector in eager PyTorch: each of its networks behind Ultralytics' own predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load

from cxr_detector.fused import is_fused, member_folders
from cxr_detector.fusion import fuse
from cxr_detector.network import build_network
from cxr_detector.postprocessing import Detections
from cxr_serving.model_folder import ModelFolder, open_model_folder


class EagerDetector:
    """One network, or several one after the other whose boxes are fused, on the CPU.

    Args:
        folder: of a published detector.
    """

    def __init__(self, folder: Path) -> None:
        served = open_model_folder(folder, "detector")
        self._fused_iou = None
        networks = [served]
        if is_fused(served.manifest.architecture):
            self._fused_iou = float(served.manifest.architecture.arguments["iou"])
            networks = member_folders(served)
        self._networks = [_ultralytics(one) for one in networks]

    def boxes(self, pictures: Sequence[Image.Image]) -> list[list[list[float]]]:
        """Of each picture: corners x_min, y_min, x_max, y_max in its pixels, best first."""
        coloured = [picture.convert("RGB") for picture in pictures]
        answers = [
            network.predict(coloured, imgsz=side_px, verbose=False)
            for network, side_px in self._networks
        ]
        if self._fused_iou is None:
            return [found.boxes.xyxy.tolist() for found in answers[0]]
        films = zip(*answers, strict=True)
        return [
            fuse([_detections(found) for found in film], iou=self._fused_iou).boxes.tolist()
            for film in films
        ]


def _ultralytics(folder: ModelFolder) -> tuple[Any, int]:
    """The network of a folder as Ultralytics' own model, and the side it reads, px."""
    manifest = folder.manifest
    network: Any = build_network(manifest.architecture, len(manifest.labels))
    network.load_state_dict(load(folder.weights()))
    # As Ultralytics leaves it: what we export answers without the raw maps.
    network.model[-1].export = False
    network.names = {index: label.name for index, label in enumerate(manifest.labels)}
    from ultralytics import YOLO  # after `build_network`, which prepares it

    model = YOLO(f"{manifest.architecture.name}.yaml", task="detect")
    model.model = network
    return model, manifest.input.width_px


def _detections(found: Any) -> Detections:
    boxes = found.boxes
    return Detections(
        boxes.cls.numpy().astype(np.intp),
        boxes.conf.numpy(),
        boxes.xyxy.numpy(),
        np.ones(len(boxes), np.bool_),
    )
