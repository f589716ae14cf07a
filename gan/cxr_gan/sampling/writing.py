"""A folder of synthetic images with a manifest."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from cxr_gan.errors import GanError
from cxr_gan.published import Synthesizer
from cxr_gan.sampling.asking import Findings, field_of
from cxr_gan.sampling.marking import SyntheticMark, write_marked
from cxr_training.data.manifest_csv import SYNTHETIC_PATIENT

MANIFEST_CSV, IMAGES = "manifest.csv", "images"
COLUMNS = ("image", "patient", "findings", "synthetic", "split")
_AT_ONCE = 32


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
        GanError: `out` holds something, cannot be written, or what `Synthesizer.images` refuses.
    """
    stated = asked if stated is None else stated
    partial = out.with_name(out.name + ".partial")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise GanError(f"{out} holds something already: name an empty folder")
        # Of a call that was killed.
        shutil.rmtree(partial, ignore_errors=True)
        (partial / IMAGES).mkdir(parents=True)
        rows = _write_images(synthesizer, seeds, asked, partial / IMAGES, truncation)
        _write_manifest(partial / MANIFEST_CSV, rows, stated)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise GanError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out / MANIFEST_CSV


def _write_images(
    synthesizer: Synthesizer,
    seeds: Sequence[int],
    asked: Sequence[Findings],
    folder: Path,
    truncation: float | None,
) -> list[tuple[str, str]]:
    """File name and patient of each image."""
    rows: list[tuple[str, str]] = []
    with tqdm(total=len(seeds), unit="image", desc="sampling", delay=2) as bar:
        for start in range(0, len(seeds), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            images = synthesizer.images(seeds[some], synthesizer.asked(asked[some]), truncation)
            for image, seed, findings in zip(images, seeds[some], asked[some], strict=True):
                label = field_of(findings)
                name = f"{label.replace('|', '+').replace(' ', '_')}-{seed:08d}.png"
                mark = SyntheticMark.of(synthesizer.identity, str(seed), label, truncation)
                write_marked(folder / name, image, mark)
                rows.append((name, _patient(synthesizer, seed)))
            bar.update(len(images))
    return rows


def _patient(synthesizer: Synthesizer, seed: int) -> str:
    """Of the seed, not of the label: one seed under two labels is one invented person."""
    identity = synthesizer.identity
    return f"{SYNTHETIC_PATIENT}{identity.name}:{identity.sha256[:12]}:{seed}"


def _write_manifest(
    path: Path, rows: Sequence[tuple[str, str]], stated: Sequence[Findings]
) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (name, patient), findings in zip(rows, stated, strict=True):
            writer.writerow([f"{IMAGES}/{name}", patient, field_of(findings), 1, "train"])
