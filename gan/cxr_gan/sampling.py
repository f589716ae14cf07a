"""A folder of synthetic images, marked as such, with a manifest that training reads."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr_contracts import NO_FINDING
from cxr_gan.errors import GanError
from cxr_gan.generator import Findings, Synthesizer
from cxr_gan.marking import SyntheticMark, write_marked
from cxr_training.data.manifest_csv import SYNTHETIC_PATIENT
from cxr_training.data.radiographs import parse_findings

MANIFEST_CSV, IMAGES = "manifest.csv", "images"
_AT_ONCE = 32


def findings_named(text: str) -> Findings:
    """The set of a field like `Mass|Effusion` or `No Finding`; GanError for another name."""
    try:
        return frozenset(finding.value for finding in parse_findings(text))
    except ValueError as error:
        raise GanError(f"--label {text}: {error}") from error


def field_of(findings: Findings) -> str:
    """As the manifest's field `findings` writes a set."""
    return "|".join(sorted(findings)) or NO_FINDING


def drawn_like(findings: Sequence[Findings], n: int, seed: int) -> list[Findings]:
    """`n` of the sets, with replacement, so that combinations keep their frequencies too."""
    if not findings:
        raise GanError("there is no training radiograph to take label frequencies from")
    order = np.random.default_rng((seed, 1)).integers(len(findings), size=n)
    return [findings[index] for index in order]


def shuffled(findings: Sequence[Findings], seed: int) -> list[Findings]:
    """The same sets in another order: the control in which labels tell nothing."""
    order = np.random.default_rng((seed, 2)).permutation(len(findings))
    return [findings[index] for index in order]


def write_samples(
    synthesizer: Synthesizer,
    seeds: Sequence[int],
    asked: Sequence[Findings],
    out: Path,
    *,
    truncation: float | None = None,
    stated: Sequence[Findings] | None = None,
) -> Path:
    """Make the images of `seeds` and write them with a manifest; its path.

    The folder appears under its name when it is whole.

    Args:
        synthesizer: the generator.
        seeds: one an image.
        asked: the findings that each image is asked for.
        out: a folder that is not there yet, or an empty one.
        truncation: see `Synthesizer.latents`.
        stated: the findings that the manifest gives instead, for a control; None: as asked.

    Raises:
        GanError: `out` holds something, or what `Synthesizer.images` refuses.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise GanError(f"{out} holds something already: name an empty folder")
    partial = out.with_name(out.name + ".partial")
    # Of a call that was killed.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / IMAGES).mkdir(parents=True)
        names = _write_images(synthesizer, seeds, asked, partial / IMAGES, truncation)
        identity = synthesizer.identity
        # Of the seed, not of the label: one seed under two labels is one invented person.
        patient = f"{SYNTHETIC_PATIENT}{identity.name}:{identity.sha256[:12]}:"
        with (partial / MANIFEST_CSV).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("image", "patient", "findings", "synthetic", "split"))
            rows = zip(names, seeds, asked if stated is None else stated, strict=True)
            for name, seed, findings in rows:
                row = (f"{IMAGES}/{name}", f"{patient}{seed}", field_of(findings), 1, "train")
                writer.writerow(row)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out / MANIFEST_CSV


def _write_images(
    synthesizer: Synthesizer,
    seeds: Sequence[int],
    asked: Sequence[Findings],
    folder: Path,
    truncation: float | None,
) -> list[str]:
    """Their file names."""
    names: list[str] = []
    with tqdm(total=len(seeds), unit="image", desc="sampling", delay=2) as bar:
        for start in range(0, len(seeds), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            labels = synthesizer.label_input(asked[some])
            images = synthesizer.images(seeds[some], labels, truncation)
            for image, seed, findings in zip(images, seeds[some], asked[some], strict=True):
                label = field_of(findings)
                names.append(f"{label.replace('|', '+').replace(' ', '_')}-{seed:08d}.png")
                mark = SyntheticMark.of(synthesizer.identity, str(seed), label, truncation)
                write_marked(folder / names[-1], image, mark)
            bar.update(len(images))
    return names
