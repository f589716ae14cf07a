"""`train`: a run directory from a configuration and a data set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from cxr_classifier.network import build_network
from cxr_training.classifier.cache import CanonicalImages, canonical_images, streamed_images
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.curves import draw_curves
from cxr_training.classifier.loop import LAST, Trainer
from cxr_training.classifier.pretrained import load_pretrained
from cxr_training.classifier.samples import (
    LABELS,
    Samples,
    describe_sources,
    read_samples,
    with_patient_share,
)
from cxr_training.data.splits import Split, split_sha256, write_splits
from cxr_training.runs import (
    RunError,
    command_line,
    current_commit,
    read_metrics,
    utc_now,
    write_json,
)

CONFIG = "config.yaml"
FACTS = "run.json"
SPLITS = "splits.csv"
METRICS = "metrics.jsonl"


def train(
    config: ClassifierConfig,
    data: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: bool = False,
    stream: bool = False,
) -> Trainer:
    """Train into `folder`.

    Everything that can be known to be wrong with the data is checked before the first step.

    Args:
        config: resolved configuration.
        data: folder in NIH's layout; None for `manifests` alone.
        folder: the run directory; the canonical images are kept beside it, in `cache/`.
        manifests: CSV manifests to train and validate on, too.
        stream: decode images as they are needed, keep none.
        resume: go on from `last.pt` where it exists; otherwise an existing run is refused.

    Raises:
        DataError: the data set is not as published.
        RunError: `folder` holds a run already and `resume` is false.
    """
    if (folder / FACTS).exists() and not resume:
        raise RunError(f"{folder} holds a run already: choose another --out, or --resume")
    samples = with_patient_share(read_samples(data, manifests), config.training.patient_share)
    images = open_images(config, samples, folder, stream=stream)
    folder.mkdir(parents=True, exist_ok=True)
    _describe(config, samples, data, manifests, folder)
    trainer = _trainer(config, samples, images, folder)
    if resume and (folder / LAST).exists():
        trainer.resume(folder / LAST)
    trainer.run()
    draw_curves(folder / METRICS, folder / "curves.png")
    return trainer


def open_images(
    config: ClassifierConfig, samples: Samples, folder: Path, *, stream: bool
) -> CanonicalImages:
    """The canonical images of `samples`, decoded at the first call and kept beside the run."""
    size_px = config.input.canonical_px or max(config.input.width_px, config.input.height_px)
    if stream:
        return streamed_images(samples.paths, size_px, folder.parent / "cache")
    return canonical_images(samples.paths, size_px, folder.parent / "cache")


def device_of_this_machine() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _trainer(
    config: ClassifierConfig,
    samples: Samples,
    images: CanonicalImages,
    folder: Path,
) -> Trainer:
    torch.manual_seed(config.seed)
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    network = build_network(config.architecture, len(LABELS))
    if config.pretrained is not None:
        load_pretrained(network, config.pretrained)
    return Trainer(config, network, samples, images, folder, device_of_this_machine())


def _describe(
    config: ClassifierConfig,
    samples: Samples,
    data: Path | None,
    manifests: Sequence[Path],
    folder: Path,
) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    sessions = read_facts(folder)["sessions"] if (folder / FACTS).exists() else []
    session = {
        "started_at": utc_now(),
        "after_epochs": len(read_metrics(folder / METRICS)),
        "command": command_line(),
        "commit": current_commit(),
        "config": config.model_dump(mode="json"),
    }
    (folder / CONFIG).write_text(yaml.safe_dump(session["config"], sort_keys=False))
    write_splits(samples.patient_splits, folder / SPLITS)
    write_json(
        folder / FACTS,
        {
            "sessions": [*sessions, session],
            "data": None if data is None else str(data),
            "manifests": [str(path) for path in manifests],
            "sources": describe_sources(data, manifests),
            "split_sha256": split_sha256(samples.patient_splits),
            "n_train": len(samples.rows(Split.TRAIN)),
            "n_validation": len(samples.rows(Split.VALIDATION)),
            "positives": {
                split.value: dict(
                    zip(LABELS, samples.targets[samples.rows(split)].sum(0).tolist(), strict=True)
                )
                for split in (Split.TRAIN, Split.VALIDATION)
            },
        },
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """`run.json` of a run.

    Raises:
        RunError: there is none.
    """
    path = folder / FACTS
    if not path.exists():
        raise RunError(f"{path} is missing: {folder} is no run directory")
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts
