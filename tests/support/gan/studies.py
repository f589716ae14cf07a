"""Studies whose outcome is known: predictions of classifiers as good as the test says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from cxr_contracts import Finding
from cxr_gan.study.plan import Plan, RareLabels, load_plan
from cxr_gan.study.statistics import Effect, draws_of, effects_of
from cxr_gan.study.training import Predictions
from cxr_training.classifier.samples import LABELS, MASKED

ROOT = Path(__file__).parents[3]
PLAN = ROOT / "gan/configs/study.yaml"
RARE = (Finding.HERNIA, Finding.FIBROSIS, Finding.EDEMA)
N_IMAGES, SEEDS = 600, (1, 2, 3)
COUNTS = RareLabels(
    labels=RARE,
    training={label: 20 + 100 * (label not in RARE) for label in LABELS},
    validation={label: 3 if label is Finding.HERNIA else 60 for label in LABELS},
    balance_to=120,
    evaluated=tuple(label for label in LABELS if label is not Finding.HERNIA),
)


def study_plan() -> Plan:
    """The project's own, its recipe found from any folder."""
    plan = load_plan(PLAN)
    return plan.model_copy(update={"recipe": ROOT / plan.recipe})


def write_plan(path: Path, **changes: object) -> Path:
    """The project's plan with other keys; `path`."""
    raw = yaml.safe_load(PLAN.read_text()) | {
        "recipe": str(ROOT / "training/configs/classifier-v2.yaml")
    }
    path.write_text(yaml.safe_dump(raw | changes, sort_keys=False))
    return path


def predictions(
    skill: float, *, arm: int = 0, seed: int = 1, n_images: int = N_IMAGES
) -> Predictions:
    """Of a classifier whose logits of positives lie `skill` standard deviations higher.

    The difficulty of an image is the same for all arms and seeds; a tenth is the training's luck.
    """
    rng = np.random.default_rng(0)
    targets = (rng.random((n_images, len(LABELS))) < 0.1).astype(np.float32)
    hard = rng.standard_normal(targets.shape)
    luck = np.random.default_rng((arm, seed)).standard_normal(targets.shape)
    targets_masked = targets.copy()
    targets_masked[::2, LABELS.index(Finding.PNEUMONIA)] = MASKED
    return Predictions(
        logits=(skill * targets + hard + 0.1 * luck).astype(np.float32),
        targets=targets_masked,
        patients=np.array([f"{row // 2:08d}" for row in range(n_images)]),
        key="k",
        seconds=60.0,
        steps=800,
    )


def effects_for(skills: Mapping[str, float], *, rest: float = 1.0) -> list[Effect]:
    """Of a study whose arms have these skills, and `rest` where none is named."""
    plan = study_plan()
    draws = {
        name: draws_of(
            [predictions(skills.get(name, rest), arm=arm, seed=seed) for seed in SEEDS], COUNTS, 100
        )
        for arm, name in enumerate(plan.arms)
    }
    return effects_of(plan, draws, COUNTS)
