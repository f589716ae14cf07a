"""The training loop: AdamW, a cosine over the budget, averaged weights, checkpoints, resume."""

import copy
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cxr_classifier.network import CamNetwork
from cxr_training.classifier.cache import CanonicalImages
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loading import evaluation_batches, training_batches
from cxr_training.classifier.losses import element_loss, judged_loss
from cxr_training.classifier.samples import LABELS, Samples, judged_targets
from cxr_training.classifier.schedule import Schedule
from cxr_training.data.splits import Split
from cxr_training.evaluation.metrics import auroc
from cxr_training.runs import append_metrics

RowArray = np.ndarray[Any, np.dtype[np.intp]]
LogitArray = np.ndarray[Any, np.dtype[np.float32]]
BEST = "best.pt"
LAST = "last.pt"


@dataclass
class Progress:
    """Where a run stands; goes into the checkpoint."""

    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    best_auroc: float = -math.inf


@dataclass
class Trainer:
    """One run: the network, its average, the optimiser, and the folder that it writes into."""

    config: ClassifierConfig
    network: CamNetwork
    samples: Samples
    images: CanonicalImages
    folder: Path
    device: torch.device
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        training = self.config.training
        self.optimiser = torch.optim.AdamW(
            _decay_groups(self.network, training.weight_decay), lr=training.learning_rate
        )
        self.label_weights = torch.tensor(
            [rule.weight if (rule := training.within_source.get(x)) else 1.0 for x in LABELS],
            device=self.device,
        )
        rows = self.samples.rows(Split.TRAIN)
        targets = judged_targets(self.samples, self.config.judged_on)[rows]
        self.loss = element_loss(training.loss, torch.from_numpy(targets))
        # Batches are all of one size, so one compilation serves; only training uses it.
        self.forward = torch.compile(self.network) if training.compile else self.network
        # The last, smaller batch of an epoch is left out (see `training_batches`).
        self.schedule = Schedule.of(training, max(1, len(rows) // training.batch_size))

    def run(self) -> None:
        """Train to the end of the budget, from wherever `progress` stands."""
        while self.progress.epoch < self.config.training.epochs and not self._is_over():
            row = self._train_epoch()
            self.progress.epoch += 1
            row |= self._validate()
            append_metrics(self.folder / "metrics.jsonl", row)
            tqdm.write(_line(row))
            if row["val_auroc_mean"] > self.progress.best_auroc:
                self.progress.best_auroc = row["val_auroc_mean"]
                self.save(BEST)
            self.save(LAST)

    def save(self, name: str) -> None:
        """Write a checkpoint, whole or not at all."""
        target = self.folder / name
        partial = target.with_suffix(".partial")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "progress": vars(self.progress),
            },
            partial,
        )
        partial.rename(target)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of this configuration."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**state["progress"])

    def _is_over(self) -> bool:
        return self.schedule.spent(self.progress.step, self.progress.elapsed_s) >= 1

    def _learning_rate(self) -> float:
        return self.schedule.learning_rate(self.progress.step, self.progress.elapsed_s)

    def _train_epoch(self) -> dict[str, Any]:
        self.network.train()
        started, total, seen = time.monotonic(), 0.0, 0
        batches = training_batches(self.samples, self.images, self.config, self.progress.epoch)
        bar = tqdm(batches, desc=f"epoch {self.progress.epoch + 1}", unit="batch", mininterval=10)
        before_s = self.progress.elapsed_s
        for image, target in bar:
            loss = self._step(image.to(self.device), target.to(self.device))
            total += loss * len(image)
            seen += len(image)
            self.progress.elapsed_s = before_s + time.monotonic() - started
            bar.set_postfix(loss=f"{total / seen:.4f}", refresh=False)
            if self._is_over():
                break
        return {
            "epoch": self.progress.epoch + 1,
            "step": self.progress.step,
            "learning_rate": self._learning_rate(),
            "train_loss": total / seen,
            "images_per_s": seen / (time.monotonic() - started),
            "elapsed_s": self.progress.elapsed_s,
        }

    def _step(self, image: Tensor, target: Tensor) -> float:
        training = self.config.training
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, _ = self.forward(image)
        loss = judged_loss(logits.float(), target, self.label_weights, self.loss)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.progress.step}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), training.gradient_clip)
        self.optimiser.step()
        self.progress.step += 1
        update_average(self.average, self.network, training.ema_decay, self.progress.step)
        return float(loss.item())

    def _validate(self) -> dict[str, Any]:
        rows = self.samples.rows(Split.VALIDATION)
        started = time.monotonic()
        logits = infer(self.average, self.images, rows, self.config, device=self.device)
        self.progress.elapsed_s += time.monotonic() - started
        targets = self.samples.targets[rows]
        areas = {label.value: auroc(targets[:, i], logits[:, i]) for i, label in enumerate(LABELS)}
        within = self._within_source(rows, logits)
        judged = torch.from_numpy(judged_targets(self.samples, self.config.judged_on)[rows])
        loss = judged_loss(torch.from_numpy(logits), judged, self.label_weights.cpu())
        few = self.config.evaluation.min_positives
        return {
            "val_loss": float(loss),
            "val_auroc_mean": mean_auroc(targets, areas | within, few),
            "val_auroc": _without_nan(areas),
            "val_auroc_within_source": _without_nan(within),
        }

    def _within_source(self, rows: RowArray, logits: LogitArray) -> dict[str, float]:
        """AUROC of the labels that are learned within a source, there."""
        found: dict[str, float] = {}
        for label, sources in self.config.judged_on.items():
            inside = np.isin(self.samples.sources[rows], sources)
            column = LABELS.index(label)
            targets = self.samples.targets[rows][inside, column]
            found[label.value] = auroc(targets, logits[inside, column])
        return found


def mean_auroc(targets: LogitArray, areas: dict[str, float], min_positives: int) -> float:
    """The mean over labels with enough positives to say anything; over all if none has."""
    counts = targets.sum(axis=0)
    enough = [a for a, n in zip(areas.values(), counts, strict=True) if n >= min_positives]
    return float(np.nanmean(enough or list(areas.values())))


def infer(
    network: CamNetwork,
    images: CanonicalImages,
    rows: RowArray,
    config: ClassifierConfig,
    *,
    device: torch.device,
    coarsen_to_px: int | None = None,
    mirrored: bool = False,
) -> LogitArray:
    """Logits float32 [len(rows), 14] of canonical images, at a lower sharpness or mirrored."""
    batches = evaluation_batches(images, rows, config, coarsen_to_px)
    with torch.inference_mode():
        shown = (batch.flip(3) if mirrored else batch for batch in batches)
        logits = [network(batch.to(device))[0].float().cpu().numpy() for batch in shown]
    return np.concatenate(logits)


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`: an exponential moving average, short at first."""
    # Early on the average must not cling to the random head.
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        theirs = network.state_dict()
        for name, mine in average.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], 1 - decay)
            else:
                mine.copy_(theirs[name])


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def _without_nan(areas: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(area) else area for name, area in areas.items()}


def _line(row: dict[str, Any]) -> str:
    return (
        f"epoch {row['epoch']}: train loss {row['train_loss']:.4f}, "
        f"validation loss {row['val_loss']:.4f}, mean AUROC {row['val_auroc_mean']:.4f}, "
        f"{row['images_per_s']:.1f} images/s, {row['elapsed_s'] / 60:.1f} min"
    )
