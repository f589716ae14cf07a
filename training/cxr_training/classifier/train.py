"""`train`: a run directory from a configuration and a data set."""

import json
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from cxr_classifier.network import build_member
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.ensemble import (
    is_over,
    member_configs,
    member_folders,
    member_name,
    refuse_other_shape,
)
from cxr_training.classifier.loop import LAST, METRICS, Trainer
from cxr_training.classifier.pretrained import load_pretrained
from cxr_training.classifier.samples import (
    LABELS,
    Samples,
    read_samples,
    synthetic_alone,
    with_few_patients,
)
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.distributed import Processes, processes_of_this_run
from cxr_training.core.errors import RunError
from cxr_training.core.parallel import in_processes, usable_cores
from cxr_training.core.runs import (
    command_line,
    current_commit,
    drop_metrics_after,
    read_metrics,
    utc_now,
    write_json,
)
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import describe_sources, label_file
from cxr_training.data.splits import Split, split_sha256, write_splits

CONFIG, FACTS, SPLITS = "config.yaml", "run.json", "splits.csv"


@dataclass(frozen=True, slots=True)
class Given:
    """What a run trains on, and how it was asked to; the same for each ensemble member."""

    nih: Path | None
    manifests: tuple[Path, ...]
    samples: Samples
    cache: Path
    resume: bool
    command: str
    start: Path | None

    def images(self, config: ClassifierConfig) -> CanonicalImages:
        """Decoded at the first call."""
        return canonical_images(self.samples.paths, config.canonical_px, self.cache)


@dataclass(frozen=True, slots=True)
class _Member:
    """One of several networks to train side by side."""

    index: int
    name: str
    config: ClassifierConfig
    folder: Path


def train(
    config: ClassifierConfig,
    nih: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: bool = False,
    start: Path | None = None,
) -> None:
    """Train into `folder`; one of several processes where torchrun started it.

    Everything that can be known to be wrong with the data is checked before the first step.
    Ensemble members are runs of their own, `member-1` and so on, in `folder`.

    Args:
        config: resolved configuration.
        nih: folder in NIH's layout; None for `manifests` alone.
        folder: the run directory; the canonical images are kept beside it, in `cache/`.
        manifests: CSV manifests to train and validate on, too.
        resume: go on from `last.pt` where it exists; otherwise an existing run is refused.
        start: another run's checkpoint, whose averaged weights each network begins with.

    Raises:
        DataError: the data set is not as published, or a test set.
        RunError: `folder` holds a run already and `resume` is false, or one of another number of
            members; a checkpoint does not fit; the batch does not divide among the processes; the
            loss is not finite any more; a member's process ended.
    """
    with processes_of_this_run() as processes:

        def opened() -> Given:
            if processes.is_first:
                _refuse_run_in(folder, config, resume=resume)
            processes.share(config.training.batch_size)
            given = Given(
                nih,
                tuple(manifests),
                samples_of(config, nih, manifests),
                cache_of(folder),
                resume,
                _command(processes),
                start,
            )
            # Before any member starts: all of them read what is decoded here.
            given.images(config)
            return given

        given = processes.first_alone(opened)
        if config.members == 1:
            _train_one(config, given, folder, processes)
        else:
            _train_members(config, given, folder, processes)


def _refuse_run_in(folder: Path, config: ClassifierConfig, *, resume: bool) -> None:
    if (folder / FACTS).exists() and not resume:
        raise RunError(f"{folder} holds a run already: choose another --out, or --resume")
    refuse_other_shape(folder / CONFIG, config)


def _train_members(
    config: ClassifierConfig, given: Given, folder: Path, processes: Processes
) -> None:
    """Each member that is not over yet; on a CPU side by side.

    A small network gains little from a second thread; two networks on a core each train at nearly
    twice the pace of one on both.
    """
    if processes.is_first:
        folder.mkdir(parents=True, exist_ok=True)
        _describe(config, given, folder, processes)
    both = zip(member_configs(config), member_folders(folder, config), strict=True)
    members = [
        _Member(index, member_name(index), own, into)
        for index, (own, into) in enumerate(both)
        if not is_over(into / LAST, own)
    ]
    threads = threads_side_by_side(len(members), processes)
    if threads is None:
        for member in members:
            _train_member(given, None, processes, member)
        return
    work = partial(_train_member, given, threads, processes)
    try:
        for _ in in_processes(work, members, len(members)):
            pass
    except BrokenProcessPool as error:
        raise RunError(
            "the process of a member was ended from outside; --resume goes on from its last "
            "checkpoint"
        ) from error


