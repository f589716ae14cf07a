"""The training loop: stages that grow, averaged weights, grids, checkpoints, resume."""

import copy
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from cxr_gan.errors import GanError
from cxr_gan.folders import RUN_WEIGHTS
from cxr_gan.networks import build_discriminator, build_generator
from cxr_gan.networks.pggan import Growing
from cxr_gan.radiographs import Radiographs
from cxr_gan.training.config import GanConfig
from cxr_gan.training.losses import augmented, discriminator_loss, generator_loss, gradient_penalty
from cxr_gan.training.records import (
    grid_inputs,
    read_checkpoint,
    replace_file,
    write_checkpoint,
    write_grid,
)
from cxr_gan.training.steps import (
    Batches,
    Draws,
    Progress,
    Schedule,
    as_shown,
    computes_in_bfloat16,
)
from cxr_training.core.checkpoints import update_average
from cxr_training.core.runs import append_metrics
from cxr_training.export.onnx import rounded

SUMS = ("discriminator_loss", "generator_loss", "penalty", "real_logit", "made_logit")
LAST, STAGES, SAMPLES = "last.pt", "checkpoints", "samples"
METRICS = "metrics.jsonl"
# A GPU works on while nobody asks for the losses; a CPU has nothing to gain by it.
_STEPS_UNREAD = 20


