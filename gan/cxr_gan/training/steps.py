"""One step of both networks: the same on one process and on several."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_gan.training.augment import DRAWS, augmented
from cxr_gan.training.config import GanConfig
from cxr_gan.training.loss import discriminator_loss, generator_loss, gradient_penalty
from cxr_training.core.distributed import Processes

SUMS = ("discriminator_loss", "generator_loss", "penalty", "real_logit", "made_logit")


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of a step, which follow from seed and step, also in a resumed run.

    They are drawn for the whole batch on the CPU, and each process takes its share.
    """

    latent: Tensor
    mix: Tensor
    flips: Tensor
    augment_real: Tensor
    augment_made: Tensor

    @classmethod
    def of(cls, config: GanConfig, step: int, processes: Processes) -> "Draws":
        """Those of `step` for this process."""
        n = config.training.batch_size
        draw = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 7 + 5)
        whole = (
            torch.randn(n, config.network.latent_size, generator=draw),
            torch.rand(n, generator=draw),
            torch.rand(n, generator=draw) < config.image.flip_share,
            torch.rand(n, DRAWS, generator=draw) * 2 - 1,
            torch.rand(n, DRAWS, generator=draw) * 2 - 1,
        )
        share = n // processes.size
        mine = slice(processes.rank * share, (processes.rank + 1) * share)
        return cls(*(numbers[mine].to(processes.device) for numbers in whole))


@dataclass
class Players:
    """Both networks and their optimisers."""

    config: GanConfig
    generator: nn.Module
    discriminator: nn.Module
    processes: Processes

    def __post_init__(self) -> None:
        training = self.config.training
        self.device = self.processes.device
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=training.betas, eps=1e-8)
            for network, rate in (
                (self.discriminator, training.discriminator_learning_rate),
                (self.generator, training.generator_learning_rate),
            )
        ]
        self.in_bfloat16 = computes_in_bfloat16(training.precision, self.device)

    def step(self, real: Tensor, labels: Tensor, draws: Draws, number: int) -> Tensor:
        """Train both on a batch; the values of `SUMS`, [5], of this process's share.

        Both lose on the same generated pictures, which saves making them twice.
        """
        loss = self.config.loss
        with self._autocast():
            made = self.generator(draws.latent, labels).float()
            real_logits = self._judged(real, labels, draws.augment_real)
            made_logits = self._judged(made.detach(), labels, draws.augment_made)
        lost = discriminator_loss(loss, real_logits.float(), made_logits.float())
        penalty = torch.zeros((), device=self.device)
        if loss.gradient_penalty != "none" and number % loss.penalty_interval == 0:
            penalty = gradient_penalty(
                loss,
                lambda pictures: self._judged(pictures, labels, draws.augment_real),
                real,
                made.detach(),
                draws.mix,
            )
        self._descend(0, self.discriminator, lost + penalty)
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self._judged(made, labels, draws.augment_made)
        generator_lost = generator_loss(loss, logits.float())
        self._descend(1, self.generator, generator_lost)
        self.discriminator.requires_grad_(True)
        values = (lost, generator_lost, penalty, real_logits.mean(), made_logits.mean())
        return torch.stack([value.detach().float() for value in values])

    def _judged(self, pictures: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        rule = self.config.loss.augmentation
        shown = pictures if rule is None else augmented(pictures, draws, rule)
        logits: Tensor = self.discriminator(shown, labels)
        return logits

    def _descend(self, which: int, network: nn.Module, lost: Tensor) -> None:
        self.optimisers[which].zero_grad(set_to_none=True)
        lost.backward()  # type: ignore[no-untyped-call]
        average_gradients(network.parameters(), self.processes)
        self.optimisers[which].step()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16)


def average_gradients(parameters: Iterable[nn.Parameter], processes: Processes) -> None:
    """Make each gradient the mean over the processes.

    DistributedDataParallel counts on one backward pass through one forward pass; a penalty on a
    gradient has two, and a growing network leaves layers unused.
    """
    if processes.size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    whole = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(whole)
    parts = torch.split(whole / processes.size, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def as_shown(pictures: Tensor, flips: Tensor, side_px: int, fade: float) -> Tensor:
    """Real pictures, uint8 [n, 1, s, s], at the stage's side in -1..1, blended as it is."""
    real = pictures.float() / 127.5 - 1
    real = torch.where(flips.view(-1, 1, 1, 1), real.flip(3), real)
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
