"""What stands beside a figure: the same of held-out radiographs, blurred ones, and noise.

It depends on the radiographs and the extractor, not on the generator, and is kept for the next.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cxr_contracts import Interval
from cxr_gan.judging.extractor import Extractor, Images
from cxr_gan.judging.features import features_of
from cxr_gan.judging.measures import ImageSet, Reference, blurred, measure, noise_like

# Another one where the figures would be others.
_VERSION = "2"
_Figures = dict[str, Interval]
_KEPT = TypeAdapter(dict[str, _Figures])


@dataclass(frozen=True, slots=True)
class Beside:
    """The figures of `measure` for sets in the samples' place."""

    held_out: _Figures
    blurred: _Figures
    noise: _Figures


def beside(
    held_out: ImageSet,
    reference: Reference,
    extractor: Extractor,
    *,
    resamples: int,
    seed: int,
    key: str,
    cache: Path,
) -> Beside:
    """Measure them, or take what an earlier judging of the same `key` kept."""
    said = f"{_VERSION}:{key}:{extractor.key}:{len(held_out.images)}:{resamples}:{seed}"
    path = cache / f"beside-{hashlib.sha256(said.encode()).hexdigest()[:16]}.json"
    try:
        kept = _KEPT.validate_json(path.read_bytes())
        return Beside(**kept)
    except (OSError, ValidationError, TypeError):
        pass  # not there, or of another version
    found = {"held_out": measure(held_out, reference, resamples, seed)}
    spoilt: dict[str, Images] = {
        "blurred": blurred(held_out.images),
        "noise": noise_like(held_out.images, seed),
    }
    for name, images in spoilt.items():
        features = features_of(extractor, images, name)
        found[name] = measure(ImageSet(images, features, held_out.patients), reference, 0, seed)
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    dumped = {name: {k: v.model_dump() for k, v in some.items()} for name, some in found.items()}
    partial.write_text(json.dumps(dumped))
    partial.replace(path)
    return Beside(**found)
