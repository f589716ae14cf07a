"""The two published models in eager PyTorch, as a user's own service would hold them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load

from benchmarks.served import CLASSIFIER, DETECTOR
from cxr_classifier.network import build_network as build_classifier
from cxr_classifier.network import load_weights
from cxr_detector.fused import is_fused, member_folders
from cxr_detector.fusion import fuse
from cxr_detector.network import build_network as build_detector
from cxr_detector.postprocessing import Detections
from cxr_serving.model_folder import ModelFolder, open_model_folder


class EagerModels:
    """timm and Ultralytics, one after the other, on the CPU.

    Args:
        detector: the folder of a published one; by default the one that is served.
    """

    def __init__(self, detector: Path = DETECTOR) -> None:
        folder = open_model_folder(CLASSIFIER, "classifier")
        manifest = folder.manifest
        self.labels = [label.name for label in manifest.labels]
        self._spec = manifest.input
        network = build_classifier(manifest.architecture, len(self.labels))
        self.classifier = load_weights(network, load(folder.weights()))
        self.detector = EagerDetector(detector)

    def tensor(self, image: Image.Image) -> torch.Tensor:
        """[1, H, W] float32, normalised as the manifest says."""
        canonical = self._spec.canonical_px or self._spec.width_px
        size = (self._spec.width_px, self._spec.height_px)
        small = image.convert("L").resize((canonical, canonical), Image.Resampling.BOX)
        grey = np.asarray(small.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
        return torch.from_numpy((grey - self._spec.mean) / self._spec.std)[None]

    def analyse(self, images: list[Image.Image]) -> list[dict[str, Any]]:
        """Top three findings and boxes of each image."""
        with torch.inference_mode():
            batch = torch.stack([self.tensor(image) for image in images])
            probabilities = self.classifier(batch)[0].sigmoid()
        boxes_of = self.detector.boxes(images)
        return [
            self._result(row, boxes) for row, boxes in zip(probabilities, boxes_of, strict=True)
        ]

    def _result(self, probabilities: torch.Tensor, boxes: list[list[float]]) -> dict[str, Any]:
        top = probabilities.topk(3)
        return {
            "top_findings": [
                {"finding": self.labels[int(index)], "probability": float(value)}
                for value, index in zip(top.values, top.indices, strict=True)
            ],
            "boxes": boxes,
        }


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

    def boxes(self, images: Sequence[Image.Image]) -> list[list[list[float]]]:
        """Of each image: corners x_min, y_min, x_max, y_max in its pixels, best first."""
        coloured = [image.convert("RGB") for image in images]
        detections = [
            network.predict(coloured, imgsz=side_px, verbose=False)
            for network, side_px in self._networks
        ]
        if self._fused_iou is None:
            return [found.boxes.xyxy.tolist() for found in detections[0]]
        by_image = zip(*detections, strict=True)
        return [
            fuse([_detections(found) for found in image], iou=self._fused_iou).boxes.tolist()
            for image in by_image
        ]


def _ultralytics(folder: ModelFolder) -> tuple[Any, int]:
    """The network of a folder as Ultralytics' own model, and the side it reads, px."""
    manifest = folder.manifest
    network: Any = build_detector(manifest.architecture, len(manifest.labels))
    network.load_state_dict(load(folder.weights()))
    # As Ultralytics leaves it: what we export returns no raw maps.
    network.model[-1].export = False
    network.names = {index: label.name for index, label in enumerate(manifest.labels)}
    from ultralytics import YOLO  # after `build_detector`, which prepares it

    model = YOLO(f"{manifest.architecture.name}.yaml", task="detect")
    model.model = network
    return model, manifest.input.width_px


def _detections(results: Any) -> Detections:
    boxes = results.boxes
    return Detections(
        boxes.cls.numpy().astype(np.intp),
        boxes.conf.numpy(),
        boxes.xyxy.numpy(),
        np.ones(len(boxes), np.bool_),
    )
