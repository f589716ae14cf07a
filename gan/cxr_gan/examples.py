"""Radiographs for whoever has none at hand: the examples of the page, of a published generator."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError
from cxr_gan.folders import is_published
from cxr_gan.generator import Findings, Images, Synthesizer, open_generator
from cxr_gan.marking import SyntheticMark, read_mark, write_marked
from cxr_gan.sampling import field_of

INDEX_NAME = "index.json"
N_EXAMPLES = 6
# Findings that change an image enough to be seen by somebody who reads none.
SHOWN_FIRST = ("Cardiomegaly", "Effusion", "Mass", "Pneumothorax", "Consolidation")
# Large enough to be looked at; whatever the generator makes is enlarged by a whole factor.
SIDE_PX = 512
FIRST_SEED = 1


def write_examples(
    model: Path, out: Path, *, first_seed: int = FIRST_SEED, truncation: float | None = None
) -> list[dict[str, Any]]:
    """Make the examples and write them, with `index.json`, as the folder `out`; its entries.

    Examples that stand there are replaced once the new ones are whole. The index names the
    generator and, of each file, what was asked for (null: the generator takes no labels; empty:
    no finding), seed, truncation and side, with which it can be made again.

    Args:
        model: a published generator's folder.
        out: a new folder, an empty one, or one of examples.
        first_seed: of the first image; each of the others has the next one.
        truncation: see `Synthesizer.latents`.

    Raises:
        GanError: `model` is not published, `out` holds something else, or what
            `Synthesizer.images` refuses.
    """
    if not is_published(model):
        # A run goes on, and its images could not be made again.
        raise GanError(f"{model} holds no published generator: there is no {MANIFEST_NAME}")
    # On a CPU alone: there the same seed is the same image to the last bit.
    synthesizer = open_generator(model)
    if out.exists() and not out.is_dir():
        raise GanError(f"{out} is a file: name a folder")
    for path in sorted(out.iterdir()) if out.exists() else ():
        if path.name != INDEX_NAME and not _is_example(path):
            raise GanError(f"{out} holds {path.name}, which is no example: name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".examples-") as staging:
        staged = Path(staging) / "new"
        staged.mkdir()
        examples = _write(synthesizer, staged, first_seed, truncation)
        if out.exists():
            out.rename(Path(staging) / "replaced")
        staged.rename(out)
    return examples


def requests_for(labels: Sequence[str]) -> list[Findings]:
    """What a generator that takes `labels` is asked for: no finding, then one finding an image.

    Those of `SHOWN_FIRST` that it takes, then others of its own. One without labels is asked for
    nothing, as often.
    """
    if not labels:
        return [frozenset()] * N_EXAMPLES
    known = [label for label in SHOWN_FIRST if label in labels]
    others = [label for label in labels if label not in SHOWN_FIRST]
    return [frozenset(), *(frozenset({label}) for label in (known + others)[: N_EXAMPLES - 1])]


def _write(
    synthesizer: Synthesizer, folder: Path, first_seed: int, truncation: float | None
) -> list[dict[str, Any]]:
    spec, identity = synthesizer.spec, synthesizer.identity
    asked = requests_for(spec.labels)
    seeds = range(first_seed, first_seed + len(asked))
    images = synthesizer.images(seeds, synthesizer.label_input(asked), truncation)
    examples = []
    for image, seed, findings in zip(images, seeds, asked, strict=True):
        enlarged, field = _enlarged(image), field_of(findings) if spec.labels else ""
        # By the file's name the study stands in the worklist.
        name = (field or str(seed)).lower().replace("_", "-").replace(" ", "-")
        example = {
            "file": f"synthetic-{name}.png",
            "labels": sorted(findings) if spec.labels else None,
            "seed": seed,
            "truncation": truncation,
            "side_px": enlarged.shape[0],
        }
        mark = SyntheticMark.of(identity, str(seed), field, truncation)
        write_marked(folder / f"synthetic-{name}.png", enlarged, mark)
        examples.append(example)
    index = {"generator": asdict(identity) | {"side_px": spec.side_px}, "examples": examples}
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return examples


def _enlarged(image: Images) -> Images:
    """A square uint8 [side, side] at `SIDE_PX`, smoothly; a larger one as it is."""
    side = max(SIDE_PX, image.shape[0])
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _is_example(path: Path) -> bool:
    try:
        return path.suffix == ".png" and read_mark(path) is not None
    except (OSError, SyntaxError, ValueError, TypeError):
        # No PNG, a broken one, or another program's text under the mark's name.
        return False
