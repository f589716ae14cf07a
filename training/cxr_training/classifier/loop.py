"""The training loop: AdamW, a cosine over the steps, averaged weights, checkpoints, resume."""

import copy
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from timm.models import group_parameters
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from timm.scheduler import CosineLRScheduler  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from cxr_classifier.network import CamNetwork
from cxr_training.classifier.config import ClassifierConfig, Training
from cxr_training.classifier.loading import Batch, evaluation_batches, training_loader
from cxr_training.classifier.losses import auxiliary_loss, label_weights, masked_loss, pointing_loss
from cxr_training.classifier.samples import RowArray, Samples, masked_targets
from cxr_training.classifier.supervision import Supervision
from cxr_training.core.checkpoints import (
    random_state,
    read_checkpoint,
    set_random_state,
    update_average,
    write_checkpoint,
)
from cxr_training.core.errors import RunError
from cxr_training.core.runs import append_metrics, read_metrics
from cxr_training.data.cache import CanonicalImages
from cxr_training.data.splits import Split
from cxr_training.metrics.classification import auroc

LogitArray = npt.NDArray[np.float32]
BEST, LAST = "best.pt", "last.pt"
METRICS, CURVES = "metrics.jsonl", "curves.png"
# A GPU works on while nobody asks for the losses; a CPU has nothing to gain by it.
_STEPS_UNREAD = 20
# To draw them takes as long as an epoch of a small data set.
_CURVES_EACH_S = 60.0
# Of the curves of members, one after another; a run of one network has the first.
_STYLES = (".-", ".--", ".:", ".-.")


@dataclass
class Progress:
    """Where a run stands; goes into the checkpoint."""

    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    best_auroc: float = -math.inf
    # Of the epoch under way: batches done, and the sums of their losses.
    batch: int = 0
    loss_sum: float = 0.0
    auxiliary_sum: float = 0.0
    pointing_sum: float = 0.0

    def next_epoch(self) -> None:
        """The epoch under way is done."""
        self.epoch += 1
        self.batch, self.loss_sum, self.auxiliary_sum, self.pointing_sum = 0, 0.0, 0.0, 0.0


def training_device() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learning_rates(
    optimiser: torch.optim.Optimizer, training: Training, steps: int
) -> CosineLRScheduler:
    """Of `steps` steps: a linear warm-up, then half a cosine to zero; follows from the step."""
    warmup = int(steps * training.warmup_fraction)
    return CosineLRScheduler(
        optimiser,
        t_initial=steps - warmup,
        warmup_t=warmup,
        # The first step must not be lost to a rate of zero.
        warmup_lr_init=training.learning_rate / max(1, warmup),
        warmup_prefix=True,
        t_in_epochs=False,
    )


