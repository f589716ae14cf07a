"""What of the study is done, what is left, and how long that will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from cxr_gan.study.answers import ANSWERS, read_answers
from cxr_gan.study.training import KEY

Run = tuple[str, int]
"""Arm and seed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of trainings by arm and seed."""

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: Mapping[Run, float]
    """That each finished training took."""
    begun: frozenset[Run]
    """Not over yet."""
    jobs: int

    @property
    def left(self) -> int:
        """Trainings that are not over."""
        return len(self.arms) * len(self.seeds) - len(self.seconds)

    @property
    def left_s(self) -> float | None:
        """What they will take at the pace so far; None before the first is over."""
        if not self.seconds:
            return None
        return mean(self.seconds.values()) * self.left / self.jobs

    def standing(self) -> str:
        """One line."""
        total = len(self.arms) * len(self.seeds)
        left_s = self.left_s
        when = "" if left_s is None or not self.left else f", about {left_s / 60:.0f} min"
        return f"{total - self.left} of {total} trainings done, {self.left} left{when}"

    def table(self) -> str:
        """A line for each arm, a column for each seed: minutes, `begun`, or a dot."""
        wide = max(len(arm) for arm in self.arms)
        lines = [" " * wide + "".join(f"{f'seed {seed}':>10}" for seed in self.seeds)]
        for arm in self.arms:
            lines.append(
                f"{arm:<{wide}}" + "".join(f"{self._cell(arm, x):>10}" for x in self.seeds)
            )
        return "\n".join([*lines, self.standing()])

    def _cell(self, arm: str, seed: int) -> str:
        if (arm, seed) in self.seconds:
            return f"{self.seconds[arm, seed] / 60:.1f} min"
        return "begun" if (arm, seed) in self.begun else "."


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Of one training."""
    return out / "trainings" / arm / f"seed-{seed}"


def progress_in(out: Path, arms: Sequence[str], seeds: Sequence[int], jobs: int) -> Progress:
    """As the folders of the trainings tell."""
    seconds: dict[Run, float] = {}
    begun: set[Run] = set()
    for arm in arms:
        for seed in seeds:
            folder = run_folder(out, arm, seed)
            if (folder / ANSWERS).exists():
                answers = read_answers(folder)
                seconds[arm, seed] = 0.0 if answers is None else answers.seconds
            elif (folder / KEY).exists():
                begun.add((arm, seed))
    return Progress(tuple(arms), tuple(seeds), seconds, frozenset(begun), jobs)
