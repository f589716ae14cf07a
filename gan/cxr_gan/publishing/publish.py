"""A judged run becomes a model folder."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError
from cxr_gan.judging.results import nearness_picture, write_results
from cxr_gan.judging.rows import Row, read_rows
from cxr_gan.published import GeneratorManifest, Synthesizer, open_generator
from cxr_gan.published.folder import RUN_WEIGHTS
from cxr_gan.published.run import read_run
from cxr_gan.publishing.card import FORBIDDEN_USE, INTENDED_USE, model_card
from cxr_gan.publishing.gallery import write_gallery
from cxr_training.core.runs import utc_now
from cxr_training.export.publishing import CARD_NAME, LICENCE, WEIGHTS_NAME, model_file

GALLERY_NAME = "gallery.png"


def publish(run: Path, models: Path, results: Path, *, name: str, version: str) -> Path:
    """Publish the generator of `run` as `models`/`name`; the folder.

    A model of that name is replaced once the new one is whole and opens. Its rows among the
    results take its name and version.

    Raises:
        GanError: the run was not judged since, does not describe itself, or a name or version
            that none may have.
    """
    of_run = open_generator(run)
    rows = _judged(of_run, results, name, version)
    identity = replace(of_run.identity, name=name, version=version)
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models, prefix=".publishing-") as staging:
            staged = Path(staging) / name
            staged.mkdir()
            shutil.copyfile(run / RUN_WEIGHTS, staged / WEIGHTS_NAME)
            write_gallery(replace(of_run, identity=identity), staged / GALLERY_NAME)
            manifest = _manifest(run, staged, of_run, rows)
            (staged / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n")
            (staged / CARD_NAME).write_text(model_card(manifest), encoding="utf-8")
            # What does not open is not published: the run may have gone on meanwhile.
            open_generator(staged)
            target = models / name
            if target.exists():
                target.rename(Path(staging) / "replaced")
            staged.rename(target)
        _rename_results(of_run.identity.name, rows, results)
    except OSError as error:
        raise GanError(f"{models / name} cannot be written: {error.strerror or error}") from error
    return target


def _judged(of_run: Synthesizer, results: Path, name: str, version: str) -> list[Row]:
    weights = of_run.identity.sha256[:12]
    rows = [row for row in read_rows(results) if row.weights == weights]
    if not rows:
        raise GanError(
            f"{results} has no figure of the run's weights as they are now: judge the run first"
        )
    return [replace(row, model=name, version=version) for row in rows]


def _manifest(
    run: Path, staged: Path, of_run: Synthesizer, rows: Sequence[Row]
) -> GeneratorManifest:
    data, training = read_run(run)
    try:
        return GeneratorManifest(
            schema_version=1,
            role="generator",
            name=staged.name,
            version=rows[0].version,
            created_at=utc_now(),
            licence=LICENCE,
            spec=of_run.spec,
            weights=model_file(staged / WEIGHTS_NAME),
            gallery=model_file(staged / GALLERY_NAME),
            data=data,
            training=training,
            extractor=rows[0].extractor,
            figures=[row.judged_figure() for row in rows],
            intended_use=list(INTENDED_USE),
            forbidden_use=list(FORBIDDEN_USE),
        )
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        raise GanError(f"{'.'.join(map(str, said['loc']))}: {said['msg']}") from error


def _rename_results(before: str, rows: Sequence[Row], results: Path) -> None:
    picture = nearness_picture(results, before)
    if picture.exists():
        picture.rename(nearness_picture(results, rows[0].model))
    write_results(rows, results)
