"""`README.md` of the results, made from the CSV alone."""

from collections.abc import Sequence

from cxr_contracts import Interval
from cxr_gan.judging.labels import FIGURE as LABEL_AUROC
from cxr_gan.judging.measures import FIGURES, FRECHET
from cxr_gan.judging.memorisation import NEARER, RATIO, STANDING_OUT, TO_TRAINING
from cxr_gan.judging.plots import TITLES
from cxr_gan.judging.rows import Row
from cxr_gan.published.manifest import JudgedFigure
from cxr_training.report.tables import format_interval, markdown_table

_REMEMBERED = {
    RATIO: "ratio of medians",
    NEARER: "nearer than 99% of held-out",
    STANDING_OUT: "standing out",
    TO_TRAINING: "nearest is a training image",
}
_HOW = """\
`judging.csv` holds every figure. A model's samples are compared with as many radiographs of
training patients, and so is what stands beside them: held-out radiographs, of validation patients
(the floor: what perfect samples would get), the same blurred, and noise with the right mean image
(the ceiling). Both sides are brought to the generator's size in the same way. Distances are in the
features of the classifier named, and are no "FID", which is one in the features of an ImageNet
network: compare them within one table only.

- **Fréchet and kernel distance**: lower is nearer. With so few images a Fréchet distance is far
  above zero for real ones, too: compare it with the floor of its own table.
- **Precision**: samples that lie among the real; **recall**: real ones among which samples lie.
- **MS-SSIM**: how alike two samples are; above the floor, which is of pairs of two patients, the
  samples vary too little. Below it they are no better than at it.
- **Probes**: how often a classifier that is trained to tell real from synthetic is right on images
  it has not seen; a half is guessing. The one on pixels is a small network: what it does not tell
  may be there all the same.

Intervals of 95% are of the samples, by resampling them (held-out radiographs by patient), with the
training radiographs held fixed."""
_MEMORY = """\
Distance from each sample to the nearest of all training radiographs, in the features above and in
pixels at 32 px (mean and contrast taken out), beside the same of held-out radiographs. Ratio: the
median of the samples' distance over that of held-out ones. *Nearer than 99%*: samples below the
held-out radiographs' 1st percentile. A blurred image is near to everything, so the two columns
after are the ones that tell copies: *standing out* is the same share of the distance divided by
that to the fiftieth nearest, and *nearest is a training image* sets as many held-out radiographs
against the training ones. A generator that remembers nothing gets 1, 0.01, 0.01 and 0.5."""
_LABELS = """\
AUROC of the published classifier's opinion among samples asked for with the label alone, against
those asked for with others or none; beside it, of held-out radiographs. 0.5: it sees nothing of
the label. It saw the training radiographs that the generators learnt from, and it is not perfect
itself, so this says whether a label reaches the image, not whether a radiologist would agree."""


def report(rows: Sequence[Row]) -> str:
    """The page, in Markdown."""
    parts = [
        "# Synthetic radiographs, judged",
        "Made by `cxr-gan judge`; how: [gan-sampling.md](../../gan-sampling.md). "
        "No figure here says that an image is fit for diagnosis.",
        _HOW,
        "![Each figure of each model](figures.png)",
    ]
    for (side, extractor, n), some in _tables(rows).items():
        parts += [f"## {side} px, {n} images of each kind, {extractor} features", _table(some)]
    parts += ["## Are training images given back?", _MEMORY, _memory_table(rows)]
    parts += [
        verdict(model, [row.judged_figure() for row in some])
        for model, some in _by_model(rows).items()
    ]
    labelled = [row for row in rows if row.figure == LABEL_AUROC]
    if labelled:
        parts += ["## Are labels seen?", _LABELS, _label_table(labelled)]
    return "\n\n".join(parts) + "\n"


def verdict(name: str, figures: Sequence[JudgedFigure]) -> str:
    """A sentence on what the model `name` remembers, with the figures that it rests on."""
    found = {(figure.name, figure.subset): figure.result for figure in figures}
    spaces = [space for figure, space in found if figure == STANDING_OUT]
    copies = [space for space in spaces if found[STANDING_OUT, space].low > 0.01]
    leaning = [space for space in spaces if found[TO_TRAINING, space].low > 0.5]
    said = "; ".join(
        f"in {space}, {_percent(found[STANDING_OUT, space])} stand out (1% expected) and "
        f"{_percent(found[TO_TRAINING, space])} are nearest to a training image (50% expected)"
        for space in spaces
    )
    if copies:
        return f"**{name} gives training images back**, or nearly ({' and '.join(copies)}): {said}."
    if leaning:
        return (
            f"**{name} leans towards its training images** ({' and '.join(leaning)}), though no "
            f"more single ones stand out than chance lets: {said}."
        )
    return f"**{name}: no sign that training images are given back**: {said}."


def _tables(rows: Sequence[Row]) -> dict[tuple[int, str, int], list[Row]]:
    found: dict[tuple[int, str, int], list[Row]] = {}
    sizes = {row.model: row.n for row in rows if row.figure == FRECHET}
    for row in rows:
        if row.figure in FIGURES:
            key = (row.side_px, row.extractor, sizes.get(row.model, row.n))
            found.setdefault(key, []).append(row)
    return dict(sorted(found.items()))


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for model, some in _by_model(rows).items():
        by_name = {row.figure: row for row in some}
        lines.append([model, *(_cell(by_name[name].result) for name in FIGURES)])
    lines.append(["*held out (floor)*", *(_cell(by_name[f].floor_interval) for f in FIGURES)])
    lines.append(["*blurred*", *(_number(by_name[f].blurred) for f in FIGURES)])
    lines.append(["*noise (ceiling)*", *(_number(by_name[f].ceiling) for f in FIGURES)])
    return markdown_table(["", *(TITLES[name] for name in FIGURES)], lines)


def _memory_table(rows: Sequence[Row]) -> str:
    lines = []
    for model, some in _by_model(rows).items():
        found = {(row.figure, row.subset): row.result for row in some}
        for space in [space for figure, space in found if figure == RATIO]:
            lines.append([model, space, *(_cell(found[name, space]) for name in _REMEMBERED)])
    return markdown_table(["model", "distance in", *_REMEMBERED.values()], lines)


def _label_table(rows: Sequence[Row]) -> str:
    models = list(_by_model(rows))
    found = {(row.model, row.subset): row for row in rows}
    lines = []
    for label in dict.fromkeys(row.subset for row in rows):
        some = [found.get((model, label)) for model in models]
        floor = next((row.floor_interval for row in some if row is not None), None)
        cells = ["–" if row is None else _cell(row.result) for row in some]
        lines.append([label.replace("_", " "), *cells, _cell(floor)])
    return markdown_table(["label", *models, "*held out*"], lines)


def _by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return found


def _cell(result: Interval | None) -> str:
    if result is None:
        return "–"
    return format_interval(result, _digits(result.value))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    """As many decimals as leave three or four figures that mean something."""
    if abs(value) >= 10:
        return 1
    return 3 if abs(value) >= 0.1 else 4


def _percent(result: Interval) -> str:
    return f"{result.value:.1%} ({result.low:.1%} to {result.high:.1%})"
