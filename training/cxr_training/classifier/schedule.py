"""The budget of a run, and the learning rate over it."""

import math
from dataclasses import dataclass

from cxr_training.classifier.config import Training


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run ends after its steps or its time, and its learning rate falls to zero with either.

    A machine shared with others is slower than planned; a cosine over steps alone would then be
    cut off at a high rate, which costs more than the missing steps.
    """

    steps: int
    limit_s: float | None
    peak: float
    warmup: float

    @classmethod
    def of(cls, training: Training, steps_per_epoch: int) -> "Schedule":
        """The schedule of a configuration."""
        return cls(
            steps=training.epochs * steps_per_epoch,
            limit_s=None if training.max_minutes is None else training.max_minutes * 60,
            peak=training.learning_rate,
            warmup=training.warmup_fraction,
        )

    def spent(self, step: int, elapsed_s: float) -> float:
        """The part of the budget that is used, 0 to 1: by steps or time, whichever is further."""
        by_time = 0.0 if self.limit_s is None else elapsed_s / self.limit_s
        return min(max(step / self.steps, by_time), 1.0)

    def left_s(self, step: int, elapsed_s: float) -> float | None:
        """How long the rest will take at the pace so far; none before the first step."""
        spent = self.spent(step, elapsed_s)
        return elapsed_s * (1 - spent) / spent if spent else None

    def learning_rate(self, step: int, elapsed_s: float) -> float:
        """Of the step that comes next: a linear warm-up, then half a cosine to zero."""
        spent = self.spent(step, elapsed_s)
        if spent < self.warmup:
            # The first step must not be lost to a rate of zero.
            return self.peak * min(max(spent, (step + 1) / self.steps) / self.warmup, 1.0)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (spent - self.warmup) / (1 - self.warmup)))
