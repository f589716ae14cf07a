"""The stages of a run: how long each lasts, and when its new layer is blended in."""

from dataclasses import dataclass

from cxr_gan.training.config import GanConfig

# An image of twice the side costs about this much more, by the widths of the recipes.
_COST_OF_DOUBLING = 2.5


@dataclass
class Progress:
    """Where a run stands; goes into the checkpoint."""

    stage: int = 0
    step: int = 0
    images: int = 0
    elapsed_s: float = 0.0
    stage_images: int = 0
    stage_elapsed_s: float = 0.0

    def begin_next_stage(self) -> None:
        """A stage is over."""
        self.stage += 1
        self.stage_images, self.stage_elapsed_s = 0, 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """A stage ends after its images or its share of the time, whichever comes first.

    What a stage leaves of its time goes to those after it, so that a run ends grown on a slow
    machine and spends its time on the finest stage on a fast one.
    """

    sides: tuple[int, ...]
    images: tuple[int, ...]
    shares: tuple[float, ...]
    fade_share: float
    limit_s: float | None

    @classmethod
    def of(cls, config: GanConfig) -> "Schedule":
        """The schedule of a recipe."""
        growth = config.growth
        n = (config.image.side_px // growth.start_px).bit_length()
        minutes = config.training.max_minutes
        return cls(
            sides=tuple(growth.start_px << i for i in range(n)),
            images=(growth.images_per_stage,) * (n - 1) + (growth.images_at_last,),
            shares=tuple(growth.time_factor**i for i in range(n)),
            fade_share=growth.fade_share,
            limit_s=None if minutes is None else minutes * 60,
        )

    def is_over(self, at: Progress) -> bool:
        """Whether the last stage is."""
        return at.stage >= len(self.sides)

    def stage_limit_s(self, at: Progress) -> float | None:
        """What the stage may take, of what those before it left."""
        if self.limit_s is None:
            return None
        left_s = max(self.limit_s - (at.elapsed_s - at.stage_elapsed_s), 1e-9)
        return left_s * self.shares[at.stage] / sum(self.shares[at.stage :])

    def spent(self, at: Progress) -> float:
        """The part of the stage that is over, 0 to 1."""
        limit_s = self.stage_limit_s(at)
        by_time = 0.0 if limit_s is None else at.stage_elapsed_s / limit_s
        return min(max(at.stage_images / self.images[at.stage], by_time), 1.0)

    def fade(self, at: Progress) -> float:
        """How far the newest layer is blended in, 0 to 1."""
        if at.stage == 0 or not self.fade_share:
            return 1.0
        return min(self.spent(at) / self.fade_share, 1.0)

    def left_s(self, at: Progress) -> float | None:
        """How long the rest will take, about; none before the first step of a stage."""
        if not at.stage_images or not at.stage_elapsed_s:
            return None
        pace_s = at.stage_elapsed_s / at.stage_images
        left_s = (self.images[at.stage] - at.stage_images) * pace_s
        for later in range(at.stage + 1, len(self.sides)):
            pace_s *= _COST_OF_DOUBLING
            left_s += self.images[later] * pace_s
        return left_s if self.limit_s is None else min(left_s, self.limit_s - at.elapsed_s)
