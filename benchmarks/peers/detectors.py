"""The published detector in eager PyTorch: each of its networks behind Ultralytics' own predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from cxr_contracts import MANIFEST_NAME, ModelManifest
from cxr_detector.fused import MEMBERS_FILE, Members, is_fused
from cxr_detector.fusion import fuse
from cxr_detector.network import build_network
from cxr_detector.postprocessing import Detections


class EagerDetector:
    """One network, or several one after the other whose boxes are fused, on the CPU.

    Args:
        folder: of a published detector.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self._fused_iou = None
        folders = [folder]
        if is_fused(manifest.architecture):
            self._fused_iou = float(manifest.architecture.arguments["iou"])
            members = Members.model_validate_json((folder / MEMBERS_FILE).read_bytes()).members
            folders = [folder.parent / member.name for member in members]
        self._networks = [_ultralytics(one) for one in folders]

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


def read_manifest(folder: Path) -> ModelManifest:
    """A published model's manifest."""
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())


def _ultralytics(folder: Path) -> tuple[Any, int]:
    """The network of a folder as Ultralytics' own model, and the side it reads, px."""
    manifest = read_manifest(folder)
    network: Any = build_network(manifest.architecture, len(manifest.labels))
    network.load_state_dict(load_file(folder / "weights.safetensors"))
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
