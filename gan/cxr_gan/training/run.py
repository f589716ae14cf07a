"""`train`: a run directory from a recipe and radiographs."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import yaml

from cxr_gan.errors import GanError
from cxr_gan.folders import RUN_CONFIG, RUN_FACTS, RUN_SPEC
from cxr_gan.radiographs import nih_of, read_radiographs
from cxr_gan.training.config import GanConfig
from cxr_gan.training.records import replace_file
from cxr_gan.training.trainer import METRICS, Trainer
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.runs import (
    command_line,
    current_commit,
    read_metrics,
    refuse_several_processes,
    utc_now,
)
from cxr_training.data.collection import describe_sources

# A class-conditional network learns nothing of a label from fewer images, or learns them by heart.
FEWEST, FEW = 10, 50


def train(
    config: GanConfig,
    data: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: Path | None = None,
) -> Trainer:
    """Train into `folder`.

    Args:
        config: resolved recipe.
        data: folder that holds nih/; None for `manifests` alone.
        folder: the run directory; the decoded images are kept beside it, in `cache/`.
        manifests: CSV manifests to learn from, too.
        resume: a checkpoint to go on from; without one, an existing run is refused.

    Raises:
        DataError: the data set is not as published.
        GanError: `folder` holds a run already; nothing to learn from; a checkpoint does not fit;
            a loss is not finite any more; the disk is full.
    """
    refuse_several_processes("train")
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if (folder / RUN_FACTS).exists() and resume is None:
        raise GanError(f"{folder} holds a run already: choose another --out, or --resume")
    real = read_radiographs(
        data, config.image.side_px, folder.parent / "cache", manifests=manifests
    )
    counts = {label: real.positives(label) for label in config.spec.labels}
    few = {
        n: ", ".join(f"{x} ({counts[x]})" for x in counts if counts[x] < n) for n in (FEWEST, FEW)
    }
    if few[FEWEST]:
        raise GanError(
            f"fewer than {FEWEST} training images of {few[FEWEST]}: leave it out, with "
            "--set labels=[...]"
        )
    if few[FEW]:
        sys.stderr.write(
            f"train: warning: fewer than {FEW} training images of {few[FEW]}: what is made of it "
            "may be one of them learned by heart\n"
        )
    with denormals_flushed():
        trainer = Trainer(config, real, folder)
        if resume is not None:
            trainer.resume(resume)
        folder.mkdir(parents=True, exist_ok=True)
        # Lines of steps that a resumed run will do again are left out.
        rows = [x for x in read_metrics(folder / METRICS) if x["step"] <= trainer.progress.step]
        replace_file(folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows).encode())
        facts = {
            "data": None if data is None else str(data),
            "manifests": [str(path) for path in manifests],
            "sources": describe_sources(nih_of(data), manifests),
            "split_sha256": real.split_sha256,
            "n_train": len(real),
            "positives": counts,
        }
        _describe(trainer, facts, resume)
        trainer.run()
    return trainer


def _describe(trainer: Trainer, described: Mapping[str, object], resume: Path | None) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    config, folder, device = trainer.config, trainer.folder, trainer.device
    facts, resolved = folder / RUN_FACTS, config.model_dump(mode="json")
    sessions = json.loads(facts.read_text())["sessions"] if facts.exists() else []
    session = {
        "started_at": utc_now(),
        "resumed_from": None if resume is None else resume.name,
        "after_images": trainer.progress.images,
        "command": command_line(),
        "commit": current_commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "bfloat16": trainer.in_bfloat16,
        "config": resolved,
    }
    described = {"sessions": [*sessions, session], **described}
    replace_file(folder / RUN_CONFIG, yaml.safe_dump(resolved, sort_keys=False).encode())
    replace_file(folder / RUN_SPEC, (config.spec.model_dump_json(indent=2) + "\n").encode())
    replace_file(facts, (json.dumps(described, indent=2) + "\n").encode())
