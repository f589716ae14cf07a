"""What a step of a run is made of: how far the run is, which images, which random numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxr_gan.radiographs import Radiographs
from cxr_gan.training.config import GanConfig
from cxr_gan.training.losses import DRAWS


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
        growth, minutes = config.growth, config.training.max_minutes
        n = (config.image.side_px // growth.start_px).bit_length()
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

    def side_px(self, at: Progress) -> int:
        """Of the stage, or of the last one where the run is over."""
        return self.sides[min(at.stage, len(self.sides) - 1)]

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


class Batches:
    """The images in the order of a run, which follows from the seed and their number alone."""

    def __init__(self, real: Radiographs, labels: tuple[str, ...], seed: int) -> None:
        self.real, self.seed = real, seed
        shown = [[label in findings for label in labels] for findings in real.findings]
        self.labels = torch.tensor(shown, dtype=torch.float32).view(len(real), len(labels))
        self._orders: dict[int, list[int]] = {}

    def take(self, shown: int, n: int) -> tuple[Tensor, Tensor]:
        """Images number `shown` to `shown + n` of the run, and their labels.

        uint8 [n, 1, side_px, side_px] and float32 [n, n_labels].
        """
        indices = [self._at(number) for number in range(shown, shown + n)]
        return torch.from_numpy(self.real.images(indices))[:, None], self.labels[indices]

    def _at(self, number: int) -> int:
        epoch, place = divmod(number, len(self.real))
        if epoch not in self._orders:
            # A batch touches at most the epoch before this one.
            self._orders = {old: x for old, x in self._orders.items() if old == epoch - 1}
            draw = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            # Drawn once before the shuffle, so that runs of earlier versions go on alike.
            torch.empty((), dtype=torch.int64).random_(generator=draw)
            self._orders[epoch] = torch.randperm(len(self.real), generator=draw).tolist()
        return self._orders[epoch][place]


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of a step, which follow from seed and step, also in a resumed run."""

    latent: Tensor
    mix: Tensor
    augment_real: Tensor
    augment_made: Tensor

    @classmethod
    def of(cls, config: GanConfig, step: int, device: torch.device) -> "Draws":
        """Those of `step`, drawn on the CPU."""
        n = config.training.batch_size
        draw = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 7 + 5)
        latent = torch.randn(n, config.network.latent_size, generator=draw)
        # The second was for mirroring, and is drawn still, so that earlier runs go on alike.
        mix, _ = (torch.rand(n, generator=draw) for _ in range(2))
        varied = (torch.rand(n, DRAWS, generator=draw) * 2 - 1 for _ in range(2))
        return cls(*(some.to(device) for some in (latent, mix, *varied)))


def as_shown(images: Tensor, side_px: int, fade: float) -> Tensor:
    """Real images, uint8 [n, 1, s, s], at the stage's side in -1..1, blended as it is."""
    real = images.float() / 127.5 - 1
    if real.shape[-1] > side_px:
        real = functional.avg_pool2d(real, real.shape[-1] // side_px)
    if fade < 1:
        coarse = functional.interpolate(functional.avg_pool2d(real, 2), scale_factor=2)
        real = coarse + fade * (real - coarse)
    return real


def computes_in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether the forward passes run under bfloat16 autocast: penalties never do.

    A processor without instructions for it converts back and forth and takes much longer.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
