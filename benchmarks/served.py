"""The networks that are served."""

from pathlib import Path

from cxr_serving.model_folder import choose_model

ROOT = Path(__file__).parents[1]
CLASSIFIER = ROOT / "models" / "classifier" / "lite0-cxr"
DETECTOR = choose_model(ROOT / "models" / "detector")
