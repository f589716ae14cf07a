"""The networks that are served, and those that were when the targets of speed were set."""

from pathlib import Path

from cxr_serving.model_folder import choose_model

ROOT = Path(__file__).parents[1]
CLASSIFIER = ROOT / "models" / "classifier" / "lite0-cxr"
DETECTOR = choose_model(ROOT / "models" / "detector")
FUSED_FOUR = ROOT / "models" / "detector" / "fused-both"
