"""MODEL_CARD.md of a generator, made from the manifest alone."""

from cxr_contracts import NO_FINDING
from cxr_gan.judging.labels import FIGURE as LABEL_AUROC
from cxr_gan.judging.measures import FIGURES
from cxr_gan.judging.plots import TITLES
from cxr_gan.judging.report import verdict
from cxr_gan.published.manifest import GeneratorManifest, JudgedFigure
from cxr_training.report.tables import format_interval, markdown_table

INTENDED_USE = (
    "Research on generative models of radiographs, and on whether their images help training.",
    "Pictures to show software with, and to test it on, so that nobody's film has to be shipped.",
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
- A label is an input, not a promise: see the AUROC of each label above, where there are any.
- No sign of memorisation is no proof of privacy: the check finds copies and near copies of whole
  images, not a single detail that was kept."""


def model_card(manifest: GeneratorManifest) -> str:
    """The card, in Markdown."""
    spec = manifest.spec
    asked = ", ".join([NO_FINDING, *spec.labels]) if spec.labels else "nothing: it takes no labels"
    data, training = manifest.data, manifest.training
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "**Makes synthetic chest radiographs, for research. They show no person and are not for "
        "diagnosis.**",
        f"A {spec.family.upper()} generator of {spec.side_px} x {spec.side_px} px, one grey "
        f"channel, from {spec.latent_size} normal numbers. It can be asked for: "
        f"{asked.replace('_', ' ')}. Licence: {manifest.licence}. Published {manifest.created_at}.",
        "![Samples, a row a label; none of them chosen](gallery.png)",
        "## What it may be used for",
        _list(manifest.intended_use),
        "## What it may not be used for",
        _list(manifest.forbidden_use),
        "## Data and training",
        f"{'; '.join(data.sources)}. {data.n_train} images of training patients alone (split "
        f"`{data.split_sha256[:12]}`). Commit `{training.commit}`, command `{training.command}`.",
        "## How near to real",
        f'Distances are in the features of {manifest.extractor}; they are no "FID". The floor is '
        "what held-out radiographs get in the samples' place, the ceiling what noise gets. "
        "Intervals are of 95%.",
        _table(manifest.figures),
        "## Are training images given back?",
        verdict(manifest.name, manifest.figures),
        *_labels(manifest.figures),
        "## Limits",
        _LIMITS.format(side=spec.side_px),
    ]
    return "\n\n".join(parts) + "\n"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(figures: list[JudgedFigure]) -> str:
    lines = [
        [
            TITLES[figure.name],
            _interval(figure),
            _floor(figure),
            _plain(figure.ceiling),
            str(figure.n),
        ]
        for figure in figures
        if figure.name in FIGURES
    ]
    return markdown_table(["figure", "samples", "floor", "ceiling", "images"], lines)


def _labels(figures: list[JudgedFigure]) -> list[str]:
    lines = [
        [figure.subset.replace("_", " "), _interval(figure), _floor(figure)]
        for figure in figures
        if figure.name == LABEL_AUROC
    ]
    if not lines:
        return []
    table = markdown_table(["label", "AUROC among samples", "among held-out radiographs"], lines)
    return ["## Does a classifier see the label that was asked for?", table]


def _interval(figure: JudgedFigure) -> str:
    return format_interval(figure.result, 4)


def _floor(figure: JudgedFigure) -> str:
    return "–" if figure.floor is None else format_interval(figure.floor, 4)


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
