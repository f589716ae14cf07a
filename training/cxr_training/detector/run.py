"""One training run: from the data sets to a run directory with weights and curves.

The directory holds `config.yaml` (the resolved recipe), `run.json` (command, commit, split and
counts), `splits.csv`, `dataset/` (in Ultralytics' layout), `train/results.csv` (a line for each
epoch), `train/last.safetensors`, `train/state.pt` (to go on from after a kill) and `curves.png`;
for a student `pseudo_labels.jsonl` as well, a copy of what its teacher says.
"""

import csv
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.figure import Figure

from cxr_detector.network import build_network, prepare_ultralytics
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.cpu import denormals_flushed
from cxr_training.core.errors import ConfigError, RunError
from cxr_training.core.runs import write_json
from cxr_training.data.annotations import Annotations, limit_images, read_annotations
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, split_sha256, write_splits
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import write_dataset
from cxr_training.detector.distillation import facts_of, read_pseudo_labels, with_teacher
from cxr_training.detector.evaluation import PreparedImages
from cxr_training.detector.pretraining import pretrain
from cxr_training.detector.start import Start, read_start

WEIGHTS, STATE = Path("train/last.safetensors"), Path("train/state.pt")
RESULTS = Path("train/results.csv")
CURVES, RUN_FILE, CONFIG_FILE = "curves.png", "run.json", "config.yaml"
PSEUDO_LABELS = "pseudo_labels.jsonl"
_MOST_WORKERS = 8


def train(
    config: DetectorConfig,
    data: Path,
    start: Start | None,
    out: Path,
    *,
    command: str,
    commit: str,
    pseudo_labels: Path | None = None,
    own: Annotations | None = None,
) -> None:
    """Train into the run directory `out`, from random weights where there is no `start`.

    With `own` its boxes are learnt, and nothing is read below `data`. A recipe with `distillation`
    needs `pseudo_labels`, a file of `cxr detector pseudo-label`.

    Raises:
        ConfigError: the recipe needs pseudo-labels and there are none, or the other way round.
        DataError: the data is not as published, or the start does not fit; before the first epoch.
        RunError: the device is not there, or the loss is no longer finite.
    """
    network = _untrained(config)
    fitting = read_start(start, network.state_dict(), config.architecture) if start else None
    device = choose_device(config)
    annotations = own or annotations_of(config, data)
    out.mkdir(parents=True, exist_ok=True)
    _take_pseudo_labels(config, pseudo_labels, out)
    annotations, taught = _with_teacher(config, annotations, data, out)
    recipe = config.model_dump(mode="json")
    (out / CONFIG_FILE).write_text(yaml.safe_dump(recipe, sort_keys=False))
    write_splits(annotations.splits, out / "splits.csv")
    run = {
        "command": command,
        "commit": commit,
        "start": None if fitting is None else fitting.facts,
        "split_sha256": split_sha256(annotations.splits),
        "n_train": len(annotations.of(Split.TRAIN)),
        "n_background": sum(not image.is_annotated for image in annotations.images),
        "n_validation": len(annotations.of(Split.VALIDATION)),
        **taught,
    }
    write_json(out / RUN_FILE, run)
    # An earlier run's lines would stand above this one's.
    shutil.rmtree(out / "train", ignore_errors=True)
    tensors = fitting.tensors if fitting else {}
    if config.pretraining is not None:
        network.load_state_dict(tensors, strict=False)
        pretrained = pretrain(network, config, data, device)
        write_json(out / RUN_FILE, {**run, "pretraining": pretrained.facts})
        tensors |= pretrained.tensors
    _run_ultralytics(config, annotations, out, device, start=tensors)


