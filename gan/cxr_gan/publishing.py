"""An evaluated run becomes a model folder, with card and gallery."""

import shutil
import tempfile
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr_contracts import MANIFEST_NAME, NO_FINDING
from cxr_gan.errors import GanError, validated
from cxr_gan.evaluation.measures import TITLES
from cxr_gan.evaluation.memorisation import verdict
from cxr_gan.evaluation.results import Evaluation, figures_table, read_results, write_results
from cxr_gan.folders import RUN_WEIGHTS, GeneratorManifest, read_run
from cxr_gan.generator import Synthesizer, open_generator
from cxr_gan.marking import SyntheticMark, write_marked
from cxr_training.core.runs import utc_now
from cxr_training.export.publishing import CARD_NAME, LICENCE, WEIGHTS_NAME, model_file

GALLERY_NAME = "gallery.png"
INTENDED_USE = (
    "Research on generative models of radiographs, and on whether their images help training.",
    "Images to show software with, and to test it on, so that no patient's has to be shipped.",
    "Teaching what a generative model gets right and wrong.",
)
FORBIDDEN_USE = (
    "Diagnosis, or anything that decides about a person.",
    "Validating or testing a diagnostic model: its figures would be of the generator.",
    "Passing an image on without saying that it is synthetic, or removing its mark.",
    "Teaching how a finding looks: nobody has checked that an image shows what was asked for.",
    "Evidence in a claim, a publication or a record that something was seen in a patient.",
)
_LIMITS = """\
- Trained on one hospital's radiographs (NIH Clinical Center, 1992 to 2015), whose labels were
  mined from reports by text and are about 90% right. Whatever is skewed there is skewed here.
- An image has {side} px a side: fine lines, small nodules and small pneumothoraces are not there.
- A label is an input, not a promise: the classifier sees it more weakly than in radiographs
  (docs/adr/0014).
- No sign of memorisation is no proof of privacy: the check finds copies and near copies of whole
  images, not a single detail that was kept."""
_COLUMNS, _ROWS_WITHOUT_LABELS = 8, 4
_TILE_PX, _MARGIN_PX, _LABEL_PX, _FONT_PX = 128, 4, 150, 15


def publish(
    run: Path, models: Path, results: Path, *, name: str, version: str, replace: bool
) -> Path:
    """Publish the generator of `run` as `models`/`name`; the folder.

    With `replace` a model of that name gives way once the new one is whole and opens. Its figures
    among the results take its name and version.

    Raises:
        GanError: the run was not evaluated since, does not describe itself, or a name or version
            that none may have.
    """
    if (models / name).exists() and not replace:
        raise GanError(f"{models / name} is there already: give another --name, or --replace")
    of_run = open_generator(run)
    found = [x for x in read_results(results) if x.sha256 == of_run.identity.sha256]
    if not found:
        raise GanError(
            f"{results} has no figure of the run's weights as they are now: evaluate the run first"
        )
    evaluation = found[0].model_copy(update={"model": name, "version": version})
    data, training = read_run(run)
    described = {
        "schema_version": 1,
        "role": "generator",
        "name": name,
        "version": version,
        "created_at": utc_now(),
        "licence": LICENCE,
        "spec": of_run.spec,
        "data": data,
        "training": training,
        "extractor": evaluation.extractor,
        "figures": evaluation.figures,
        "intended_use": INTENDED_USE,
        "forbidden_use": FORBIDDEN_USE,
    }
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix=".publishing-") as staging:
        staged, target = Path(staging) / "new", models / name
        staged.mkdir()
        shutil.copyfile(run / RUN_WEIGHTS, staged / WEIGHTS_NAME)
        named = changed(of_run, identity=changed(of_run.identity, name=name, version=version))
        write_gallery(named, staged / GALLERY_NAME)
        described |= {"weights": model_file(staged / WEIGHTS_NAME)}
        described |= {"gallery": model_file(staged / GALLERY_NAME)}
        manifest = validated(GeneratorManifest, described, target)
        (staged / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n")
        (staged / CARD_NAME).write_text(model_card(manifest), encoding="utf-8")
        # What does not open is not published: the run may have gone on meanwhile.
        open_generator(staged)
        if target.exists():
            target.rename(Path(staging) / "replaced")
        staged.rename(target)
    write_results(evaluation, results)
    return target


def model_card(manifest: GeneratorManifest) -> str:
    """The card in Markdown, made from the manifest alone."""
    spec, data, training = manifest.spec, manifest.data, manifest.training
    near = Evaluation(
        model="samples",
        version=manifest.version,
        extractor=manifest.extractor,
        sha256=manifest.weights.sha256,
        side_px=spec.side_px,
        figures=[figure for figure in manifest.figures if figure.name in TITLES],
    )
    asked = ", ".join([NO_FINDING, *spec.labels]) if spec.labels else "nothing: it takes no labels"
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "**Makes synthetic chest radiographs, for research. They show no person and are not for "
        "diagnosis.**",
        f"A {spec.family.upper()} generator of {spec.side_px} x {spec.side_px} px, one grey "
        f"channel, from {spec.latent_size} normal numbers. It can be asked for: "
        f"{asked.replace('_', ' ')}. Licence: {manifest.licence}. Published {manifest.created_at}.",
        "![Samples, a row a label; none of them chosen](gallery.png)",
        "## How near to real",
        f'Distances are in the features of {manifest.extractor}; they are no "FID". The floor is '
        "what held-out radiographs get in the samples' place. "
        "Intervals are of 95%.",
        figures_table([near]),
        "## Are training images given back?",
        verdict(manifest.name, manifest.figures),
        "## Limits",
        _LIMITS.format(side=spec.side_px),
        "## What it may be used for",
        "\n".join(f"- {line}" for line in manifest.intended_use),
        "## What it may not be used for",
        "\n".join(f"- {line}" for line in manifest.forbidden_use),
        "## Data and training",
        f"{'; '.join(data.sources)}. {data.n_train} images of training patients alone (split "
        f"`{data.split_sha256[:12]}`). Commit `{training.commit}`, command `{training.command}`.",
    ]
    return "\n\n".join(parts) + "\n"


def write_gallery(synthesizer: Synthesizer, path: Path) -> None:
    """What the generator makes, as one PNG: a row a label, the first seeds, none of them chosen.

    The same seeds stand in every row, so that a column differs by what was asked for alone. A
    generator without labels fills a few rows.
    """
    labels = synthesizer.spec.labels
    titles = [NO_FINDING, *labels] if labels else [""] * _ROWS_WITHOUT_LABELS
    step, left = _TILE_PX + _MARGIN_PX, _LABEL_PX if labels else 0
    canvas = Image.new("L", (left + _COLUMNS * step, len(titles) * step), 255)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_PX)
    last = 0
    for row, title in enumerate(titles):
        first = 1 if labels else 1 + row * _COLUMNS
        seeds = range(first, first + _COLUMNS)
        last = seeds[-1]
        findings = frozenset({title} & set(labels))
        place = (_MARGIN_PX, row * step + _TILE_PX // 2)
        pen.text(place, title.replace("_", " "), 0, font, anchor="lm")
        asked = synthesizer.label_input([findings] * _COLUMNS)
        for column, image in enumerate(synthesizer.images(seeds, asked)):
            tile = Image.fromarray(image).resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC)
            canvas.paste(tile, (left + column * step, row * step))
    named = "; ".join(filter(None, titles))
    mark = SyntheticMark.of(synthesizer.identity, f"1 to {last}", named, None)
    write_marked(path, np.asarray(canvas), mark)
