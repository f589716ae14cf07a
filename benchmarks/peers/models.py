"""The two published models in eager PyTorch, as a user's own service would hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load

from benchmarks.peers.detectors import EagerDetector
from cxr_classifier.network import build_network
from cxr_serving.model_folder import choose_model, open_model_folder

ROOT = Path(__file__).parents[2]
CLASSIFIER = ROOT / "models" / "classifier" / "lite0-nih14"
DETECTOR = choose_model(ROOT / "models" / "detector")


class EagerModels:
    """timm and Ultralytics, one after the other, on the CPU."""

    def __init__(self) -> None:
        folder = open_model_folder(CLASSIFIER, "classifier")
        manifest = folder.manifest
        self.labels = [label.name for label in manifest.labels]
        self._spec = manifest.input
        self.classifier = build_network(manifest.architecture, len(self.labels)).eval()
        self.classifier.load_state_dict(load(folder.weights()))
        self.detector = EagerDetector(DETECTOR)

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
        found = self.detector.boxes(pictures)
        return [self._answer(row, boxes) for row, boxes in zip(probabilities, found, strict=True)]

    def _answer(self, probabilities: torch.Tensor, boxes: list[list[float]]) -> dict[str, Any]:
        top = probabilities.topk(3)
        return {
            "top_findings": [
                {"finding": self.labels[int(index)], "probability": float(value)}
                for value, index in zip(top.values, top.indices, strict=True)
            ],
            "boxes": boxes,
        }
