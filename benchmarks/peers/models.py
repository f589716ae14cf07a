"""The two published models in eager PyTorch, as a user's own service would hold them."""

import os

# Ultralytics must not look for updates while it is measured.
os.environ.setdefault("YOLO_OFFLINE", "true")

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel

from cxr_classifier.network import build_network
from cxr_contracts import MANIFEST_NAME, ModelManifest
from cxr_serving.model_folder import choose_model

ROOT = Path(__file__).parents[2]
CLASSIFIER = ROOT / "models" / "classifier" / "lite0-nih14"
DETECTOR = choose_model(ROOT / "models" / "detector")


class EagerModels:
    """timm and Ultralytics, one after the other, on the CPU."""

    def __init__(self) -> None:
        classifier, detector = _manifest(CLASSIFIER), _manifest(DETECTOR)
        self.labels = [label.name for label in classifier.labels]
        self._spec = classifier.input
        self.classifier = build_network(classifier.architecture, len(self.labels)).eval()
        self.classifier.load_state_dict(load_file(CLASSIFIER / "weights.safetensors"))
        self.side_px = detector.input.width_px
        configuration = f"{detector.architecture.name}.yaml"
        network = DetectionModel(configuration, nc=len(detector.labels), verbose=False)
        network.load_state_dict(load_file(DETECTOR / "weights.safetensors"))
        network.names = {index: label.name for index, label in enumerate(detector.labels)}
        self.detector = YOLO(configuration, task="detect")
        self.detector.model = network

    def tensor(self, picture: Image.Image) -> torch.Tensor:
        """[1, H, W] float32, normalised as the manifest says."""
        canonical = self._spec.canonical_px or self._spec.width_px
        size = (self._spec.width_px, self._spec.height_px)
        small = picture.convert("L").resize((canonical, canonical), Image.Resampling.BOX)
        grey = np.asarray(small.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
        return torch.from_numpy((grey - self._spec.mean) / self._spec.std)[None]

    def read(self, pictures: list[Image.Image]) -> list[dict[str, Any]]:
        """Top three findings and boxes of each picture."""
        with torch.inference_mode():
            batch = torch.stack([self.tensor(picture) for picture in pictures])
            probabilities = self.classifier(batch)[0].sigmoid()
        found = self.detector.predict(
            [picture.convert("RGB") for picture in pictures], imgsz=self.side_px, verbose=False
        )
        return [self._answer(row, boxes) for row, boxes in zip(probabilities, found, strict=True)]

    def _answer(self, probabilities: torch.Tensor, boxes: Any) -> dict[str, Any]:
        top = probabilities.topk(3)
        return {
            "top_findings": [
                {"finding": self.labels[int(index)], "probability": float(value)}
                for value, index in zip(top.values, top.indices, strict=True)
            ],
            "boxes": boxes.boxes.xyxy.tolist(),
        }


def _manifest(folder: Path) -> ModelManifest:
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
