"""Images of a generator, each from its seed alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtr, ndtri
from torch import nn

from cxr_gan.errors import GanError
from cxr_gan.spec import GeneratorSpec

Images = npt.NDArray[np.uint8]
Latents = npt.NDArray[np.float32]
Asked = npt.NDArray[np.float32]
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class GeneratorIdentity:
    """Which weights made an image."""

    name: str
    version: str
    sha256: str


class ShownRadiographs(BaseModel):
    """Which radiographs a generator was shown; those it is compared with are chosen alike."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    views: tuple[str, ...] = Field(default=(), description="Empty: all there are.")
    least_source_px: int | None = Field(
        default=None, description="Width of the smallest file; None: the generator's side."
    )


@dataclass(frozen=True, slots=True)
class Synthesizer:
    """A generator ready to make images."""

    identity: GeneratorIdentity
    spec: GeneratorSpec
    network: nn.Module
    device: torch.device
    shown: ShownRadiographs

    def latents(self, seeds: Sequence[int], truncation: float | None = None) -> Latents:
        """Standard normal numbers [n, latent_size], each row from its seed alone.

        Args:
            seeds: 0 to 2^63 - 1.
            truncation: no number lies further from zero (Brock, Donahue and Simonyan, ICLR 2019);
                None: as far as they come. A seed's numbers are squeezed, not drawn again, so that
                its image stays alike.
        """
        _check_truncation(truncation)
        edge = 0.0 if truncation is None else float(ndtr(-truncation))
        rows = [self._uniform(seed) for seed in seeds]
        uniform = np.array(rows).reshape(len(rows), self.spec.latent_size)
        numbers: Latents = ndtri(edge + uniform * (1 - 2 * edge)).astype(np.float32)
        return numbers

    def images(
        self, seeds: Sequence[int], labels: Asked | None = None, truncation: float | None = None
    ) -> Images:
        """The images of `seeds`, uint8 [n, side, side].

        Args:
            seeds: one an image.
            labels: zeros and ones [n, len(spec.labels)]; None: no finding.
            truncation: see `latents`.

        Raises:
            GanError: labels for a generator that takes none or others, a truncation or a seed out
                of range, or an image that is no number.
        """
        return self.decoded(self.latents(seeds, truncation), labels)

    def decoded(self, latents: Latents, labels: Asked | None = None) -> Images:
        """The images of `latents` [n, latent_size], as `images` makes them."""
        self._check_labels(labels, len(latents))
        side = self.spec.side_px
        made = np.empty((len(latents), side, side), np.uint8)
        with torch.inference_mode(), _one_thread():
            # One at a time: in a batch, a picture's last bit depends on the size of the batch.
            for row, latent in enumerate(latents):
                asked = None
                if labels is not None and self.spec.labels:
                    asked = torch.from_numpy(labels[row : row + 1]).to(self.device)
                picture = self.network(torch.from_numpy(latent[None]).to(self.device), asked)
                made[row] = self._grey(picture.float().cpu().numpy()[0, 0])
        return made

    def asked(self, findings: Sequence[frozenset[str]]) -> Asked:
        """The label input [n, len(spec.labels)] of sets of names.

        Raises:
            GanError: a name that this generator does not take.
        """
        for name in sorted(set().union(*findings)):
            if name not in self.spec.labels:
                known = ", ".join(self.spec.labels) or "none"
                raise GanError(f"{self.identity.name} has no label {name!r}; it takes: {known}")
        rows = [[label in names for label in self.spec.labels] for names in findings]
        return np.array(rows, np.float32).reshape(len(rows), len(self.spec.labels))

    def _uniform(self, seed: int) -> npt.NDArray[np.float64]:
        if not 0 <= seed <= LARGEST_SEED:
            raise GanError(f"seed {seed} is not within 0 to {LARGEST_SEED}")
        stream = np.random.Generator(np.random.Philox(key=seed))
        # Off zero, which would lie infinitely far out.
        return stream.random(self.spec.latent_size) * (1 - 2**-52) + 2**-53

    def _check_labels(self, labels: Asked | None, n: int) -> None:
        shape = (n, len(self.spec.labels))
        if labels is not None and labels.shape != shape:
            raise GanError(
                f"{self.identity.name} takes labels {shape}, but was given {labels.shape}"
            )

    def _grey(self, picture: npt.NDArray[np.float32]) -> Images:
        if not np.isfinite(picture).all():
            raise GanError(
                f"{self.identity.name} makes pictures that are no numbers: broken weights"
            )
        grey: Images = np.rint((np.clip(picture, -1, 1) + 1) * 127.5).astype(np.uint8)
        return grey


def _check_truncation(truncation: float | None) -> None:
    if truncation is not None and not (np.isfinite(truncation) and truncation > 0):
        raise GanError(f"truncation {truncation} is no number above 0")


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: how it shares work among several may change a sum's last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