def threads_side_by_side(members: int, processes: Processes) -> int | None:
    """How many threads each has when all train at once; None where they train one by one.

    A GPU is filled by one, and torchrun's processes work on one network together.
    """
    cores = usable_cores()
    if members < 2 or processes.size > 1 or processes.device.type != "cpu" or cores < members:
        return None
    return cores // members


def _train_member(given: Given, threads: int | None, processes: Processes, member: _Member) -> None:
    shown = {"prefix": f"{member.name}, ", "position": 0 if threads is None else member.index}
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        _train_one(member.config, given, member.folder, processes, **shown)
    except RunError as error:
        raise RunError(f"{member.name}: {error}") from error


def _train_one(
    config: ClassifierConfig, given: Given, folder: Path, processes: Processes, **shown: Any
) -> None:
    """One network, from its beginning or its last checkpoint to the end of its budget."""
    with denormals_flushed():
        images = given.images(config)
        trainer = new_trainer(
            config, given.samples, images, folder, processes, start=given.start, **shown
        )
        if given.resume and (folder / LAST).exists():
            processes.first_alone(partial(trainer.resume, folder / LAST))
        if processes.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            drop_metrics_after(folder / METRICS, trainer.progress.epoch)
            _describe(config, given, folder, processes)
        trainer.run()


def samples_of(
    config: ClassifierConfig, nih: Path | None, manifests: Sequence[Path] = ()
) -> Samples:
    """The radiographs of `nih` and `manifests` that a run of this configuration reads.

    Raises:
        DataError: the data set is not as published, or a test set.
    """
    samples = read_samples(nih, manifests)
    if config.training.shown == "synthetic":
        samples = synthetic_alone(samples, label_file(nih, manifests))
    few = config.training.max_patients
    return samples if few is None else with_few_patients(samples, few)


def cache_of(folder: Path) -> Path:
    """Where a run keeps its canonical images: beside itself, for all runs that lie there."""
    return folder.parent / "cache"


def new_trainer(
    config: ClassifierConfig,
    samples: Samples,
    images: CanonicalImages,
    folder: Path,
    processes: Processes,
    *,
    start: Path | None = None,
    prefix: str | None = "",
    position: int = 0,
) -> Trainer:
    """A run at its beginning; nothing is written yet.

    `start`: see `train`; `prefix` and `position`: see `Trainer`.
    """
    if processes.device.type == "cuda":
        # TF32 in what stays in 32 bits, and the fastest convolutions for the one size of a batch.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(config.seed)
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    network = build_member(config.architecture, len(LABELS))
    if config.pretrained is not None:
        load_pretrained(network, config.pretrained)
    if start is not None:
        try:
            network.load_state_dict(read_checkpoint(start)["average"])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise RunError(f"{start} is of another network than configured: {reason}") from error
    if not processes.is_first:
        # All begin with the same weights, but drop out different ones.
        torch.manual_seed(config.seed + 1_000_003 * processes.rank)
    return Trainer(config, network, samples, images, folder, processes, prefix, position)


def _describe(config: ClassifierConfig, given: Given, folder: Path, processes: Processes) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    samples, device = given.samples, processes.device
    sessions = read_facts(folder)["sessions"] if (folder / FACTS).exists() else []
    members = member_folders(folder, config)
    session = {
        "started_at": utc_now(),
        # Of members the one that is furthest behind.
        "after_epochs": min(len(read_metrics(member / METRICS)) for member in members),
        "command": given.command,
        "commit": current_commit(),
        "processes": processes.size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "config": config.model_dump(mode="json"),
    }
    named = [
        {"folder": member.name, "seed": own.seed}
        for member, own in zip(members, member_configs(config), strict=True)
    ]
    (folder / CONFIG).write_text(yaml.safe_dump(session["config"], sort_keys=False))
    write_splits(samples.patient_splits, folder / SPLITS)
    write_json(
        folder / FACTS,
        {
            "sessions": [*sessions, session],
            **({"members": named} if config.members > 1 else {}),
            "data": None if given.nih is None else str(given.nih),
            "manifests": [str(path) for path in given.manifests],
            "start": None if given.start is None else str(given.start),
            "sources": describe_sources(given.nih, given.manifests),
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
    start = f"torchrun --standalone --nproc-per-node {processes.size} -m cxr_training"
    return f"{start} {command_line().partition(' ')[2]}"


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
