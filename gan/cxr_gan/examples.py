"""Radiographs for whoever has none at hand: the examples of the page, of a published generator."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxr_contracts import MANIFEST_NAME
from cxr_gan.choosing import Choosing, RunningSystem, choose
from cxr_gan.errors import GanError
from cxr_gan.folders import is_published
from cxr_gan.generator import Findings, Images, Synthesizer, open_generator
from cxr_gan.marking import SyntheticMark, read_mark, write_marked
from cxr_gan.sampling import field_of, findings_named

INDEX_NAME = "index.json"
# Without a system that chooses.
N_EXAMPLES = 6
# Findings that change an image enough to be seen by somebody who reads none.
SHOWN_FIRST = ("Cardiomegaly", "Effusion", "Mass", "Pneumothorax", "Consolidation")
# Large enough to be looked at; whatever the generator makes is enlarged by a whole factor.
SIDE_PX = 512
FIRST_SEED = 1
# Of an index: examples, and findings that have none.
_ENTRIES = ("examples", "without_example")


def write_examples(
    model: Path,
    out: Path,
    *,
    first_seed: int = FIRST_SEED,
    truncation: float | None = None,
    choosing: Choosing | None = None,
    only: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Make the examples and write them, with `index.json`, as the folder `out`; its entries.

    Examples that stand there are replaced once the new ones are whole. The index names the
    generator and, of each file, what was asked for (null: the generator takes no labels; empty:
    no finding), seed, truncation and side, with which it can be made again. Where they were
    chosen it says by which models, of how many candidates each, how many of these the system read
    and agreed with, and the same of the findings that have no example.

    Args:
        model: a published generator's folder.
        out: a new folder, an empty one, or one of examples.
        first_seed: of the first image; each of the others has the next one.
        truncation: see `Synthesizer.latents`.
        choosing: takes each example among its `candidates` seeds, and the next example among those
            after them: one of each finding that the generator knows. Without it the image of a
            seed each is taken, `N_EXAMPLES` of them.
        only: with `choosing`: the findings that are chosen anew; the other examples of `out` stay.

    Raises:
        GanError: `model` is not published, `out` holds something else or, where some are to stay,
            examples of another generator or of other models, the system does not answer, or what
            `Synthesizer.images` refuses.
    """
    if not is_published(model):
        # A run goes on, and its images could not be made again.
        raise GanError(f"{model} holds no published generator: there is no {MANIFEST_NAME}")
    # On a CPU alone: there the same seed is the same image to the last bit.
    maker = _Maker(open_generator(model), truncation)
    if out.exists() and not out.is_dir():
        raise GanError(f"{out} is a file: name a folder")
    for path in sorted(out.iterdir()) if out.exists() else ():
        if path.name != INDEX_NAME and not _is_example(path):
            raise GanError(f"{out} holds {path.name}, which is no example: name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".examples-") as staging:
        staged = Path(staging) / "new"
        staged.mkdir()
        if choosing is None:
            requests = requests_for(maker.labels)[:N_EXAMPLES]
            made = [
                maker.write(findings, first_seed + place, staged)
                for place, findings in enumerate(requests)
            ]
            index: dict[str, Any] = {"generator": maker.named, "examples": made}
        else:
            index = _chosen(maker, choosing, first_seed, staged, _kept(maker, choosing, out, only))
        (staged / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        if out.exists():
            out.rename(Path(staging) / "replaced")
        staged.rename(out)
    examples: list[dict[str, Any]] = index["examples"]
    return examples


def requests_for(labels: Sequence[str]) -> list[Findings]:
    """What a generator that takes `labels` is asked for: no finding, then one finding an image.

    Those of `SHOWN_FIRST` that it takes, then its others. One without labels is asked for nothing,
    `N_EXAMPLES` times.
    """
    if not labels:
        return [frozenset()] * N_EXAMPLES
    known = [label for label in SHOWN_FIRST if label in labels]
    others = [label for label in labels if label not in SHOWN_FIRST]
    return [frozenset(), *(frozenset({label}) for label in known + others)]


@dataclass(frozen=True)
class _Maker:
    """A generator, and how its examples are made."""

    synthesizer: Synthesizer
    truncation: float | None

    @property
    def labels(self) -> Sequence[str]:
        return self.synthesizer.spec.labels

    @property
    def named(self) -> dict[str, Any]:
        spec = self.synthesizer.spec
        return asdict(self.synthesizer.identity) | {"side_px": spec.side_px}

    def image(self, findings: Findings, seed: int) -> Images:
        """A square uint8 [side, side] at `SIDE_PX`, smoothly; a larger one as it is."""
        asked = self.synthesizer.label_input([findings])
        [image] = self.synthesizer.images([seed], asked, self.truncation)
        side = max(SIDE_PX, image.shape[0])
        return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))

    def write(self, findings: Findings, seed: int, folder: Path) -> dict[str, Any]:
        """Write an example with its mark; its entry in the index."""
        image, field = self.image(findings, seed), field_of(findings) if self.labels else ""
        # By the file's name the study stands in the worklist.
        name = (field or str(seed)).lower().replace("_", "-").replace(" ", "-")
        mark = SyntheticMark.of(self.synthesizer.identity, str(seed), field, self.truncation)
        write_marked(folder / f"synthetic-{name}.png", image, mark)
        return {
            "file": f"synthetic-{name}.png",
            "labels": sorted(findings) if self.labels else None,
            "seed": seed,
            "truncation": self.truncation,
            "side_px": image.shape[0],
        }


