"""The training loop: stages that grow, averaged weights, grids, checkpoints, resume."""

import copy
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from cxr_gan.errors import GanError
from cxr_gan.networks import build_discriminator, build_generator
from cxr_gan.networks.pggan import Growing
from cxr_gan.training.checkpoints import read_checkpoint, replace_file, write_checkpoint
from cxr_gan.training.config import GanConfig
from cxr_gan.training.curves import draw_curves
from cxr_gan.training.data import Batches, RealImages
from cxr_gan.training.grids import fixed_inputs, write_grid
from cxr_gan.training.schedule import Progress, Schedule
from cxr_gan.training.steps import SUMS, Draws, Players, as_shown
from cxr_training.core.averaging import update_average
from cxr_training.core.distributed import Processes, average_statistics, synchronised
from cxr_training.core.runs import append_metrics
from cxr_training.export.half_precision import rounded

LAST = "last.pt"
STAGES = "checkpoints"
SAMPLES = "samples"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
GENERATOR = "generator.safetensors"
# A GPU works on while nobody asks for the losses; a CPU has nothing to gain by it.
_STEPS_UNREAD = 20


@dataclass
class Trainer:
    """One run: both networks, the averaged generator, and the folder that it writes into."""

    config: GanConfig
    real: RealImages
    folder: Path
    processes: Processes = field(default_factory=Processes)
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        spec, self.device = self.config.spec, self.processes.device
        # Raises where the batch does not divide.
        self.processes.share(self.config.training.batch_size)
        torch.manual_seed(self.config.seed)
        generator, discriminator = build_generator(spec), build_discriminator(spec)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False).to(self.device)
        self.players = Players(
            self.config,
            synchronised(generator.to(self.device), self.processes),
            synchronised(discriminator.to(self.device), self.processes),
            self.processes,
        )
        self.schedule = Schedule.of(self.config)
        self.batches = Batches(self.real, self.config.seed)
        self.latent, self.labels = (x.to(self.device) for x in fixed_inputs(spec, self.config.seed))
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
            self._run_stage()
            self.progress.begin_next_stage()
            side_px = self.schedule.sides[self.progress.stage - 1]
            self.save(f"{STAGES}/{side_px:04d}px.pt", LAST)
        self._grow(1.0)
        if self.processes.is_first:
            weights = {k: v.cpu() for k, v in self.average.state_dict().items()}
            # What is judged and published is what was rounded: docs/adr/0020.
            replace_file(self.folder / GENERATOR, save(rounded(weights)))

    def save(self, *names: str) -> None:
        """Write checkpoints, each whole or not at all; all processes take part.

        Raises:
            GanError: the weights are not finite any more; no room.
        """
        self._read()
        networks = (self.players.generator, self.players.discriminator)
        if not all(p.isfinite().all() for network in networks for p in network.parameters()):
            self.processes.fail(self._diverged("a weight"))
        if not self.processes.is_first:
            return
        state = {
            "spec": self.config.spec.model_dump(mode="json"),
            "progress": vars(self.progress),
            "sums": [*self.sums, self.summed],
            "generator": self.players.generator.state_dict(),
            "discriminator": self.players.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [one.state_dict() for one in self.players.optimisers],
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
        spec = self.config.spec.model_dump(mode="json")
        other = [
            f"{key} {state['spec'].get(key)}" for key in spec if state["spec"].get(key) != spec[key]
        ]
        if other:
            raise GanError(f"{path} is of another generator than the recipe's: {', '.join(other)}")
        try:
            self.players.generator.load_state_dict(state["generator"])
            self.players.discriminator.load_state_dict(state["discriminator"])
            self.average.load_state_dict(state["average"])
            for optimiser, saved in zip(self.players.optimisers, state["optimisers"], strict=True):
                rates = [group["lr"] for group in optimiser.param_groups]
                optimiser.load_state_dict(saved)
                # Of the recipe as it is now, which may mend a run that diverged.
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate
            self.progress = Progress(**state["progress"])
            *self.sums, self.summed = state["sums"]
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            said = str(error).splitlines()[0]
            raise GanError(f"{path} is a checkpoint of other code: {said}") from error

    def _run_stage(self) -> None:
        with self._bar() as bar:
            began = time.monotonic() - self.progress.stage_elapsed_s
            before_s = self.progress.elapsed_s - self.progress.stage_elapsed_s
            reported = (time.monotonic(), self.progress.images)
            while self.schedule.spent(self.progress) < 1:
                self.step()
                stage_s = self.processes.agreed(time.monotonic() - began)
                self.progress.stage_elapsed_s = stage_s
                self.progress.elapsed_s = before_s + stage_s
                if self.device.type == "cpu" or len(self._unread) >= _STEPS_UNREAD:
                    self._read()
                bar.set_postfix_str(self._standing(), refresh=False)
                bar.update(self.config.training.batch_size)
                every = self.config.training.report_images
                crossed = self.progress.images // every > reported[1] // every
                if crossed or self.schedule.spent(self.progress) >= 1:
                    self._report(reported)
                    reported = (time.monotonic(), self.progress.images)
                since_s = self.progress.elapsed_s - self._saved_s
                if since_s >= self.config.training.checkpoint_minutes * 60:
                    self._saved_s = self.progress.elapsed_s
                    self.save(LAST)

    def step(self) -> Tensor:
        """Train on the next batch; the values of `SUMS`, of this process's share."""
        config, n = self.config, self.config.training.batch_size
        fade = self.schedule.fade(self.progress)
        side_px = self._grow(fade)
        share = n // self.processes.size
        first = self.progress.images + self.processes.rank * share
        pictures, labels = self.batches.take(first, share)
        draws = Draws.of(config, self.progress.step, self.processes)
        real = as_shown(pictures.to(self.device), draws.flips, side_px, fade)
        values = self.players.step(real, labels.to(self.device), draws, self.progress.step)
        for network in (self.players.generator, self.players.discriminator):
            average_statistics(network, self.processes)
        self.progress.step += 1
        self.progress.images += n
        self.progress.stage_images += n
        decay = 0.5 ** (n / config.training.ema_half_life_images)
        update_average(self.average, self.players.generator, decay, self.progress.step)
        self._unread.append(values)
        return values

    def _grow(self, fade: float) -> int:
        """Set the networks to the stage; its side."""
        side_px = self.schedule.sides[min(self.progress.stage, len(self.schedule.sides) - 1)]
        for network in (self.players.generator, self.players.discriminator, self.average):
            if isinstance(network, Growing):
                network.grow(side_px, fade)
        return side_px

    def _read(self) -> None:
        """Add what the last steps lost to the sums.

        Raises:
            GanError: it is not finite.
        """
        if not self._unread:
            return
        values = torch.stack(self._unread).double().cpu()
        self._unread.clear()
        for row in (self.processes.total(values) / self.processes.size).tolist():
            if not all(math.isfinite(value) for value in row):
                said = ", ".join(f"{k} {v:.4g}" for k, v in zip(SUMS, row, strict=True))
                self.processes.fail(self._diverged(said.replace("_", " ")))
            self.sums = [a + b for a, b in zip(self.sums, row, strict=True)]
            self.summed += 1

    def _diverged(self, what: str) -> GanError:
        last = self.folder / LAST
        kept = f"{last} is as it was before" if last.exists() else "there is no checkpoint yet"
        return GanError(
            f"{what} is not finite at step {self.progress.step}: training stopped, {kept}. "
            "Lower the learning rates, or raise loss.penalty_weight"
        )

    def _report(self, since: tuple[float, int]) -> None:
        """Write a line of the metrics, the curves and a grid."""
        self._read()
        means = {k: v / max(1, self.summed) for k, v in zip(SUMS, self.sums, strict=True)}
        self.sums, self.summed = [0.0] * len(SUMS), 0
        if not self.processes.is_first:
            return
        at = self.progress
        side_px = self._grow(self.schedule.fade(at))
        seconds = max(time.monotonic() - since[0], 1e-9)
        row = {
            "step": at.step,
            "images": at.images,
            "side_px": side_px,
            "fade": self.schedule.fade(at),
            **means,
            "images_per_s": (at.images - since[1]) / seconds,
            "elapsed_s": at.elapsed_s,
        }
        append_metrics(self.folder / METRICS, row)
        draw_curves(self.folder / METRICS, self.folder / CURVES)
        samples = self.folder / SAMPLES
        samples.mkdir(exist_ok=True)
        name = f"{at.images:09d}-{side_px:04d}px.png"
        write_grid(self.average, self.latent, self.labels, samples / name)
        tqdm.write(_line(row))

    def _standing(self) -> str:
        left_s = self.schedule.left_s(self.progress)
        left = "" if left_s is None else f", run {tqdm.format_interval(left_s)} left"
        n = max(1, self.summed)
        return f"D {self.sums[0] / n:.3f} G {self.sums[1] / n:.3f}{left}"

    @contextmanager
    def _bar(self) -> Iterator["tqdm[Any]"]:
        at = self.progress
        with tqdm(
            desc=f"{self.schedule.sides[at.stage]} px",
            unit="image",
            initial=at.stage_images,
            # A log file wants fewer lines than a person at a terminal.
            mininterval=0.5 if sys.stderr.isatty() else 10,
            disable=not self.processes.is_first,
            # Not tqdm's own guess at the time left: a stage may end by the clock.
            bar_format="{desc}: {n_fmt} images [{elapsed}, {rate_fmt}{postfix}]",
        ) as bar:
            yield bar


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['images']} images, {row['side_px']} px, new layer {row['fade']:.0%}: "
        f"loss D {row['discriminator_loss']:.3f} G {row['generator_loss']:.3f}, "
        f"{row['images_per_s']:.1f} images/s, {row['elapsed_s'] / 60:.1f} min"
    )
