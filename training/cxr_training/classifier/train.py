"""`train`: a run directory from a configuration and a data set."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from cxr_classifier.network import build_network
from cxr_training.arithmetic import denormals_flushed
from cxr_training.classifier.cache import CanonicalImages, canonical_images, streamed_images
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loop import LAST, Trainer
from cxr_training.classifier.loop import METRICS as METRICS  # noqa: PLC0414 - published with a run
from cxr_training.classifier.pretrained import load_pretrained
from cxr_training.classifier.samples import (
    LABELS,
    Samples,
    describe_sources,
    read_samples,
    with_patient_share,
)
from cxr_training.classifier.subset import with_few_patients
from cxr_training.data.splits import Split, split_sha256, write_splits
from cxr_training.distributed import Processes, processes_of_this_run
from cxr_training.runs import (
    RunError,
    command_line,
    current_commit,
    drop_metrics_after,
    read_metrics,
    utc_now,
    write_json,
)

CONFIG = "config.yaml"
FACTS = "run.json"
SPLITS = "splits.csv"


def train(
    config: ClassifierConfig,
    data: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: bool = False,
    stream: bool = False,
) -> Trainer:
    """Train into `folder`; one of several processes where torchrun started it.

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
        RunError: `folder` holds a run already and `resume` is false; a checkpoint does not fit;
            the batch does not divide among the processes; the loss is not finite any more.
    """
    with processes_of_this_run() as processes, denormals_flushed():

        def opened() -> tuple[Samples, CanonicalImages]:
            if processes.is_first and (folder / FACTS).exists() and not resume:
                raise RunError(f"{folder} holds a run already: choose another --out, or --resume")
            processes.share(config.training.batch_size)
            samples = samples_of(config, data, manifests)
            return samples, open_images(config, samples, folder, stream=stream)

        samples, images = processes.first_alone(opened)
        trainer = new_trainer(config, samples, images, folder, processes)
        if resume and (folder / LAST).exists():
            processes.first_alone(partial(trainer.resume, folder / LAST))
        if processes.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            drop_metrics_after(folder / METRICS, trainer.progress.epoch)
            _describe(trainer, data, manifests)
        trainer.run()
    return trainer


def samples_of(
    config: ClassifierConfig, data: Path | None, manifests: Sequence[Path] = ()
) -> Samples:
    """The radiographs of `data` and `manifests` that a run of this configuration reads.

    Raises:
        DataError: the data set is not as published.
    """
    samples = with_patient_share(read_samples(data, manifests), config.training.patient_share)
    few = config.training.max_patients
    return samples if few is None else with_few_patients(samples, few)


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


def new_trainer(
    config: ClassifierConfig,
    samples: Samples,
    images: CanonicalImages,
    folder: Path,
    processes: Processes,
) -> Trainer:
    """A run at its beginning; nothing is written yet."""
    _set_up_arithmetic(processes.device)
    torch.manual_seed(config.seed)
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    network = build_network(config.architecture, len(LABELS))
    if config.pretrained is not None:
        load_pretrained(network, config.pretrained)
    if not processes.is_first:
        # All begin with the same weights, but drop out different ones.
        torch.manual_seed(config.seed + 1_000_003 * processes.rank)
    return Trainer(config, network, samples, images, folder, processes.device, processes)


def _set_up_arithmetic(device: torch.device) -> None:
    if device.type == "cpu":
        return
    # TF32 in what stays in 32 bits, and the fastest convolutions for the one size of a batch.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def _describe(trainer: Trainer, data: Path | None, manifests: Sequence[Path]) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    config, samples, folder = trainer.config, trainer.samples, trainer.folder
    sessions = read_facts(folder)["sessions"] if (folder / FACTS).exists() else []
    session = {
        "started_at": utc_now(),
        "after_epochs": len(read_metrics(folder / METRICS)),
        "command": _command(trainer.processes),
        "commit": current_commit(),
        "processes": trainer.processes.size,
        "device": _name_of(trainer.device),
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


def _command(processes: Processes) -> str:
    """As it can be typed again; each process knows only its own part of it."""
    if processes.size == 1:
        return command_line()
    start = f"torchrun --standalone --nproc-per-node {processes.size} -m"
    return command_line().replace("python -m", start, 1)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


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
