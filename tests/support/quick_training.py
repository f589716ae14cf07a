"""The recipe on a network small enough to train whole runs in a test."""

from pathlib import Path

from cxr_training.classifier.config import ClassifierConfig, load_config

RECIPE = Path(__file__).parents[2] / "training/configs/classifier-v2.yaml"
QUICK = (
    "architecture.name=test_efficientnet",
    "architecture.arguments={in_chans: 1, drop_rate: 0.3, drop_path_rate: 0.2}",
    "pretrained=null",
    "members=1",
    "input.width_px=32",
    "input.height_px=32",
    "input.canonical_px=32",
    "augmentation.coarsest_px=16",
    "training.epochs=2",
    "training.batch_size=32",
    "training.threads=1",
    # Both ways to learn a label, in a run of two epochs.
    "training.within_source={Pneumonia: {sources: [large], weight: 3.0, from_epoch: 2}}",
    "evaluation.min_positives=2",
)


def quick_config(*overrides: str) -> ClassifierConfig:
    """The recipe with `QUICK`, then with `overrides`."""
    return load_config(RECIPE, (*QUICK, *overrides))


def quick_arguments(*overrides: str) -> list[str]:
    """The same for the command line."""
    settings = [part for override in (*QUICK, *overrides) for part in ("--set", override)]
    return ["--config", str(RECIPE), *settings]
