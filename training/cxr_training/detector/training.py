"""One training run: from the data sets to a run directory with weights and curves.

The directory holds `config.yaml` (the resolved recipe), `run.json` (command, commit, split and
counts), `splits.csv`, `dataset/` (in Ultralytics' layout), `train/results.csv` (a line for each
epoch), `train/last.safetensors`, `train/best.safetensors`, `train/state.safetensors` (to go on from
after a kill) and `curves.png`.
"""

import csv
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cxr_detector.network import build_network, prepare_ultralytics
from cxr_training.core.errors import RunError
from cxr_training.core.runs import write_json
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, split_sha256, write_splits
from cxr_training.detector.annotations import Annotations, limit_images, read_annotations
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import write_dataset
from cxr_training.detector.start import FittingStart, Start, read_start

if TYPE_CHECKING:
    from cxr_training.detector.resume import RunState

RESULTS = "train/results.csv"
CURVES = "curves.png"
RUN_FILE = "run.json"
CONFIG_FILE = "config.yaml"
_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the data lies."""

    nih: Path
    chestxdet: Path

    def read(self, config: DetectorConfig) -> Annotations:
        """The recipe's sets as one list; DataError as `read_annotations`."""
        annotations = read_annotations(
            self.nih,
            self.chestxdet,
            sets=config.data.sets,
            merge_iou=config.merge_iou,
            background_images=config.background_images,
            labelled_images=config.data.labelled_images,
            doubt_labels=config.data.doubt_labels,
            seed=config.seed,
        )
        return limit_images(annotations, config.data.max_images, config.seed)


def train(
    config: DetectorConfig,
    sources: Sources,
    start: Start | None,
    out: Path,
    *,
    command: str,
    commit: str,
) -> None:
    """Train into the run directory `out`, from random weights where there is no `start`.

    Raises:
        DataError: the data is not as published, or the start does not fit; before the first epoch.
        RunError: the device is not there, or the loss left the numbers.
    """
    network = _untrained(config)
    fitting = read_start(start, network.state_dict(), config.architecture) if start else None
    device = choose_device(config)
    annotations = sources.read(config)
    out.mkdir(parents=True, exist_ok=True)
    _write_run_files(config, annotations, fitting, out, command=command, commit=commit)
    # An earlier run's lines would stand above this one's.
    shutil.rmtree(out / "train", ignore_errors=True)
    tensors = fitting.tensors if fitting else {}
    if config.pretraining is not None:
        network.load_state_dict(tensors, strict=False)
        tensors |= _pretrain(network, config, sources, device, out)
    data_file = write_dataset(annotations, out / "dataset", config.input_spec(), config.resize)
    _run_ultralytics(config, data_file, out, device, start=tensors)
    draw_curves(out / RESULTS, out / CURVES)


def resume(config: DetectorConfig, sources: Sources, out: Path) -> None:
    """Go on with the killed run in `out`, from its last finished epoch.

    Raises:
        DataError: there is no such run, or its recipe or its data are others.
        RunError: as `train`, or the run has finished.
    """
    from cxr_training.detector.resume import STATE_NAME, keep_epochs, load_state

    run = read_run(out)
    if config != DetectorConfig.read(out / CONFIG_FILE):
        raise DataError(out / CONFIG_FILE, "is another recipe: a run goes on with its own")
    state = load_state(out / "train" / STATE_NAME)
    limit_s = None if config.hours is None else config.hours * 3600
    if state.epochs >= config.epochs or (limit_s is not None and state.elapsed_s >= limit_s):
        raise RunError(f"{out}: the run has finished after {state.epochs} epochs")
    annotations = sources.read(config)
    if split_sha256(annotations.splits) != run["split_sha256"]:
        raise DataError(out, "the data's patient split is not the one that the run trained on")
    lines = keep_epochs(out / RESULTS, state.epochs)
    run["resumed_after_epochs"] = [*run.get("resumed_after_epochs", []), state.epochs]
    write_json(out / RUN_FILE, run)
    data_file = write_dataset(annotations, out / "dataset", config.input_spec(), config.resize)
    device = choose_device(config)
    _run_ultralytics(config, data_file, out, device, start={}, state=state, lines=lines)
    draw_curves(out / RESULTS, out / CURVES)


def choose_device(config: DetectorConfig) -> str:
    """`cpu`, or the first GPU in Ultralytics' terms.

    Raises:
        RunError: the recipe asks for CUDA and there is none.
    """
    import torch

    if config.device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "0"
    if config.device == "cuda":
        raise RunError("the recipe says device: cuda, and PyTorch finds no CUDA device here")
    return "cpu"


