"""Training batches: radiographs, and strangers of every kind that can be made."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxr_training.gate import strangers
from cxr_training.gate.config import KINDS, GateConfig
from cxr_training.gate.distortions import chance, distort, place, uniform

# What counts as upright and whole: a turn of up to 13 degrees, borders and cuts of a seventh.
ACCEPTED_TURN_DEG = 13.0
ACCEPTED_ZOOM = (0.82, 1.15)
ACCEPTED_SHIFT = 0.06


@dataclass(frozen=True, slots=True)
class Pools:
    """Pictures to draw from, uint8 [N, cache, cache] each."""

    radiographs: NDArray[np.uint8]
    procedural: NDArray[np.uint8]
    photographs: NDArray[np.uint8]


class BatchMaker:
    """Endless batches of pictures and kinds; the same seed gives the same batches."""

    def __init__(self, pools: Pools, config: GateConfig) -> None:
        self._pools = pools
        self._side = config.canonical_px
        self._counts = config.shares.counts(config.batch)
        self._generator = torch.Generator().manual_seed(config.seed)

    def next(self) -> tuple[Tensor, Tensor]:
        """Pictures float32 [batch, 1, side, side] in 0..1 and kinds int64 [batch]."""
        parts, kinds = [], []
        for index, kind in enumerate(KINDS):
            pictures = self._pictures(kind, self._counts[kind])
            parts.append(pictures)
            kinds.append(torch.full((len(pictures),), index))
        return distort(torch.cat(parts), self._generator), torch.cat(kinds)

    def _pictures(self, kind: str, n: int) -> Tensor:
        if kind == "other":
            return self._others(n)
        drawn = self._draw(self._pools.radiographs, n)
        if kind == "inverted":
            drawn = strangers.inverted(drawn)
        elif kind == "upside_down":
            drawn = strangers.upside_down(drawn, self._generator)
        elif kind == "turned_left":
            drawn = strangers.turned_left(drawn)
        elif kind == "turned_right":
            drawn = strangers.turned_right(drawn)
        return self._place(drawn)

    def _others(self, n: int) -> Tensor:
        spoiled, photographed = n * 9 // 20, n // 5
        cut = strangers.spoil(self._draw(self._pools.radiographs, spoiled), self._generator)
        procedural = self._draw(self._pools.procedural, n - spoiled - photographed)
        photographs = self._draw(self._pools.photographs, photographed)
        drawn = self._overlaid(torch.cat([procedural, photographs]))
        return torch.cat(
            [
                place(cut, self._side, self._generator, turn_deg=5, zoom=(0.95, 1.05), shift=0.02),
                self._place(drawn),
            ]
        )

    def _overlaid(self, pictures: Tensor) -> Tensor:
        # A quarter are laid over one another: kinds between the kinds that were thought of.
        n = len(pictures)
        other = pictures[torch.randperm(n, generator=self._generator)]
        weight = uniform(n, 0.3, 0.7, self._generator)
        mixed = weight * pictures + (1 - weight) * other
        return torch.where(chance(n, 0.25, self._generator), mixed, pictures)

    def _place(self, pictures: Tensor) -> Tensor:
        return place(
            pictures,
            self._side,
            self._generator,
            turn_deg=ACCEPTED_TURN_DEG,
            zoom=ACCEPTED_ZOOM,
            shift=ACCEPTED_SHIFT,
        )

    def _draw(self, pool: NDArray[np.uint8], n: int) -> Tensor:
        picked = torch.randint(0, len(pool), (n,), generator=self._generator)
        return torch.from_numpy(pool[picked.numpy()]).float().div(255)[:, None]
