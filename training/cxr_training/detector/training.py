"""One training run: from the data sets to a run directory with weights and curves.

The directory holds `config.yaml` (the resolved recipe), `run.json` (command, commit, split and
counts), `splits.csv`, `dataset/` (in Ultralytics' layout), `train/results.csv` (a line for each
epoch), `train/last.safetensors`, `train/best.safetensors` and `curves.png`.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cxr_detector.network import prepare_ultralytics
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, split_sha256, write_splits
from cxr_training.detector.annotations import Annotations, read_annotations
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import write_dataset

RESULTS = "train/results.csv"
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the data lies."""

    nih: Path
    chestxdet: Path

    def read(self, config: DetectorConfig) -> Annotations:
        """Both sets as one list; DataError as `read_annotations`."""
        return read_annotations(
            self.nih,
            self.chestxdet,
            merge_iou=config.merge_iou,
            background_images=config.background_images,
            seed=config.seed,
        )


def train(
    config: DetectorConfig,
    sources: Sources,
    coco_start: Path,
    out: Path,
    *,
    command: str,
    commit: str,
) -> None:
    """Train into the run directory `out`.

    Raises:
        DataError: the data is not as published, or there is no start; before the first epoch.
    """
    if not coco_start.exists():
        raise DataError(coco_start, "is missing (the network's start, a safetensors state dict)")
    annotations = sources.read(config)
    out.mkdir(parents=True, exist_ok=True)
    _write_run_files(config, annotations, out, command=command, commit=commit)
    data_file = write_dataset(annotations, out / "dataset", config.input_spec())
    _run_ultralytics(config, data_file, coco_start, out)
    draw_curves(out / RESULTS, out / "curves.png")


def ultralytics_overrides(config: DetectorConfig, data_file: Path, out: Path) -> dict[str, Any]:
    """The recipe in Ultralytics' terms."""
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
        "time": config.hours,
        "batch": config.batch,
        # One step for each batch: a small batch with more steps learns faster from 2,500 images.
        "nbs": config.batch,
        "seed": config.seed,
        "device": "cpu",
        "workers": 0,
        "plots": False,
        "patience": 10_000,
        # Ultralytics' own switch is for GPUs; DetectorTrainer has its own.
        "amp": False,
        "optimizer": optimizer.name,
        "lr0": optimizer.learning_rate,
        "lrf": optimizer.final_fraction,
        "cos_lr": True,
        "weight_decay": optimizer.weight_decay,
        "warmup_epochs": optimizer.warmup_epochs,
        "warmup_bias_lr": optimizer.learning_rate,
        "hsv_h": 0.0,
        "hsv_s": 0.0,
        "hsv_v": augmentation.brightness,
        "degrees": augmentation.degrees,
        "translate": augmentation.translate,
        "scale": augmentation.scale,
        "flipud": 0.0,
        "fliplr": augmentation.flip_horizontal,
        "mosaic": augmentation.mosaic,
        "close_mosaic": augmentation.close_mosaic_epochs,
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
    for name in ("box_loss", "cls_loss", "dfl_loss"):
        line = losses.plot(epochs, [float(row[f"train/{name}"]) for row in rows], label=name)[0]
        validation = [float(row[f"val/{name}"]) for row in rows]
        losses.plot(epochs, validation, linestyle="--", color=line.get_color())
    losses.set(xlabel="epoch", ylabel="loss (dashed: validation)")
    losses.legend()
    for name in ("mAP50(B)", "mAP50-95(B)"):
        figures.plot(epochs, [float(row[f"metrics/{name}"]) for row in rows], label=name[:-3])
    figures.set(xlabel="epoch", ylabel="validation patients")
    figures.legend()
    figure.savefig(path, dpi=120)


def _write_run_files(
    config: DetectorConfig, annotations: Annotations, out: Path, *, command: str, commit: str
) -> None:
    recipe = config.model_dump(mode="json")
    (out / "config.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    write_splits(annotations.splits, out / "splits.csv")
    run = {
        "command": command,
        "commit": commit,
        "split_sha256": split_sha256(annotations.splits),
        "n_train": len(annotations.of(Split.TRAIN)),
        "n_background": sum(image.source == "background" for image in annotations.images),
        "n_validation": len(annotations.of(Split.VALIDATION)),
    }
    (out / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n")


def _run_ultralytics(config: DetectorConfig, data_file: Path, start: Path, out: Path) -> None:
    prepare_ultralytics()
    from safetensors.torch import load_file

    from cxr_training.detector.trainer import DetectorTrainer

    # An earlier run's lines would stand above this one's.
    shutil.rmtree(out / "train", ignore_errors=True)
    trainer = DetectorTrainer(
        ultralytics_overrides(config, data_file, out), load_file(start), config.augmentation
    )
    trainer.train()
