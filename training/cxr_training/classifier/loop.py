"""The training loop: AdamW, a cosine over the budget, averaged weights, checkpoints, resume."""

import copy
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from cxr_classifier.network import CamClassifier, CamNetwork
from cxr_contracts import Finding
from cxr_training.classifier.config import ClassifierConfig, Training, WithinSource
from cxr_training.classifier.curves import draw_curves
from cxr_training.classifier.loading import Batch, evaluation_batches, training_loader
from cxr_training.classifier.samples import LABELS, MASKED, RowArray, Samples, masked_targets
from cxr_training.core.averaging import update_average
from cxr_training.core.checkpoints import (
    random_state,
    read_checkpoint,
    set_random_state,
    write_checkpoint,
)
from cxr_training.core.distributed import Processes, average_statistics, parallel, synchronised
from cxr_training.core.errors import RunError
from cxr_training.core.runs import append_metrics
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.splits import Split
from cxr_training.metrics.classification import auroc

LogitArray = npt.NDArray[np.float32]
BEST, LAST = "best.pt", "last.pt"
METRICS, CURVES = "metrics.jsonl", "curves.png"
# A GPU works on while nobody asks for the losses; a CPU has nothing to gain by it.
_STEPS_UNREAD = 20


@dataclass
class Progress:
    """Where a run stands; goes into the checkpoint."""

    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    best_auroc: float = -math.inf
    # Of the epoch under way: batches done, and over their images the sum of the losses.
    batch: int = 0
    images: int = 0
    loss_sum: float = 0.0

    def begin_next_epoch(self) -> None:
        """An epoch is over."""
        self.epoch += 1
        self.batch, self.images, self.loss_sum = 0, 0, 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run ends after its steps or its time, and its learning rate falls to zero with either.

    timm's schedules know steps alone. A machine shared with others is slower than planned; a
    cosine over steps would then be cut off at a high rate, which costs more than missing steps.
    """

    steps: int
    limit_s: float | None
    peak: float
    warmup: float

    @classmethod
    def of(cls, training: Training, steps_per_epoch: int) -> "Schedule":
        """The schedule of a configuration."""
        limit_s = None if training.max_minutes is None else training.max_minutes * 60
        steps = training.epochs * steps_per_epoch
        return cls(steps, limit_s, training.learning_rate, training.warmup_fraction)

    def spent(self, step: int, elapsed_s: float) -> float:
        """The part of the budget that is used, 0 to 1: by steps or time, whichever is further."""
        by_time = 0.0 if self.limit_s is None else elapsed_s / self.limit_s
        return min(max(step / self.steps, by_time), 1.0)

    def learning_rate(self, step: int, elapsed_s: float) -> float:
        """Of the step that comes next: a linear warm-up, then half a cosine to zero."""
        spent = self.spent(step, elapsed_s)
        if spent < self.warmup:
            # The first step must not be lost to a rate of zero.
            return self.peak * min(max(spent, (step + 1) / self.steps) / self.warmup, 1.0)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (spent - self.warmup) / (1 - self.warmup)))


def masked_loss(logits: Tensor, targets: Tensor, label_weights: Tensor) -> Tensor:
    """Mean binary cross-entropy, weighted by label [L], nothing where a target is `MASKED`."""
    each = functional.binary_cross_entropy_with_logits(
        logits, targets.clamp(min=0.0), reduction="none"
    )
    return (each * (targets != MASKED) * label_weights).mean()


@dataclass
class Trainer:
    """One run: the network, its average, the optimiser, and the folder that it writes into."""

    config: ClassifierConfig
    network: CamNetwork
    samples: Samples
    images: CanonicalImages
    folder: Path
    processes: Processes = field(default_factory=Processes)
    prefix: str | None = ""
    """Before each line that a person sees; None shows nothing."""
    position: int = 0
    """Of the bar among several processes'."""

    def __post_init__(self) -> None:
        training = self.config.training
        self.device, self.progress = self.processes.device, Progress()
        self.loader, self.batches = training_loader(
            self.samples, self.images, self.config, self.device, self.processes
        )
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.network.backbone = synchronised(self.network.backbone, self.processes)
        self.optimiser = torch.optim.AdamW(
            param_groups_weight_decay(self.network, training.weight_decay),
            lr=training.learning_rate,
        )
        self.label_weights = _label_weights(training.within_source_in(1), self.device)
        spec = self.config.input
        blank = torch.zeros(1, spec.channels, spec.height_px, spec.width_px, device=self.device)
        shared = parallel(self.network, self.processes, blank)
        # Batches are all of one size, so one compilation serves; only training uses it.
        self.forward = torch.compile(shared) if training.compile else shared
        self.schedule = Schedule.of(training, self.batches.n_batches)

    def run(self) -> None:
        """Train to the end of the budget, from wherever `progress` stands.

        Raises:
            RunError: the loss is not finite any more.
        """
        while self.progress.epoch < self.config.training.epochs and not self._is_over():
            row = self._train_epoch()
            self.progress.begin_next_epoch()
            row |= self._validate()
            if self.processes.is_first:
                append_metrics(self.folder / METRICS, row)
                draw_curves([self.folder / METRICS], self.folder / CURVES)
                if self.prefix is not None:
                    tqdm.write(self.prefix + _line(row))
            names = [LAST]
            if row["val_auroc_mean"] > self.progress.best_auroc:
                self.progress.best_auroc = row["val_auroc_mean"]
                names.append(BEST)
            self.save(*names)

    def save(self, *names: str) -> None:
        """Write checkpoints, each whole or not at all; all processes take part."""
        loss_sum, images = self._epoch_sums()
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": vars(self.progress) | {"loss_sum": loss_sum, "images": images},
            "random": self.processes.gathered(random_state()),
        }
        if self.processes.is_first:
            for name in names:
                write_checkpoint(self.folder / name, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of this configuration, to the losses of an unbroken run.

        With another number of processes than before, dropout takes other paths.

        Raises:
            RunError: the file is no checkpoint, or of another network.
        """
        state = read_checkpoint(path)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{path} is of another network than configured: {error}") from error
        self.progress = Progress(**state["progress"])
        if not self.processes.is_first:
            # The first process goes on with the sums of all.
            self.progress.loss_sum, self.progress.images = 0.0, 0
        for state_of_one in state["random"][self.processes.rank :][:1]:
            set_random_state(state_of_one)

    def _is_over(self) -> bool:
        return self.schedule.spent(self.progress.step, self.progress.elapsed_s) >= 1

    def _learning_rate(self) -> float:
        return self.schedule.learning_rate(self.progress.step, self.progress.elapsed_s)

    def _train_epoch(self) -> dict[str, Any]:
        self.network.train()
        rules = self.config.training.within_source_in(self.progress.epoch + 1)
        self.label_weights = _label_weights(rules, self.device)
        began, before_s = time.monotonic(), self.progress.elapsed_s
        saved_s, self.waited_s, seen = before_s, 0.0, 0
        unread: list[tuple[Tensor, int]] = []
        for image, target in self._batches_left():
            unread.append((self.step(image, target), len(image)))
            self.progress.batch += 1
            seen += len(image)
            self.progress.elapsed_s = self.processes.agreed(before_s + time.monotonic() - began)
            if self.device.type == "cpu" or len(unread) >= _STEPS_UNREAD:
                self._read(unread)
            if self._is_over():
                break
            if self.progress.elapsed_s - saved_s >= self.config.training.checkpoint_minutes * 60:
                saved_s = self.progress.elapsed_s
                self._read(unread)
                self.save(LAST)
        self._read(unread)
        loss_sum, images = self._epoch_sums()
        seconds = max(time.monotonic() - began, 1e-9)
        return {
            "epoch": self.progress.epoch + 1,
            "step": self.progress.step,
            "learning_rate": self._learning_rate(),
            "train_loss": loss_sum / images,
            "images_per_s": seen * self.processes.size / seconds,
            "data_wait_share": self.waited_s / seconds,
            "elapsed_s": self.progress.elapsed_s,
        }

    def _epoch_sums(self) -> tuple[float, int]:
        """Of the epoch under way: the sum of the losses over its images, and their number."""
        own = torch.tensor([self.progress.loss_sum, self.progress.images], dtype=torch.float64)
        loss_sum, images = self.processes.total(own).tolist()
        return loss_sum, int(images)

    def _batches_left(self) -> Iterator[Batch]:
        """The batches that the epoch under way still has, with a bar that counts images."""
        self.batches.start(self.progress.epoch, self.progress.batch)
        size = self.batches.share * self.processes.size
        at_terminal = sys.stderr.isatty()
        with tqdm(
            desc=f"{self.prefix}epoch {self.progress.epoch + 1}",
            unit="image",
            initial=self.progress.batch * size,
            total=self.batches.n_batches * size,
            # A log file wants fewer lines than a person at a terminal, and has no line above.
            mininterval=0.5 if at_terminal else 10,
            position=self.position if at_terminal else None,
            disable=self.prefix is None or not self.processes.is_first,
        ) as bar:
            asked = time.monotonic()
            for batch in self.loader:
                self.waited_s += time.monotonic() - asked
                try:
                    yield batch
                finally:  # also after the batch at which the budget ends
                    bar.set_postfix_str(self._standing(), refresh=False)
                    bar.update(size)
                asked = time.monotonic()

    def _standing(self) -> str:
        mean = self.progress.loss_sum / max(1, self.progress.images)
        spent = self.schedule.spent(self.progress.step, self.progress.elapsed_s)
        if not spent:
            return f"loss {mean:.4f}"
        left_s = self.progress.elapsed_s * (1 - spent) / spent
        return f"loss {mean:.4f}, run {tqdm.format_interval(left_s)} left"

    def _read(self, unread: list[tuple[Tensor, int]]) -> None:
        """Add the losses of some steps to the epoch's.

        Raises:
            RunError: one of them, or the gradient, is not finite.
        """
        first = self.progress.step - len(unread) + 1
        values = torch.stack([values for values, _ in unread]).tolist() if unread else []
        for offset, ((loss, norm), (_, n_images)) in enumerate(zip(values, unread, strict=True)):
            if not math.isfinite(norm):
                # Gradients are shared, so all processes have come here.
                self.processes.fail(self._diverged(first + offset, loss, norm))
            if not math.isfinite(loss):
                raise self._diverged(first + offset, loss, norm)
            self.progress.loss_sum += loss * n_images
            self.progress.images += n_images
        unread.clear()

    def _diverged(self, step: int, loss: float, norm: float) -> RunError:
        last = self.folder / LAST
        kept = f"{last} is as it was before" if last.exists() else "there is no checkpoint yet"
        return RunError(
            f"the loss is {loss} and its gradient's norm {norm} at step {step}, in epoch "
            f"{self.progress.epoch + 1}: training stopped, {kept}. Lower training.learning_rate "
            "or training.gradient_clip"
        )

    def step(self, image: Tensor, target: Tensor) -> Tensor:
        """Train on a batch; its loss and the norm of the gradient before clipping, [2]."""
        training = self.config.training
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        # Copies out of pinned memory go on while the GPU still works on the batch before.
        image = image.to(self.device, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, _ = self.forward(image)
        loss = masked_loss(logits.float(), target, self.label_weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), training.gradient_clip)
        self.optimiser.step()
        average_statistics(self.network, self.processes)
        self.progress.step += 1
        update_average(self.average, self.network, training.ema_decay, self.progress.step)
        return torch.stack([loss.detach(), norm])

    def _validate(self) -> dict[str, Any]:
        rows = self.samples.rows(Split.VALIDATION)
        began, before_s = time.monotonic(), self.progress.elapsed_s
        logits = self.validation_logits(rows)
        self.progress.elapsed_s = self.processes.agreed(before_s + time.monotonic() - began)
        targets = self.samples.targets[rows]
        areas = {label.value: auroc(targets[:, i], logits[:, i]) for i, label in enumerate(LABELS)}
        within = self._within_source(rows, logits)
        masked = torch.from_numpy(masked_targets(self.samples, self.config.sources_by_label)[rows])
        weights = _label_weights(self.config.training.within_source, torch.device("cpu"))
        return {
            "val_loss": float(masked_loss(torch.from_numpy(logits), masked, weights)),
            "val_auroc_mean": mean_auroc(
                targets, areas | within, self.config.evaluation.min_positives
            ),
            "val_auroc": _without_nan(areas),
            "val_auroc_within_source": _without_nan(within),
        }

    def validation_logits(self, rows: RowArray) -> LogitArray:
        """Of the averaged weights, [len(rows), 14]; each process reads its share."""
        mine = slice(self.processes.rank, None, self.processes.size)
        own = infer(self.average, self.images, rows[mine], self.config, device=self.device)
        logits = torch.zeros(len(rows), len(LABELS))
        logits[mine] = torch.from_numpy(own)
        return self.processes.total(logits).numpy()

    def _within_source(self, rows: RowArray, logits: LogitArray) -> dict[str, float]:
        """AUROC of the labels that are learned within a source, there."""
        found: dict[str, float] = {}
        for label, sources in self.config.sources_by_label.items():
            inside = np.isin(self.samples.sources[rows], sources)
            column = LABELS.index(label)
            targets = self.samples.targets[rows][inside, column]
            found[label.value] = auroc(targets, logits[inside, column])
        return found


def _label_weights(rules: dict[Finding, WithinSource], device: torch.device) -> Tensor:
    weights = [rule.weight if (rule := rules.get(label)) else 1.0 for label in LABELS]
    return torch.tensor(weights, device=device)


def mean_auroc(targets: LogitArray, areas: dict[str, float], min_positives: int) -> float:
    """The mean over labels with enough positives to say anything; over all if none has."""
    counts = targets.sum(axis=0)
    enough = [a for a, n in zip(areas.values(), counts, strict=True) if n >= min_positives]
    return float(np.nanmean(enough or list(areas.values())))


def infer(
    network: CamClassifier,
    images: CanonicalImages,
    rows: RowArray,
    config: ClassifierConfig,
    *,
    device: torch.device,
    coarsen_to_px: int | None = None,
) -> LogitArray:
    """Logits float32 [len(rows), 14] of canonical images, perhaps at a lower sharpness."""
    found = [np.zeros((0, len(LABELS)), np.float32)]
    with torch.inference_mode():
        for batch in evaluation_batches(images, rows, config, coarsen_to_px, device):
            logits, _ = network(batch.to(device, non_blocking=True))
            found.append(logits.float().cpu().numpy())
    return np.concatenate(found)


def _without_nan(areas: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(area) else area for name, area in areas.items()}


def _line(row: dict[str, Any]) -> str:
    return (
        f"epoch {row['epoch']}: train loss {row['train_loss']:.4f}, "
        f"validation loss {row['val_loss']:.4f}, mean AUROC {row['val_auroc_mean']:.4f}, "
        f"{row['images_per_s']:.1f} images/s, {row['data_wait_share']:.0%} of the time waiting "
        f"for data, {row['elapsed_s'] / 60:.1f} min"
    )