@dataclass
class Trainer:
    """One run: the network, its average, the optimiser, and the folder that it writes into."""

    config: ClassifierConfig
    network: CamNetwork
    samples: Samples
    images: CanonicalImages
    folder: Path
    prefix: str | None = ""
    """Before each line that a person sees; None shows nothing."""
    supervision: Supervision | None = None
    """What the recipe's section `supervision` weighs; None where it has none."""

    def __post_init__(self) -> None:
        training = self.config.training
        if (training.supervision is None) != (self.supervision is None):
            raise ValueError("a recipe has `supervision` where, and only where, its trainer has")
        self.device, self.progress = training_device(), Progress()
        trained, cells = nn.ModuleList([self.network]), 0
        self.auxiliary: nn.Linear | None = None
        self.usual_places: Tensor | None = None
        if self.supervision is not None:
            width, cells = _feature_shape(self.network, self.config)
            # Thrown away after the training.
            self.auxiliary = nn.Linear(width, self.supervision.targets.shape[1]).to(self.device)
            self.usual_places = self.supervision.usual_places(cells).to(self.device)
            trained.append(self.auxiliary)
        self.loader, self.batches = training_loader(
            self.samples,
            self.images,
            self.config,
            self.device,
            supervision=self.supervision,
            cells=cells,
        )
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.frozen = frozen_modules(self.network, training.frozen_stages)
        self.parameters = [x for x in trained.parameters() if x.requires_grad]
        self.optimiser = torch.optim.AdamW(
            param_groups_weight_decay(trained, training.weight_decay),
            lr=training.learning_rate,
        )
        self.label_weights = label_weights(self.samples, training, epoch=1).to(self.device)
        self.steps = training.epochs * self.batches.n_batches
        self.rates = learning_rates(self.optimiser, training, self.steps)

    def run(self) -> None:
        """Train to the last epoch, from wherever `progress` stands.

        Raises:
            RunError: the loss is not finite any more.
        """
        drawn = time.monotonic()
        while self.progress.epoch < self.config.training.epochs:
            row = self._train_epoch()
            self.progress.next_epoch()
            row |= self._validate()
            append_metrics(self.folder / METRICS, row)
            is_last = self.progress.epoch == self.config.training.epochs
            if is_last or time.monotonic() - drawn > _CURVES_EACH_S:
                drawn = time.monotonic()
                draw_curves([self.folder / METRICS], self.folder / CURVES)
            if self.prefix is not None:
                tqdm.write(self.prefix + _line(row))
            names = [LAST]
            if row["val_auroc_mean"] > self.progress.best_auroc:
                self.progress.best_auroc = row["val_auroc_mean"]
                names.append(BEST)
            self.save(*names)

    def save(self, *names: str) -> None:
        """Write checkpoints, each whole or not at all."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": vars(self.progress),
            "random": random_state(),
        }
        if self.auxiliary is not None and self.usual_places is not None:
            state["auxiliary"] = self.auxiliary.state_dict()
            state["usual_places"] = self.usual_places.cpu()
        for name in names:
            write_checkpoint(self.folder / name, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of this configuration, to the losses of an unbroken run.

        Raises:
            RunError: the file is no checkpoint, or of another network.
        """
        state = read_checkpoint(path)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.auxiliary is not None:
                self.auxiliary.load_state_dict(state["auxiliary"])
            self.progress = Progress(**state["progress"])
            set_random_state(state["random"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(f"{path} is of another network than configured: {error}") from error

    def _train_epoch(self) -> dict[str, Any]:
        self.network.train()
        for module in self.frozen:
            module.eval()
        weights = label_weights(self.samples, self.config.training, self.progress.epoch + 1)
        self.label_weights = weights.to(self.device)
        began, before_s = time.monotonic(), self.progress.elapsed_s
        saved_s, self.waited_s, seen = before_s, 0.0, 0
        unread: list[Tensor] = []
        for batch in self._batches_left():
            unread.append(self.step(batch))
            self.progress.batch += 1
            seen += len(batch.image)
            self.progress.elapsed_s = before_s + time.monotonic() - began
            is_time = (
                self.progress.elapsed_s - saved_s >= self.config.training.checkpoint_minutes * 60
            )
            if self.device.type == "cpu" or len(unread) >= _STEPS_UNREAD or is_time:
                self._read(unread)
            if is_time:
                saved_s = self.progress.elapsed_s
                self.save(LAST)
        self._read(unread)
        seconds, done = max(time.monotonic() - began, 1e-9), self.progress.batch
        beside = {
            "train_auxiliary_loss": self.progress.auxiliary_sum / done,
            "train_pointing_loss": self.progress.pointing_sum / done,
        }
        return {
            "epoch": self.progress.epoch + 1,
            "step": self.progress.step,
            "learning_rate": self._learning_rate(),
            "train_loss": self.progress.loss_sum / done,
            **(beside if self.supervision is not None else {}),
            "images_per_s": seen / seconds,
            "data_wait_share": self.waited_s / seconds,
            "elapsed_s": self.progress.elapsed_s,
        }

    def _learning_rate(self) -> float:
        """Of the step that comes next."""
        self.rates.step_update(self.progress.step)
        rate: float = self.optimiser.param_groups[0]["lr"]
        return rate

    def _batches_left(self) -> Iterator[Batch]:
        """The batches that the epoch under way still has, with a bar that counts images."""
        self.batches.start(self.progress.epoch, self.progress.batch)
        size = self.batches.size
        with tqdm(
            desc=f"{self.prefix}epoch {self.progress.epoch + 1}",
            unit="image",
            initial=self.progress.batch * size,
            total=self.batches.n_batches * size,
            # A log file wants fewer lines than a person at a terminal.
            mininterval=0.5 if sys.stderr.isatty() else 10,
            disable=self.prefix is None,
        ) as bar:
            asked = time.monotonic()
            for batch in self.loader:
                self.waited_s += time.monotonic() - asked
                yield batch
                bar.set_postfix_str(self._standing(), refresh=False)
                bar.update(size)
                asked = time.monotonic()

    def _standing(self) -> str:
        done, mean = self.progress.step, self.progress.loss_sum / max(1, self.progress.batch)
        left_s = self.progress.elapsed_s * (self.steps - done) / done
        return f"loss {mean:.4f}, run {tqdm.format_interval(left_s)} left"

    def _read(self, unread: list[Tensor]) -> None:
        """Add the losses of some steps to the epoch's.

        Raises:
            RunError: one of them, or its gradient, is not finite.
        """
        for place, values in enumerate(unread):
            loss, norm, auxiliary, pointing = values.tolist()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                last = self.folder / LAST
                kept = (
                    f"{last} is as it was before" if last.exists() else "there is no checkpoint yet"
                )
                raise RunError(
                    f"the loss is {loss} and its gradient's norm {norm} at step "
                    f"{self.progress.step - len(unread) + 1 + place}, in epoch "
                    f"{self.progress.epoch + 1}: training stopped, {kept}. Lower "
                    "training.learning_rate or training.gradient_clip"
                )
            self.progress.loss_sum += loss
            self.progress.auxiliary_sum += auxiliary
            self.progress.pointing_sum += pointing
        unread.clear()

    def step(self, batch: Batch) -> Tensor:
        """Train on a batch.

        Returns:
            [4]: its loss, the norm of the gradient before clipping, and the parts of the loss that
            stand beside the labels', unweighted: of the auxiliary answers, and of the maps.
        """
        training = self.config.training
        self._learning_rate()
        # Copies out of pinned memory go on while the GPU still works on the batch before.
        batch = Batch(*(x.to(self.device, non_blocking=True) for x in batch))
        image = batch.image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            features = self.network.features(image)
            weight, bias = self.network.linear()
            maps = functional.conv2d(features, weight[:, :, None, None], bias)
            logits = maps.mean(dim=(2, 3))
            pooled = features.mean(dim=(2, 3))
            answers = None if self.auxiliary is None else self.auxiliary(pooled)
        loss = masked_loss(logits.float(), batch.target, self.label_weights)
        auxiliary = pointing = torch.zeros((), device=self.device)
        if answers is not None and self.usual_places is not None and training.supervision:
            auxiliary = auxiliary_loss(answers.float(), batch.auxiliary)
            pointing = pointing_loss(maps.float() + self.usual_places, batch.covered) / len(image)
            loss = loss + training.supervision.auxiliary * auxiliary
            loss = loss + training.supervision.pointing * pointing
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, training.gradient_clip)
        self.optimiser.step()
        self.progress.step += 1
        update_average(self.average, self.network, training.ema_decay, self.progress.step)
        return torch.stack([loss.detach(), norm, auxiliary.detach(), pointing.detach()])

    def _validate(self) -> dict[str, Any]:
        rows = self.samples.rows(Split.VALIDATION)
        began = time.monotonic()
        logits = self.validation_logits(rows)
        self.progress.elapsed_s += time.monotonic() - began
        targets = self.samples.targets[rows]
        areas = {
            label.value: auroc(targets[:, i], logits[:, i])
            for i, label in enumerate(self.samples.labels)
        }
        within = self._within_source(rows, logits)
        masked = torch.from_numpy(masked_targets(self.samples, self.config.sources_by_label)[rows])
        training = self.config.training
        last = max([training.epochs, *(x.from_epoch for x in training.within_source.values())])
        weights = label_weights(self.samples, training, last)
        return {
            "val_loss": float(masked_loss(torch.from_numpy(logits), masked, weights)),
            "val_auroc_mean": mean_auroc(
                targets, areas | within, self.config.evaluation.min_positives
            ),
            "val_auroc": _without_nan(areas),
            "val_auroc_within_source": _without_nan(within),
        }

    def validation_logits(self, rows: RowArray) -> LogitArray:
        """Of the averaged weights, float32 [len(rows), 14]."""
        found = [np.zeros((0, len(self.samples.labels)), np.float32)]
        with torch.inference_mode():
            for batch in evaluation_batches(self.images, rows, self.config, self.device):
                logits, _ = self.average(batch.to(self.device, non_blocking=True))
                found.append(logits.float().cpu().numpy())
        return np.concatenate(found)

    def _within_source(self, rows: RowArray, logits: LogitArray) -> dict[str, float]:
        """AUROC of the labels that are learned within a source, there."""
        found: dict[str, float] = {}
        for label, sources in self.config.sources_by_label.items():
            inside = np.isin(self.samples.sources[rows], sources)
            column = self.samples.labels.index(label)
            targets = self.samples.targets[rows][inside, column]
            found[label.value] = auroc(targets, logits[inside, column])
        return found


def frozen_modules(network: CamNetwork, stages: int) -> list[nn.Module]:
    """Freeze the stem and the first `stages` of the backbone; the modules to keep in evaluation.

    In evaluation their normalisation does not follow the batches, and no path of theirs is dropped.
    """
    if stages == 0:
        return []
    backbone = network.backbone
    # timm's own order of a backbone's parts: the stem is 0.
    matcher = backbone.group_matcher(coarse=True)  # type: ignore[operator]
    order = group_parameters(backbone, matcher, reverse=True)
    for name, parameter in backbone.named_parameters():
        if order[name] <= stages:
            parameter.requires_grad_(False)
    return [
        module
        for module in backbone.modules()
        if (own := list(module.parameters())) and not any(x.requires_grad for x in own)
    ]


def _feature_shape(network: CamNetwork, config: ClassifierConfig) -> tuple[int, int]:
    """How many features a cell has, and how many cells a side, for the recipe's input."""
    spec = config.input
    device = next(network.parameters()).device
    with torch.inference_mode():
        image = torch.zeros(1, spec.channels, spec.height_px, spec.width_px, device=device)
        _, width, _, cells = network.eval().features(image).shape
    return width, cells


def mean_auroc(targets: LogitArray, areas: dict[str, float], min_positives: int) -> float:
    """The mean over labels with enough positives to say anything; over all if none has."""
    counts = targets.sum(axis=0)
    enough = [a for a, n in zip(areas.values(), counts, strict=True) if n >= min_positives]
    return float(np.nanmean(enough or list(areas.values())))


def _without_nan(areas: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(area) else area for name, area in areas.items()}


def _line(row: dict[str, Any]) -> str:
    return (
        f"epoch {row['epoch']}: train loss {row['train_loss']:.4f}, "
        f"validation loss {row['val_loss']:.4f}, mean AUROC {row['val_auroc_mean']:.4f}, "
        f"{row['images_per_s']:.1f} images/s, {row['data_wait_share']:.0%} of the time waiting "
        f"for data, {row['elapsed_s'] / 60:.1f} min"
    )


def draw_curves(files: Sequence[Path], target: Path) -> None:
    """Losses, validation AUROC and learning rate by epoch, from `metrics.jsonl`, as a PNG.

    Of several ensemble members' files, each in a style of its own. Drawn anew as a run
    goes on, so it is replaced whole or not at all.
    """
    # A Figure of its own, without pyplot, needs no display and leaves no global state.
    figure = Figure(figsize=(10, 7), layout="constrained")
    (losses, areas), (within, rate) = figure.subplots(2, 2)
    for index, file in enumerate(files):
        rows, style = read_metrics(file), _STYLES[index % len(_STYLES)]
        epochs = [row["epoch"] for row in rows]
        of = f", member {index + 1}" if len(files) > 1 else ""
        for axes, key, label in (
            (losses, "train_loss", "training, augmented"),
            (losses, "val_loss", "validation, averaged"),
            (areas, "val_auroc_mean", "mean"),
            (rate, "learning_rate", "after the epoch"),
        ):
            axes.plot(epochs, [row[key] for row in rows], style, label=label + of)
        for label in rows[-1]["val_auroc_within_source"] if rows else ():
            # None, which leaves a gap, in an epoch without an area.
            values = [row["val_auroc_within_source"].get(label) for row in rows]
            within.plot(epochs, values, style, label=label + of)
    losses.set(xlabel="epoch", ylabel="loss")
    areas.set(xlabel="epoch", ylabel="validation AUROC")
    within.set(xlabel="epoch", ylabel="validation AUROC within its sources")
    rate.set(xlabel="epoch", ylabel="learning rate")
    for axes in (losses, areas, within, rate):
        drawn = [x for line in axes.lines for x in line.get_ydata() if x is not None]
        if np.isfinite(np.array(drawn, dtype=float)).any():
            axes.legend()
        else:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
    partial = target.with_suffix(".partial")
    figure.savefig(partial, dpi=110, format="png")
    partial.rename(target)