def resume(
    config: DetectorConfig,
    data: Path,
    out: Path,
    *,
    pseudo_labels: Path | None = None,
    own: Annotations | None = None,
) -> None:
    """Go on with the killed run in `out`, from its last finished epoch.

    Device and threads may be others than before. A student may go on with more `pseudo_labels` of
    its teacher; without, with those that it has.

    Raises:
        DataError: there is no such run, or its recipe or its data are others.
        RunError: as `train`; or the run has finished, or did not finish an epoch.
    """
    run = read_run(out)
    machine = {"device": config.device, "threads": config.threads}
    if config != DetectorConfig.read(out / CONFIG_FILE).model_copy(update=machine):
        raise DataError(out / CONFIG_FILE, "is another recipe: a run goes on with its own")
    if not (out / STATE).exists():
        raise RunError(f"{out / STATE} is missing: the run ended within its first epoch")
    state = read_checkpoint(out / STATE)
    done = int(state["progress"]["epochs"])
    if done >= config.epochs:
        raise RunError(f"{out}: the run has finished after {done} epochs")
    annotations = own or annotations_of(config, data)
    require_same_patients(out, annotations)
    if pseudo_labels is not None:
        _take_pseudo_labels(config, pseudo_labels, out)
    annotations, taught = _with_teacher(config, annotations, data, out)
    run |= taught | {"n_train": len(annotations.of(Split.TRAIN))}
    # A kill may come between a line and the state.
    header, *lines = (out / RESULTS).read_text().splitlines(keepends=True)
    kept = "".join([header, *(line for line in lines if int(line.split(",")[0]) <= done)])
    run["resumed_after_epochs"] = [*run.get("resumed_after_epochs", []), done]
    write_json(out / RUN_FILE, run)
    device = choose_device(config)
    _run_ultralytics(config, annotations, out, device, start={}, state=state, lines=kept)


def annotations_of(config: DetectorConfig, data: Path) -> Annotations:
    """The recipe's radiographs and boxes; DataError as `read_annotations`."""
    annotations = read_annotations(
        data,
        sets=config.data.sets,
        background_images=config.background_images,
        label_noise_mask=config.data.label_noise_mask,
        seed=config.seed,
    )
    return limit_images(annotations, config.data.max_images, config.seed)


def _take_pseudo_labels(config: DetectorConfig, given: Path | None, out: Path) -> None:
    """Copy the pseudo-labels into the run directory, which must not depend on a file that grows.

    Raises:
        ConfigError: the recipe needs some and there are none, or the other way round.
        DataError: they are those of another teacher than the run's.
    """
    if (given is None) != (config.distillation is None):
        raise ConfigError("a recipe with `distillation`, and no other, needs --pseudo-labels")
    if given is None:
        return
    labels, path = read_pseudo_labels(given), out / PSEUDO_LABELS
    if (out / STATE).exists() and path.exists():
        before = read_pseudo_labels(path)
        if before.sha256 != labels.sha256:
            raise DataError(given, f"is what {labels.teacher} says: the run has another teacher")
    partial = path.with_suffix(".partial")
    shutil.copyfile(given, partial)
    partial.rename(path)


def _with_teacher(
    config: DetectorConfig, annotations: Annotations, data: Path, out: Path
) -> tuple[Annotations, dict[str, Any]]:
    """The radiographs with what the run's teacher says of them, if it has one, and its facts."""
    if config.distillation is None:
        return annotations, {}
    labels = read_pseudo_labels(out / PSEUDO_LABELS)
    taught = with_teacher(annotations, labels, data, config.distillation)
    taught = limit_images(taught, config.data.max_images, config.seed)
    return taught, {"distillation": facts_of(labels, taught.of(Split.TRAIN))}


def require_same_patients(out: Path, annotations: Annotations) -> None:
    """Raise DataError where the data splits otherwise than the run's did."""
    if split_sha256(annotations.splits) != read_run(out)["split_sha256"]:
        raise DataError(out, "the data's patient split is not the one that the run trained on")


def choose_device(config: DetectorConfig) -> torch.device:
    """A CPU, or the first GPU.

    Raises:
        RunError: the recipe asks for CUDA and there is none.
    """
    if config.device != "cpu" and torch.cuda.is_available():
        return torch.device("cuda:0")
    if config.device == "cuda":
        raise RunError("the recipe says device: cuda, and PyTorch finds no CUDA device here")
    return torch.device("cpu")


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast.

    A CPU without instructions for it converts back and forth and takes nine times as long.
    """
    if device.type != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of a run directory; DataError if there is none."""
    path = out / RUN_FILE
    if not path.exists():
        raise DataError(path, "is missing: run `train` first")
    run: dict[str, Any] = json.loads(path.read_text())
    return run


def run_weights(out: Path) -> Path:
    """The weights of a run; DataError if there are none."""
    if not (out / WEIGHTS).exists():
        raise DataError(out / WEIGHTS, "is missing: run `train` first")
    return out / WEIGHTS


