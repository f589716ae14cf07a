"""A generator ready to make images, each from its seed alone."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from scipy.special import ndtr, ndtri
from torch import nn

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError, read_keys, validated
from cxr_gan.folders import RUN_SPEC, RUN_WEIGHTS, GeneratorManifest, is_published
from cxr_gan.networks import build_generator
from cxr_gan.networks.spec import GeneratorSpec
from cxr_serving.model_folder import checked_bytes, manifest_in

Images = npt.NDArray[np.uint8]
Latents = npt.NDArray[np.float32]
LabelInput = npt.NDArray[np.float32]
Findings = frozenset[str]
LARGEST_SEED = 2**63 - 1
UNPUBLISHED = "unpublished"


@dataclass(frozen=True, slots=True)
class GeneratorIdentity:
    """Which weights made an image."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Synthesizer:
    """A generator ready to make images."""

    identity: GeneratorIdentity
    spec: GeneratorSpec
    network: nn.Module
    device: torch.device

    def images(
        self,
        seeds: Sequence[int],
        labels: LabelInput | None = None,
        truncation: float | None = None,
    ) -> Images:
        """The images of `seeds`, uint8 [n, side, side].

        Args:
            seeds: one an image, 0 to 2^63 - 1.
            labels: zeros and ones [n, len(spec.labels)]; None: no finding.
            truncation: see `latents`.

        Raises:
            GanError: labels for a generator that takes none or others, a truncation or a seed out
                of range, or an image that is not finite.
        """
        latents, shape = self.latents(seeds, truncation), (len(seeds), len(self.spec.labels))
        if labels is not None and labels.shape != shape:
            raise GanError(
                f"{self.identity.name} takes labels {shape}, but was given {labels.shape}"
            )
        made = np.empty((len(latents), self.spec.side_px, self.spec.side_px), np.uint8)
        with torch.inference_mode(), _one_thread():
            # One at a time: in a batch, an image's last bit depends on the size of the batch.
            for row, latent in enumerate(latents):
                asked = None
                if labels is not None and self.spec.labels:
                    asked = torch.from_numpy(labels[row : row + 1]).to(self.device)
                image = self.network(torch.from_numpy(latent[None]).to(self.device), asked)
                grey = image.float().cpu().numpy()[0, 0]
                if not np.isfinite(grey).all():
                    raise GanError(
                        f"{self.identity.name} makes images that are no numbers: broken weights"
                    )
                made[row] = np.rint((np.clip(grey, -1, 1) + 1) * 127.5).astype(np.uint8)
        return made

    def latents(self, seeds: Sequence[int], truncation: float | None = None) -> Latents:
        """Standard normal numbers [n, latent_size], each row from its seed alone.

        `truncation`: no number lies further from zero (Brock, Donahue and Simonyan, ICLR 2019);
        None: as far as they come. A seed's numbers are squeezed, not drawn again, so that its
        image stays alike.
        """
        if truncation is not None and not (np.isfinite(truncation) and truncation > 0):
            raise GanError(f"truncation {truncation} is no number above 0")
        edge = 0.0 if truncation is None else float(ndtr(-truncation))
        rows = [self._uniform(seed) for seed in seeds]
        uniform = np.array(rows).reshape(len(rows), self.spec.latent_size)
        numbers: Latents = ndtri(edge + uniform * (1 - 2 * edge)).astype(np.float32)
        return numbers

    def label_input(self, findings: Sequence[Findings]) -> LabelInput:
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


def open_generator(folder: Path, device: str = "cpu") -> Synthesizer:
    """The generator in `folder`: a published one, checked first, or a run's latest.

    Raises:
        ModelFolderError: a published folder whose files are not what its manifest says.
        GanError: no generator there, or weights that do not fill it.
        OSError: a run that has no weights yet.
    """
    if is_published(folder):
        manifest = manifest_in(folder, GeneratorManifest)
        weights, spec = checked_bytes(folder, manifest.weights), manifest.spec
        identity = GeneratorIdentity(manifest.name, manifest.version, manifest.weights.sha256)
    else:
        path = folder / RUN_SPEC
        if not path.exists():
            raise GanError(f"{folder} holds no generator: neither {MANIFEST_NAME} nor {RUN_SPEC}")
        spec = validated(GeneratorSpec, read_keys(path), path)
        weights = (folder / RUN_WEIGHTS).read_bytes()
        sha256 = hashlib.sha256(weights).hexdigest()
        identity = GeneratorIdentity(folder.resolve().name, UNPUBLISHED, sha256)
    try:
        network = build_generator(spec)
        network.load_state_dict(load(weights), strict=True)
    except (ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise GanError(f"the weights in {folder} do not fill its network: {reason}") from error
    place = torch.device(device)
    return Synthesizer(identity, spec, network.eval().requires_grad_(False).to(place), place)


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: how it shares work among several may change a sum's last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
