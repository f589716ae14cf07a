"""The whole way in about a minute: tiny networks, few images, generators that learnt nothing."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from cxr_contracts import Finding
from cxr_gan.folders import RUN_CONFIG, RUN_FACTS, RUN_SPEC, RUN_WEIGHTS
from cxr_gan.networks import GeneratorSpec, build_generator
from cxr_gan.study.plan import Plan
from cxr_training.classifier.config import SMOKE_OVERRIDES

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
# The plan's own generator without labels.
_UNLABELLED = "pggan"


def smoke_plan(plan: Plan) -> Plan:
    """The plan with a handful of steps, two seeds, and everything evaluated that can be."""
    rare = plan.rare.model_copy(update={"least_validation": 1})
    few = plan.pretraining.model_copy(update={"images": 16})
    small = {"steps": 4, "seeds": (1, 2), "pool": 400}
    return plan.model_copy(update=small | {"rare": rare, "pretraining": few})


def write_stand_ins(plan: Plan, roots: Sequence[Path], folder: Path) -> None:
    """Under `folder`, a generator of random weights for each that is under none of `roots`."""
    for name in {arm.generator for arm in plan.arms.values() if arm.generator is not None}:
        if not any((root / name).is_dir() for root in (*roots, folder)):
            _write_stand_in(folder / name, () if name == _UNLABELLED else tuple(Finding))


def _write_stand_in(folder: Path, labels: tuple[str, ...]) -> None:
    spec = GeneratorSpec(
        family="dcgan", side_px=16, latent_size=6, channels=4, most_channels=8, labels=labels
    )
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    save_file(build_generator(spec).state_dict(), folder / RUN_WEIGHTS)
    (folder / RUN_CONFIG).write_text(yaml.safe_dump({"name": folder.name}))
    session = {"command": "a stand-in of random weights", "commit": "unknown"}
    facts = {"sessions": [session], "sources": [], "split_sha256": "0" * 64, "n_train": 0}
    (folder / RUN_FACTS).write_text(json.dumps(facts))
    # Last: it makes the folder a generator's.
    (folder / RUN_SPEC).write_text(spec.model_dump_json())