def draw_curves(results: Path, path: Path) -> None:
    """Training losses and validation mAP by epoch, from `results.csv`, as a PNG."""
    with results.open(newline="") as stream:
        lines = [
            {key: float(value) for key, value in one.items()} for one in csv.DictReader(stream)
        ]
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, figures = figure.subplots(1, 2)
    for axes, prefix, title in (
        (losses, "train/", "training loss"),
        (figures, "map", "validation patients"),
    ):
        for name in [key for key in lines[0] if key.startswith(prefix)]:
            # Not every epoch is validated.
            known = [(line["epoch"], line[name]) for line in lines if not math.isnan(line[name])]
            # A line alone shows nothing of the first epoch.
            axes.plot(*zip(*known, strict=True), marker=".", label=name.removeprefix("train/"))
        axes.set(xlabel="epoch", ylabel=title)
        axes.legend()
    figure.savefig(path, dpi=120)


def _untrained(config: DetectorConfig) -> Any:
    try:
        network: Any = build_network(config.network, len(config.regions))
    except ValueError as error:
        raise RunError(str(error)) from error
    names = [name for name, _ in network.named_parameters()]
    for layer in config.frozen:
        if not any(name.startswith(f"model.{layer}.") for name in names):
            raise RunError(f"the recipe freezes {layer}, and the network has no such layer")
    return network


def _run_ultralytics(
    config: DetectorConfig,
    annotations: Annotations,
    out: Path,
    device: torch.device,
    *,
    start: dict[str, torch.Tensor],
    state: dict[str, Any] | None = None,
    lines: str = "",
) -> None:
    prepare_ultralytics()
    from cxr_training.detector.trainer import DetectorTrainer

    spec = config.input_spec
    images = annotations.of(Split.TRAIN)
    data_file = write_dataset(images, annotations.regions, out / "dataset", spec)
    # The epochs that are left must not draw what the first ones drew.
    seed = config.seed + (state["progress"]["epochs"] if state else 0)
    is_half = computes_in_bfloat16(device)
    trainer = DetectorTrainer(
        _ultralytics_arguments(config, data_file, out, device, seed=seed, is_half=is_half),
        config,
        PreparedImages(annotations.of(Split.VALIDATION), spec),
        start,
        bfloat16_on_cpu=device.type == "cpu" and is_half,
        state=state,
    )
    # Where Ray is installed Ultralytics reports to it, and it warns that nobody asked.
    told = trainer.callbacks["on_fit_epoch_end"]
    trainer.callbacks["on_fit_epoch_end"] = [
        one for one in told if not one.__module__.endswith("raytune")
    ]
    # Ultralytics begins by removing the lines of an earlier run.
    if lines:
        (out / RESULTS).write_text(lines)
    with denormals_flushed():
        trainer.train()
    draw_curves(out / RESULTS, out / CURVES)


def _ultralytics_arguments(
    config: DetectorConfig,
    data_file: Path,
    out: Path,
    device: torch.device,
    *,
    seed: int,
    is_half: bool,
) -> dict[str, Any]:
    """The recipe in Ultralytics' terms."""
    on_gpu = device.type == "cuda"
    augmentation, optimizer = config.augmentation, config.optimizer
    return {
        "task": "detect",
        "mode": "train",
        "model": f"{config.architecture}.yaml",
        "data": str(data_file),
        "project": str(out.resolve()),
        "name": "train",
        "exist_ok": True,
        "imgsz": config.image_px,
        "epochs": config.epochs,
        "batch": config.batch,
        # One step for each batch: a small batch with more steps learns faster from 2,500 images.
        "nbs": config.batch,
        "seed": seed,
        "device": "0" if on_gpu else "cpu",
        "workers": min(_MOST_WORKERS, (os.cpu_count() or 1) - 1) if on_gpu else 0,
        "plots": False,
        "patience": 10_000,
        # Ultralytics' own switch is for GPUs; on a CPU the network has its own.
        "amp": "bf16" if on_gpu and is_half else False,
        "freeze": config.frozen or None,
        "optimizer": "AdamW",
        "lr0": optimizer.learning_rate,
        "lrf": optimizer.final_fraction,
        "cos_lr": True,
        "weight_decay": optimizer.weight_decay,
        "warmup_epochs": optimizer.warmup_epochs,
        # Ultralytics' own is for SGD from scratch.
        "warmup_bias_lr": optimizer.learning_rate,
        "degrees": augmentation.degrees,
        "translate": augmentation.translate,
        "scale": augmentation.scale,
        "fliplr": augmentation.flip_horizontal,
        # Brightness is `cxr_training.detector.dataset`'s, and a radiograph has no colour.
        **dict.fromkeys(("hsv_h", "hsv_s", "hsv_v", "flipud", "mosaic", "close_mosaic"), 0),
    }