@dataclass
class Trainer:
    """One run: both networks, the averaged generator, and the folder that it writes into."""

    config: GanConfig
    real: Radiographs
    folder: Path
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        spec, training = self.config.spec, self.config.training
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(self.config.seed)
        self.generator = build_generator(spec)
        self.discriminator = build_discriminator(spec).to(self.device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False).to(self.device)
        self.generator.to(self.device)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=training.betas, eps=1e-8)
            for network, rate in (
                (self.discriminator, training.discriminator_learning_rate),
                (self.generator, training.generator_learning_rate),
            )
        ]
        self.in_bfloat16 = computes_in_bfloat16(training.precision, self.device)
        self.schedule = Schedule.of(self.config)
        self.batches = Batches(self.real, spec.labels, self.config.seed)
        self.latent, self.labels = (x.to(self.device) for x in grid_inputs(spec, self.config.seed))
        self.sums, self.summed = [0.0] * len(SUMS), 0
        self._unread: list[Tensor] = []
        self._saved_s = 0.0

    def run(self) -> None:
        """Train to the end of the budget, from wherever `progress` stands.

        Raises:
            GanError: a loss is not finite any more, or the disk is full.
        """
        self._saved_s = self.progress.elapsed_s
        while not self.schedule.is_over(self.progress):
            side_px = self.schedule.side_px(self.progress)
            self._run_stage(side_px)
            self.progress.begin_next_stage()
            self.save(f"{STAGES}/{side_px:04d}px.pt", LAST)
        self._grow(1.0)
        weights = {k: v.cpu() for k, v in self.average.state_dict().items()}
        # What is evaluated and published is what was rounded: docs/adr/0020.
        replace_file(self.folder / RUN_WEIGHTS, save(rounded(weights)))

    def save(self, *names: str) -> None:
        """Write checkpoints, each whole or not at all.

        Raises:
            GanError: the weights are not finite any more; no room.
        """
        self._read()
        networks = (self.generator, self.discriminator)
        if not all(p.isfinite().all() for network in networks for p in network.parameters()):
            raise self._diverged("a weight")
        state = {
            "spec": self.config.spec.model_dump(mode="json"),
            "progress": vars(self.progress),
            "sums": [*self.sums, self.summed],
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [one.state_dict() for one in self.optimisers],
        }
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_checkpoint(self.folder / name, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, to the losses of an unbroken run.

        Raises:
            GanError: the file is no checkpoint, of other code or of another shape.
        """
        state = read_checkpoint(path)
        spec, saved = self.config.spec.model_dump(mode="json"), state["spec"]
        other = [f"{key} {saved.get(key)}" for key in spec if saved.get(key) != spec[key]]
        if other:
            raise GanError(f"{path} is of another generator than the recipe's: {', '.join(other)}")
        try:
            self.generator.load_state_dict(state["generator"])
            self.discriminator.load_state_dict(state["discriminator"])
            self.average.load_state_dict(state["average"])
            for optimiser, its in zip(self.optimisers, state["optimisers"], strict=True):
                rate = optimiser.param_groups[0]["lr"]
                optimiser.load_state_dict(its)
                # Of the recipe as it is now, which may mend a run that diverged.
                optimiser.param_groups[0]["lr"] = rate
            self.progress = Progress(**state["progress"])
            *self.sums, self.summed = state["sums"]
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            said = str(error).splitlines()[0]
            raise GanError(f"{path} is a checkpoint of other code: {said}") from error

    def step(self) -> Tensor:
        """Train both networks on the next batch; the values of `SUMS`, [5].

        Both lose on the same generated images, which saves making them twice.
        """
        loss, n, at = self.config.loss, self.config.training.batch_size, self.progress
        fade = self.schedule.fade(at)
        side_px = self._grow(fade)
        images, labels = (x.to(self.device) for x in self.batches.take(at.images, n))
        draws = Draws.of(self.config, at.step, self.device)
        real = as_shown(images, side_px, fade)
        with self._autocast():
            made = self.generator(draws.latent, labels).float()
            real_logits = self._logits(real, labels, draws.augment_real)
            made_logits = self._logits(made.detach(), labels, draws.augment_made)
        lost = discriminator_loss(loss, real_logits.float(), made_logits.float())
        penalty = torch.zeros((), device=self.device)
        if loss.gradient_penalty != "none" and at.step % loss.penalty_interval == 0:
            penalty = gradient_penalty(
                loss,
                lambda images: self._logits(images, labels, draws.augment_real),
                real,
                made.detach(),
                draws.mix,
            )
        _descend(self.optimisers[0], lost + penalty)
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self._logits(made, labels, draws.augment_made)
        generator_lost = generator_loss(loss, logits.float())
        _descend(self.optimisers[1], generator_lost)
        self.discriminator.requires_grad_(True)
        at.step += 1
        at.images += n
        at.stage_images += n
        decay = 0.5 ** (n / self.config.training.ema_half_life_images)
        update_average(self.average, self.generator, decay, at.step)
        values = (lost, generator_lost, penalty, real_logits.mean(), made_logits.mean())
        self._unread.append(torch.stack([value.detach().float() for value in values]))
        return self._unread[-1]

    def _run_stage(self, side_px: int) -> None:
        at, training = self.progress, self.config.training
        # A log file wants fewer lines than a person at a terminal.
        pause_s = 0.5 if sys.stderr.isatty() else 10
        bar_format = "{desc}: {n_fmt} images [{elapsed}, {rate_fmt}{postfix}]"
        with tqdm(
            desc=f"{side_px} px",
            unit="image",
            initial=at.stage_images,
            mininterval=pause_s,
            bar_format=bar_format,
        ) as bar:
            began, before_s = (
                time.monotonic() - at.stage_elapsed_s,
                at.elapsed_s - at.stage_elapsed_s,
            )
            reported = (time.monotonic(), at.images)
            while self.schedule.spent(at) < 1:
                self.step()
                at.stage_elapsed_s = time.monotonic() - began
                at.elapsed_s = before_s + at.stage_elapsed_s
                if self.device.type == "cpu" or len(self._unread) >= _STEPS_UNREAD:
                    self._read()
                bar.set_postfix_str(self._standing(), refresh=False)
                bar.update(training.batch_size)
                crossed = (
                    at.images // training.report_images > reported[1] // training.report_images
                )
                if crossed or self.schedule.spent(at) >= 1:
                    self._report(reported)
                    reported = (time.monotonic(), at.images)
                if at.elapsed_s - self._saved_s >= training.checkpoint_minutes * 60:
                    self._saved_s = at.elapsed_s
                    self.save(LAST)

    def _logits(self, images: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        rule = self.config.loss.augmentation
        shown = images if rule is None else augmented(images, draws, rule)
        logits: Tensor = self.discriminator(shown, labels)
        return logits

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16)

    def _grow(self, fade: float) -> int:
        """Set the networks to the stage; its side."""
        side_px = self.schedule.side_px(self.progress)
        for network in (self.generator, self.discriminator, self.average):
            if isinstance(network, Growing):
                network.grow(side_px, fade)
        return side_px

    def _read(self) -> None:
        """Add what the last steps lost to the sums; GanError where it is not finite."""
        for row in torch.stack(self._unread).double().tolist() if self._unread else ():
            if not all(math.isfinite(value) for value in row):
                said = ", ".join(f"{k} {v:.4g}" for k, v in zip(SUMS, row, strict=True))
                raise self._diverged(said.replace("_", " "))
            self.sums = [a + b for a, b in zip(self.sums, row, strict=True)]
            self.summed += 1
        self._unread.clear()

    def _diverged(self, what: str) -> GanError:
        last = self.folder / LAST
        kept = f"{last} is as it was before" if last.exists() else "there is no checkpoint yet"
        return GanError(
            f"{what} is not finite at step {self.progress.step}: training stopped, {kept}. "
            "Lower the learning rates, or raise loss.penalty_weight"
        )

    def _report(self, since: tuple[float, int]) -> None:
        """Write a line of the metrics, and a grid."""
        self._read()
        means = {k: v / max(1, self.summed) for k, v in zip(SUMS, self.sums, strict=True)}
        self.sums, self.summed = [0.0] * len(SUMS), 0
        at, fade = self.progress, self.schedule.fade(self.progress)
        side_px = self._grow(fade)
        speed = (at.images - since[1]) / max(time.monotonic() - since[0], 1e-9)
        row = {"step": at.step, "images": at.images, "side_px": side_px, "fade": fade, **means}
        row |= {"images_per_s": speed, "elapsed_s": at.elapsed_s}
        append_metrics(self.folder / METRICS, row)
        samples = self.folder / SAMPLES
        samples.mkdir(exist_ok=True)
        name = f"{at.images:09d}-{side_px:04d}px.png"
        write_grid(self.average, self.latent, self.labels, samples / name)
        tqdm.write(
            f"{at.images} images, {side_px} px, new layer {fade:.0%}: "
            f"loss D {means['discriminator_loss']:.3f} G {means['generator_loss']:.3f}, "
            f"{speed:.1f} images/s, {at.elapsed_s / 60:.1f} min"
        )

    def _standing(self) -> str:
        n, limit_s = max(1, self.summed), self.schedule.limit_s
        left_s = None if limit_s is None else limit_s - self.progress.elapsed_s
        left = "" if left_s is None else f", run {tqdm.format_interval(max(0, left_s))} left"
        return f"D {self.sums[0] / n:.3f} G {self.sums[1] / n:.3f}{left}"


def _descend(optimiser: torch.optim.Optimizer, lost: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    lost.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
