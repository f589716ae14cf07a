"""`train`: a run directory from a recipe and radiographs."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import yaml

from cxr_gan.errors import GanError
from cxr_gan.training.checkpoints import replace_file
from cxr_gan.training.config import GanConfig
from cxr_gan.training.data import RealImages, read_real_images, warning_of_rare_labels
from cxr_gan.training.loop import LAST, METRICS, Trainer
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.distributed import Processes, processes_of_this_run
from cxr_training.core.runs import command_line, current_commit, read_metrics, utc_now
from cxr_training.data.collection import describe_sources

CONFIG = "config.yaml"
FACTS = "run.json"
SPEC = "spec.json"


def train(
    config: GanConfig,
    nih: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: Path | None = None,
) -> Trainer:
    """Train into `folder`; one of several processes where torchrun started it.

    Args:
        config: resolved recipe.
        nih: folder in NIH's layout; None for `manifests` alone.
        folder: the run directory; the decoded images are kept beside it, in `cache/`.
        manifests: CSV manifests to learn from, too.
        resume: a checkpoint to go on from; without one, an existing run is refused.

    Raises:
        DataError: the data set is not as published.
        GanError: `folder` holds a run already; nothing to learn from; a checkpoint does not fit;
            a loss is not finite any more; the disk is full.
        RunError: the batch does not divide among the processes.
    """
    with processes_of_this_run() as processes, denormals_flushed():
        _set_up_arithmetic(config, processes.device)

        def opened() -> RealImages:
            if (folder / FACTS).exists() and processes.is_first and resume is None:
                raise GanError(f"{folder} holds a run already: choose another --out, or --resume")
            processes.share(config.training.batch_size)
            return read_real_images(config, nih, manifests, folder.parent / "cache")

        trainer = Trainer(config, processes.first_alone(opened), folder, processes)
        if resume is not None:
            processes.first_alone(partial(trainer.resume, resume))
        if processes.is_first:
            _warn(trainer)
            folder.mkdir(parents=True, exist_ok=True)
            keep_metrics(folder / METRICS, trainer.progress.step)
            _describe(trainer, nih, manifests, resume)
        trainer.run()
    return trainer


def keep_metrics(path: Path, step: int) -> None:
    """Leave out the lines of steps that a run, resumed after `step` of them, will do again."""
    rows = read_metrics(path)
    kept = [row for row in rows if row["step"] <= step]
    if len(kept) < len(rows):
        replace_file(path, "".join(json.dumps(row) + "\n" for row in kept).encode())


def last_checkpoint(folder: Path) -> Path | None:
    """Where a run stopped; None before its first checkpoint."""
    last = folder / LAST
    return last if last.exists() else None


def _warn(trainer: Trainer) -> None:
    warning = warning_of_rare_labels(trainer.config, trainer.real.labels)
    if warning is not None:
        sys.stderr.write(f"train: warning: {warning}\n")


def _set_up_arithmetic(config: GanConfig, device: torch.device) -> None:
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def _describe(
    trainer: Trainer, nih: Path | None, manifests: Sequence[Path], resume: Path | None
) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    config, folder = trainer.config, trainer.folder
    facts = folder / FACTS
    sessions = json.loads(facts.read_text())["sessions"] if facts.exists() else []
    resolved = config.model_dump(mode="json")
    session = {
        "started_at": utc_now(),
        "resumed_from": None if resume is None else resume.name,
        "after_images": trainer.progress.images,
        "command": _command(trainer.processes),
        "commit": current_commit(),
        "processes": trainer.processes.size,
        "device": _name_of(trainer.device),
        "bfloat16": trainer.players.in_bfloat16,
        "config": resolved,
    }
    counts = trainer.real.labels.sum(0).tolist()
    described = {
        "sessions": [*sessions, session],
        "data": None if nih is None else str(nih),
        "manifests": [str(path) for path in manifests],
        "sources": describe_sources(nih, manifests),
        "split_sha256": trainer.real.split_sha256,
        "n_train": len(trainer.real),
        "positives": dict(zip(config.spec.labels, map(int, counts), strict=True)),
    }
    replace_file(folder / CONFIG, yaml.safe_dump(resolved, sort_keys=False).encode())
    replace_file(folder / SPEC, (config.spec.model_dump_json(indent=2) + "\n").encode())
    replace_file(facts, (json.dumps(described, indent=2) + "\n").encode())


def _command(processes: Processes) -> str:
    """As it can be typed again; each process knows only its own part of it."""
    if processes.size == 1:
        return command_line()
    start = f"torchrun --standalone --nproc-per-node {processes.size} -m"
    return command_line().replace("python -m", start, 1)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
