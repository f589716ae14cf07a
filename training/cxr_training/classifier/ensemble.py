"""A recipe's ensemble members: networks trained alike from other seeds, whose mean is published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from cxr_classifier.network import CamClassifier, build_network, ensemble_state, load_weights
from cxr_contracts import Architecture
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.samples import LABELS
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.errors import RunError


def member_name(index: int) -> str:
    """For a person; members are counted from 1."""
    return f"member {index + 1}"


def member_folders(folder: Path, config: ClassifierConfig) -> list[Path]:
    """The run directory of each member; the run's own where there is one."""
    if config.members == 1:
        return [folder]
    return [folder / member_name(index).replace(" ", "-") for index in range(config.members)]


def member_configs(config: ClassifierConfig) -> list[ClassifierConfig]:
    """The recipe of each member: that of one network, its seed its own."""
    return [
        config.model_copy(update={"members": 1, "seed": config.seed + index})
        for index in range(config.members)
    ]


def is_over(checkpoint: Path, config: ClassifierConfig) -> bool:
    """Whether the run that left this checkpoint has spent the budget of `config`."""
    if not checkpoint.exists():
        return False
    progress, training = read_checkpoint(checkpoint)["progress"], config.training
    spent = training.max_minutes is not None and progress["elapsed_s"] >= training.max_minutes * 60
    return spent or int(progress["epoch"]) >= training.epochs


def refuse_other_shape(config_file: Path, config: ClassifierConfig) -> None:
    """Raise RunError where a run of one network would go on as several, or several as one."""
    if not config_file.exists():
        return
    before = int(yaml.safe_load(config_file.read_text())["members"])
    if (before == 1) != (config.members == 1):
        raise RunError(
            f"{config_file.parent} was begun with members={before}, and the recipe says "
            f"members={config.members}: choose another --out, or --set members={before}"
        )


def trained_network(
    folder: Path,
    config: ClassifierConfig,
    architecture: Architecture,
    *,
    checkpoint: str,
    more: Mapping[str, torch.Tensor],
) -> tuple[CamClassifier, list[int]]:
    """The averaged networks of a run's members as one, and after how many epochs each stood.

    Args:
        folder: the run directory.
        config: its configuration.
        architecture: of the whole.
        checkpoint: the file of each member's directory, e.g. `best.pt`.
        more: tensors of the whole.

    Raises:
        RunError: a member's checkpoint is missing or cannot be read.
    """
    states: list[dict[str, Any]] = [
        read_checkpoint(member / checkpoint) for member in member_folders(folder, config)
    ]
    tensors = ensemble_state([state["average"] for state in states]) | dict(more)
    network = load_weights(build_network(architecture, len(LABELS)), tensors)
    return network, [int(state["progress"]["epoch"]) for state in states]
