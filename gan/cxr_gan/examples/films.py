"""The examples of a published generator: which ones, and as which files."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_gan.errors import GanError
from cxr_gan.examples.index import INDEX_NAME, Example, ExampleIndex, MadeBy
from cxr_gan.published import Synthesizer
from cxr_gan.sampling.asking import Findings, field_of
from cxr_gan.sampling.marking import SyntheticMark, read_mark, write_marked

FILMS = 6
# Findings that change a film enough to be seen by somebody who reads none.
SHOWN_FIRST = ("Cardiomegaly", "Effusion", "Mass", "Pneumothorax", "Consolidation")
# Large enough to be looked at; whatever the generator makes is enlarged by a whole factor.
SIDE_PX = 512
FIRST_SEED = 1


def write_examples(
    synthesizer: Synthesizer,
    out: Path,
    *,
    first_seed: int = FIRST_SEED,
    truncation: float | None = None,
) -> ExampleIndex:
    """Make the films and write them, with their index, as the folder `out`.

    Examples that stand there are replaced once the new ones are whole.

    Args:
        synthesizer: a published generator.
        out: a new folder, an empty one, or one of examples.
        first_seed: of the first film; each of the others has the next one.
        truncation: see `Synthesizer.latents`.

    Raises:
        GanError: `out` holds something else or cannot be written, or what `Synthesizer.images`
            refuses.
    """
    try:
        _refuse_foreign(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".examples-") as staging:
            staged = Path(staging) / "new"
            staged.mkdir()
            index = _write(synthesizer, staged, first_seed, truncation)
            if out.exists():
                out.rename(Path(staging) / "replaced")
            staged.rename(out)
    except OSError as error:
        raise GanError(f"{out} cannot be written: {error.strerror or error}") from error
    return index


def asked_of(labels: Sequence[str]) -> list[Findings]:
    """What a generator that takes `labels` is asked for: no finding, then one finding a film.

    Those of `SHOWN_FIRST` that it takes, then others of its own. One without labels is asked for
    nothing, as often.
    """
    if not labels:
        return [frozenset()] * FILMS
    known = [label for label in SHOWN_FIRST if label in labels]
    others = [label for label in labels if label not in SHOWN_FIRST]
    return [frozenset(), *(frozenset({label}) for label in (known + others)[: FILMS - 1])]


def enlarged(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A square uint8 [side, side] at `SIDE_PX`, smoothly; a larger one as it is."""
    side = max(SIDE_PX, image.shape[0])
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _write(
    synthesizer: Synthesizer, folder: Path, first_seed: int, truncation: float | None
) -> ExampleIndex:
    takes_labels, identity = bool(synthesizer.spec.labels), synthesizer.identity
    asked = asked_of(synthesizer.spec.labels)
    seeds = range(first_seed, first_seed + len(asked))
    images = synthesizer.images(seeds, synthesizer.asked(asked), truncation)
    examples = []
    for image, seed, findings in zip(images, seeds, asked, strict=True):
        film, field = enlarged(image), field_of(findings) if takes_labels else ""
        example = Example(
            file=_file_name(field or str(seed)),
            labels=sorted(findings) if takes_labels else None,
            seed=seed,
            truncation=truncation,
            side_px=film.shape[0],
        )
        mark = SyntheticMark.of(identity, str(seed), field, truncation)
        write_marked(folder / example.file, film, mark)
        examples.append(example)
    made_by = MadeBy(
        name=identity.name,
        version=identity.version,
        sha256=identity.sha256,
        side_px=synthesizer.spec.side_px,
    )
    index = ExampleIndex(generator=made_by, examples=examples)
    (folder / INDEX_NAME).write_text(index.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return index


def _file_name(of: str) -> str:
    """By this name the study stands in the reader's list."""
    return f"synthetic-{of.lower().replace('_', '-').replace(' ', '-')}.png"


def _refuse_foreign(out: Path) -> None:
    """Raise GanError if something would be lost that no earlier call has written."""
    if not out.exists():
        return
    if not out.is_dir():
        raise GanError(f"{out} is a file: name a folder")
    for path in sorted(out.iterdir()):
        if path.name != INDEX_NAME and not _is_example(path):
            raise GanError(f"{out} holds {path.name}, which is no example: name another folder")


def _is_example(path: Path) -> bool:
    try:
        return path.suffix == ".png" and read_mark(path) is not None
    except (OSError, SyntaxError, ValueError, TypeError):
        # No PNG, a broken one, or another program's text under the mark's name.
        return False
