"""A strip of images between two seeds, along the sphere on which their latents lie."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_gan.errors import GanError
from cxr_gan.published import Synthesizer
from cxr_gan.sampling.asking import Findings, field_of
from cxr_gan.sampling.marking import SyntheticMark, write_marked

_PARALLEL = 1e-6


def write_strip(
    synthesizer: Synthesizer,
    ends: tuple[int, int],
    steps: int,
    findings: Findings,
    out: Path,
    *,
    truncation: float | None = None,
) -> None:
    """Write `steps` images side by side; the first and the last are those of the seeds `ends`.

    Raises:
        GanError: a label that is not taken, or a file that cannot be written.
    """
    first, last = synthesizer.latents(ends, truncation)
    way = np.array([between(first, last, part) for part in np.linspace(0, 1, steps)])
    images = synthesizer.decoded(way, synthesizer.asked([findings] * steps))
    label = field_of(findings)
    mark = SyntheticMark.of(synthesizer.identity, f"{ends[0]} to {ends[1]}", label, truncation)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_marked(out, np.concatenate(list(images), axis=1), mark)
    except OSError as error:
        raise GanError(f"{out} cannot be written: {error.strerror or error}") from error


def between(
    first: npt.NDArray[np.float32], last: npt.NDArray[np.float32], part: float
) -> npt.NDArray[np.float32]:
    """The point at `part`, 0 to 1, of the arc from `first` to `last` (Shoemake 1985).

    A straight line would pass through points nearer to zero than normal numbers ever lie, of
    which the generator has learnt nothing.
    """
    cosine = float(np.dot(first, last) / (np.linalg.norm(first) * np.linalg.norm(last)))
    angle = float(np.arccos(np.clip(cosine, -1, 1)))
    if np.sin(angle) < _PARALLEL:
        return ((1 - part) * first + part * last).astype(np.float32)
    weights = np.sin([(1 - part) * angle, part * angle]) / np.sin(angle)
    point: npt.NDArray[np.float32] = (weights[0] * first + weights[1] * last).astype(np.float32)
    return point
