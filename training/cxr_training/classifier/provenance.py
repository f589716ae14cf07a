"""Where the published weights come from, for the manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.members import member_configs, member_folders
from cxr_training.classifier.train import METRICS, read_facts
from cxr_training.core.runs import changed_keys, portable_command, read_metrics

_BEST = "best mean AUROC on validation patients (labels learned within a source judged there)"


def checkpoint_in_words(folder: Path, config: ClassifierConfig, epochs: Sequence[int]) -> str:
    """Which weights of the run are published; `epochs` are those of each member."""
    done = _epochs_done(folder, config)
    if config.members == 1:
        return f"averaged weights after epoch {epochs[0]} of {done[0]}, the {_BEST}"
    seeds = in_words([member.seed for member in member_configs(config)])
    stood = in_words([f"{epoch} of {n}" for epoch, n in zip(epochs, done, strict=True)])
    return (
        f"the mean of {config.members} networks, trained alike from seeds {seeds}: of each the "
        f"averaged weights after its own {_BEST}, which was epoch {stood}"
    )


def members_in_short(
    folder: Path, config: ClassifierConfig, epochs: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """Of each of several members what was run, and the epoch of `epochs` that is published."""
    if config.members == 1:
        return {}
    members = []
    for into, own, epoch, done in zip(
        member_folders(folder, config),
        member_configs(config),
        epochs,
        _epochs_done(folder, config),
        strict=True,
    ):
        sessions = read_facts(into)["sessions"]
        members.append(
            {
                "seed": own.seed,
                "command": portable_command(sessions[-1]["command"]),
                "commit": sessions[-1]["commit"],
                "epoch": epoch,
                "epochs": done,
                "sessions": sessions_in_short(sessions),
            }
        )
    return {"members": members}


def sessions_in_short(sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each session of a resumed run: when it took over, its commit and what it changed."""
    earlier = [sessions[0], *sessions]
    return [
        {
            "after_epochs": session["after_epochs"],
            "commit": session["commit"],
            # A session of before there were members had one.
            "changed": changed_keys({"members": 1} | before["config"], session["config"]),
        }
        for before, session in zip(earlier, sessions, strict=False)
    ]


def in_words(values: Sequence[object]) -> str:
    """E.g. `1, 2 and 3`."""
    *first, last = [str(value) for value in values]
    return f"{', '.join(first)} and {last}" if first else last


def _epochs_done(folder: Path, config: ClassifierConfig) -> list[int]:
    return [len(read_metrics(member / METRICS)) for member in member_folders(folder, config)]