@dataclass(frozen=True)
class _Kept:
    """Entries that stay, by their finding; `files` is where their images lie."""

    files: Path
    entries: dict[str, dict[str, Any]]
    only: Sequence[str]


def _kept(maker: _Maker, choosing: Choosing, out: Path, only: Sequence[str]) -> _Kept:
    if not only:
        return _Kept(out, {}, ())
    anew = [findings_named(name) for name in only]
    maker.synthesizer.label_input(anew)
    fields = [field_of(findings) for findings in anew]
    path = out / INDEX_NAME
    index: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if (index.get("generator"), index.get("chosen_by")) != (maker.named, choosing.system.models()):
        raise GanError(f"{out} holds nothing of this generator and these models: make all anew")
    entries = {_field(entry): entry for key in _ENTRIES for entry in index[key]}
    return _Kept(out, {field: x for field, x in entries.items() if field not in fields}, fields)


def _chosen(
    maker: _Maker, choosing: Choosing, first_seed: int, folder: Path, kept: _Kept
) -> dict[str, Any]:
    """Choose what does not stay, and write all into `folder`; the index."""
    index: dict[str, Any] = {
        "generator": maker.named,
        "examples": [],
        "chosen_by": choosing.system.models(),
        "without_example": [],
    }
    for place, findings in enumerate(requests_for(maker.labels)):
        field = field_of(findings)
        if (entry := kept.entries.get(field)) is not None:
            if "file" in entry:
                shutil.copyfile(kept.files / entry["file"], folder / entry["file"])
        elif kept.only and field not in kept.only:
            continue
        else:
            first = first_seed + place * choosing.candidates
            entry = _choose(maker, choosing, findings, first, folder)
        index["examples" if "file" in entry else "without_example"].append(entry)
    return index


def _choose(
    maker: _Maker, choosing: Choosing, findings: Findings, first_seed: int, folder: Path
) -> dict[str, Any]:
    """Choose an example and write it; its entry, or that of a finding that has none."""
    finding = next(iter(findings), None)

    def image_of(seed: int) -> Images:
        return maker.image(findings, seed)

    seeds = choosing.worth_reading(first_seed, finding, image_of)
    best = choose(seeds, finding, _reading(choosing.system, image_of), choosing.refused)
    counts = {"candidates": choosing.candidates, "read": len(seeds), "agreed": best.agreed}
    if best.seed is None:
        return {"labels": sorted(findings), **counts}
    return maker.write(findings, best.seed, folder) | counts


def _field(entry: dict[str, Any]) -> str:
    return field_of(frozenset(entry["labels"]))


def _reading(
    system: RunningSystem, image_of: Callable[[int], Images]
) -> Callable[[int], dict[str, Any]]:
    def read(seed: int) -> dict[str, Any]:
        buffer = io.BytesIO()
        Image.fromarray(image_of(seed)).save(buffer, "PNG")
        return system.study(buffer.getvalue())

    return read


def _is_example(path: Path) -> bool:
    try:
        return path.suffix == ".png" and read_mark(path) is not None
    except (OSError, SyntaxError, ValueError, TypeError):
        # No PNG, a broken one, or another program's text under the mark's name.
        return False
