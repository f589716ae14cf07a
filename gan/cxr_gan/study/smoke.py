"""The whole way in about a minute: tiny networks, few images, generators that learnt nothing."""

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from cxr_contracts import Finding
from cxr_gan.networks import build_generator
from cxr_gan.published.folder import RUN_SPEC, RUN_WEIGHTS
from cxr_gan.published.run import RUN_CONFIG, RUN_FACTS
from cxr_gan.spec import GeneratorSpec
from cxr_gan.study.plan import Plan
from cxr_gan.training.config import load_config
from cxr_training.classifier.config import SMOKE_OVERRIDES
from cxr_training.core.runs import write_json

OVERRIDES = (
    *SMOKE_OVERRIDES,
    "architecture.name=test_efficientnet",
    "architecture.arguments={in_chans: 1}",
    "pretrained=null",
    "input.width_px=32",
    "input.height_px=32",
    "input.canonical_px=32",
    "augmentation.coarsest_px=16",
)
_CONFIGS = Path(__file__).parents[2] / "configs"
_SIDE_PX = 16


def smoke_plan(plan: Plan) -> Plan:
    """The plan with a handful of steps, two seeds, and everything judged that can be."""
    return plan.model_copy(
        update={
            "steps": 4,
            "seeds": (1, 2),
            "gpu_seeds": (1, 2),
            "rare": plan.rare.model_copy(update={"least_validation": 1}),
            "pretraining": plan.pretraining.model_copy(update={"images": 16}),
            "pool": 400,
        }
    )


def stand_ins(plan: Plan, roots: Sequence[Path], folder: Path) -> None:
    """Under `folder`, a generator of random weights for each that is under none of `roots`."""
    for name in {arm.generator for arm in plan.arms.values() if arm.generator is not None}:
        if not any((root / name).is_dir() for root in (*roots, folder)):
            _write_stand_in(name, folder / name)


def _write_stand_in(name: str, folder: Path) -> None:
    recipe = _CONFIGS / f"{name}.yaml"
    labels = load_config(recipe).findings if recipe.exists() else tuple(Finding)
    spec = GeneratorSpec(
        family="dcgan",
        side_px=_SIDE_PX,
        latent_size=6,
        channels=4,
        most_channels=8,
        labels=tuple(label.value for label in labels),
    )
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    save_file(build_generator(spec).state_dict(), folder / RUN_WEIGHTS)
    (folder / RUN_CONFIG).write_text(yaml.safe_dump({"name": name}))
    facts = {
        "sessions": [{"command": "a stand-in of random weights", "commit": "unknown"}],
        "sources": [],
        "split_sha256": "0" * 64,
        "n_train": 0,
    }
    write_json(folder / RUN_FACTS, facts)
    # Last: it makes the folder a generator's.
    (folder / RUN_SPEC).write_text(spec.model_dump_json())