def computes_in_bfloat16(config: DetectorConfig, device: str) -> bool:
    """Whether the forward pass runs under bfloat16 autocast.

    A processor without instructions for it converts back and forth and takes nine times as long.
    """
    import torch

    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def ultralytics_overrides(
    config: DetectorConfig, data_file: Path, out: Path, device: str, *, seed: int
) -> dict[str, Any]:
    """The recipe in Ultralytics' terms.

    What follows the budget (time, warm-up, the end of mosaic) is left to `DetectorTrainer`.
    """
    on_gpu = device != "cpu"
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
        "device": device,
        "workers": min(_MOST_WORKERS, (os.cpu_count() or 1) - 1) if on_gpu else 0,
        "plots": False,
        "patience": 10_000,
        # Ultralytics' own switch is for GPUs; on a processor the network has its own.
        "amp": "bf16" if on_gpu and computes_in_bfloat16(config, device) else False,
        "freeze": config.frozen or None,
        "optimizer": optimizer.name,
        "lr0": optimizer.learning_rate,
        "lrf": optimizer.final_fraction,
        "cos_lr": True,
        "weight_decay": optimizer.weight_decay,
        "warmup_epochs": 0.0,
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        # Brightness is `cxr_training.detector.sharpness`'s.
        "hsv_v": 0.0,
        "degrees": augmentation.degrees,
        "translate": augmentation.translate,
        "scale": augmentation.scale,
        "flipud": 0.0,
        "fliplr": augmentation.flip_horizontal,
        "mosaic": augmentation.mosaic,
        "close_mosaic": 0,
    }


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of a run directory; DataError if there is none."""
    path = out / RUN_FILE
    if not path.exists():
        raise DataError(path, "is missing: run the step `train` first")
    run: dict[str, Any] = json.loads(path.read_text())
    return run


def count_epochs(out: Path) -> int:
    """How many epochs a run has finished."""
    return len((out / RESULTS).read_text().splitlines()) - 1


def draw_curves(results: Path, path: Path) -> None:
    """Losses and validation figures by epoch, from Ultralytics' results.csv, as a PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    with results.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    epochs = [float(row["epoch"]) for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, figures = figure.subplots(1, 2)
    # The third loss is another in YOLO26, which has no distribution over distances.
    for name in [key.removeprefix("train/") for key in rows[0] if key.startswith("train/")]:
        line = losses.plot(epochs, [float(row[f"train/{name}"]) for row in rows], label=name)[0]
        losses.plot(*_judged(rows, f"val/{name}"), linestyle="--", color=line.get_color())
    losses.set(xlabel="epoch", ylabel="loss (dashed: validation)")
    losses.legend()
    for name in ("mAP50(B)", "mAP50-95(B)"):
        figures.plot(*_judged(rows, f"metrics/{name}"), label=name[:-3])
    figures.set(xlabel="epoch", ylabel="validation patients")
    figures.legend()
    figure.savefig(path, dpi=120)


def _judged(rows: list[dict[str, str]], name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of a figure, without the epochs that were not judged."""
    known = [(float(r["epoch"]), float(r[name])) for r in rows if not math.isnan(float(r[name]))]
    return [epoch for epoch, _ in known], [value for _, value in known]


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


def _write_run_files(
    config: DetectorConfig,
    annotations: Annotations,
    start: FittingStart | None,
    out: Path,
    *,
    command: str,
    commit: str,
) -> None:
    recipe = config.model_dump(mode="json")
    (out / CONFIG_FILE).write_text(yaml.safe_dump(recipe, sort_keys=False))
    write_splits(annotations.splits, out / "splits.csv")
    run = {
        "command": command,
        "commit": commit,
        "start": None if start is None else start.facts,
        "split_sha256": split_sha256(annotations.splits),
        "n_train": len(annotations.of(Split.TRAIN)),
        "n_background": _count(annotations, "background"),
        "n_labelled": _count(annotations, "labelled"),
        "n_validation": len(annotations.of(Split.VALIDATION)),
    }
    write_json(out / RUN_FILE, run)


def _count(annotations: Annotations, source: str) -> int:
    return sum(image.source == source for image in annotations.images)


def _pretrain(
    network: Any, config: DetectorConfig, sources: Sources, device: str, out: Path
) -> "dict[str, Any]":
    """The backbone's tensors; what they know of labels goes into `run.json`."""
    import torch

    from cxr_training.detector.pretraining import pretrain

    where = torch.device("cpu" if device == "cpu" else f"cuda:{device}")
    pretrained = pretrain(network, config, sources.nih, where)
    write_json(out / RUN_FILE, {**read_run(out), "pretraining": pretrained.facts})
    return pretrained.tensors


def _run_ultralytics(
    config: DetectorConfig,
    data_file: Path,
    out: Path,
    device: str,
    *,
    start: "dict[str, Any]",
    state: "RunState | None" = None,
    lines: str = "",
) -> None:
    prepare_ultralytics()
    from cxr_training.core.cpu import denormals_flushed
    from cxr_training.detector.trainer import DetectorTrainer

    # The epochs that are left must not draw what the first ones drew.
    seed = config.seed + (state.epochs if state else 0)
    trainer = DetectorTrainer(
        ultralytics_overrides(config, data_file, out, device, seed=seed),
        config,
        start,
        half_on_cpu=device == "cpu" and computes_in_bfloat16(config, device),
        state=state,
    )
    # Ultralytics begins by removing the lines of an earlier run.
    if lines:
        (out / RESULTS).write_text(lines)
    with denormals_flushed():
        trainer.train()
