"""The budget of a run, and the learning rate over it."""

import math
from dataclasses import dataclass

from cxr_training.detector.config import DetectorConfig

# Of the budget: on a slow machine a warm-up in steps could take all of the time.
_MOST_WARMUP = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run ends after its steps or its time, and its learning rate falls to its end with either.

    Ultralytics guesses from the epochs so far how many the time allows, and lowers the rate once an
    epoch; on a machine that others use, too, the rate was at its end long before the time was.
    """

    steps_per_epoch: int
    epochs: int
    limit_s: float | None
    peak: float
    final_fraction: float
    warmup_steps: int

    @classmethod
    def of(cls, config: DetectorConfig, steps_per_epoch: int) -> "Schedule":
        """The schedule of a recipe."""
        optimizer = config.optimizer
        # A run always has an epoch at full rate; Ultralytics' own rule.
        warmup_epochs = min(optimizer.warmup_epochs, config.epochs - 1)
        return cls(
            steps_per_epoch=steps_per_epoch,
            epochs=config.epochs,
            limit_s=None if config.hours is None else config.hours * 3600,
            peak=optimizer.learning_rate,
            final_fraction=optimizer.final_fraction,
            warmup_steps=round(warmup_epochs * steps_per_epoch),
        )

    def spent(self, step: int, elapsed_s: float) -> float:
        """The part of the budget that is used, 0 to 1: by steps or time, whichever is further."""
        by_time = 0.0 if self.limit_s is None else elapsed_s / self.limit_s
        return min(max(step / (self.epochs * self.steps_per_epoch), by_time), 1.0)

    def learning_rate(self, step: int, elapsed_s: float, *, warm_up: bool = True) -> float:
        """Of the step that comes next: half a cosine to the final rate, under a linear warm-up."""
        spent = self.spent(step, elapsed_s)
        falling = 0.5 * (1 + math.cos(math.pi * spent))
        rate = self.peak * (self.final_fraction + (1 - self.final_fraction) * falling)
        if warm_up and step < self.warmup_steps:
            # The first step must not be lost to a rate of zero.
            rate *= min(max((step + 1) / self.warmup_steps, spent / _MOST_WARMUP), 1.0)
        return rate

    def epochs_left(self, step: int, elapsed_s: float) -> float:
        """How many epochs the rest of the budget allows, at the pace so far."""
        if step == 0:
            return float(self.epochs)
        spent = self.spent(step, elapsed_s)
        return step / self.steps_per_epoch * (1 - spent) / spent
