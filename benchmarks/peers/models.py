"""The two published models in eager PyTorch, as a user's own service would hold them."""

import os

# Ultralytics must not look for updates while it is measured.
os.environ.setdefault("YOLO_OFFLINE", "true")

import json
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from ultralytics import YOLO

ROOT = Path(__file__).parents[2]
CLASSIFIER = ROOT / "models" / "classifier" / "lite0-nih14"
DETECTOR = ROOT / "models" / "detector" / "yolov5n-cxr"


class EagerModels:
    """timm and Ultralytics, one after the other, on the CPU."""

    def __init__(self) -> None:
        manifest = json.loads((CLASSIFIER / "manifest.json").read_text())
        architecture = manifest["architecture"]
        self.labels = [label["name"] for label in manifest["labels"]]
        self._spec = manifest["input"]
        self.classifier = timm.create_model(
            architecture["name"], num_classes=len(self.labels), **architecture["arguments"]
        ).eval()
        self.classifier.load_state_dict(load_file(CLASSIFIER / "weights.safetensors"))
        manifest = json.loads((DETECTOR / "manifest.json").read_text())
        self.side_px = int(manifest["input"]["width_px"])
        self.detector = YOLO(str(_detector_yaml(manifest)), task="detect")
        self.detector.model.load_state_dict(_state(DETECTOR / "weights.safetensors"))
        self.detector.model.names = dict(enumerate(x["name"] for x in manifest["labels"]))

    def tensor(self, picture: Image.Image) -> torch.Tensor:
        """[1, H, W] float32, normalised as the manifest says."""
        canonical = self._spec["canonical_px"]
        size = (self._spec["width_px"], self._spec["height_px"])
        small = picture.convert("L").resize((canonical, canonical), Image.Resampling.BOX)
        grey = np.asarray(small.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
        return torch.from_numpy((grey - self._spec["mean"]) / self._spec["std"])[None]

    def read(self, pictures: list[Image.Image]) -> list[dict[str, Any]]:
        """Top three findings and boxes of each picture."""
        with torch.inference_mode():
            batch = torch.stack([self.tensor(picture) for picture in pictures])
            probabilities = self.classifier(batch).sigmoid()
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


def _detector_yaml(manifest: dict[str, Any]) -> Path:
    return Path(manifest["architecture"]["name"]).with_suffix(".yaml")


def _state(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(path))
