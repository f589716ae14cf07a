"""The figures of evaluated generators: a JSON file each, and the page that is made from them."""

from collections.abc import Sequence
from pathlib import Path

from cxr_contracts import Interval
from cxr_gan.errors import read_keys, validated
from cxr_gan.evaluation.measures import TITLES
from cxr_gan.evaluation.memorisation import EXPECTED, verdict
from cxr_gan.folders import Figure
from cxr_training.core.config import Section
from cxr_training.report.tables import format_interval, markdown_table

PAGE_NAME = "README.md"


class Evaluation(Section):
    """The figures of one generator."""

    model: str
    version: str
    sha256: str
    """Of its weights."""
    side_px: int
    extractor: str
    """In whose features the distances are."""
    figures: list[Figure]


def read_results(results: Path) -> list[Evaluation]:
    """All evaluations under `results`, by model; GanError for a broken file."""
    paths = sorted(results.glob("*.json"))
    return [validated(Evaluation, read_keys(path), path) for path in paths]


def write_results(evaluation: Evaluation, results: Path) -> None:
    """Put it in the place of what the same model or the same weights had; the page anew."""
    results.mkdir(parents=True, exist_ok=True)
    for old in read_results(results):
        if old.sha256 == evaluation.sha256:
            (results / f"{old.model}.json").unlink()
    text = evaluation.model_dump_json(indent=1) + "\n"
    (results / f"{evaluation.model}.json").write_text(text, encoding="utf-8")
    (results / PAGE_NAME).write_text(page(read_results(results)), encoding="utf-8")


def differing(published: Sequence[Figure], measured: Sequence[Figure]) -> list[str]:
    """What was measured otherwise, a sentence each: by more than a quarter of its interval."""
    again = {(figure.name, figure.subset): figure for figure in measured}
    sentences = []
    for figure in published:
        what, was = f"{figure.name} {figure.subset}".strip(), figure.result
        found = again.pop((figure.name, figure.subset), None)
        if found is None:
            sentences.append(f"{what}: published, but not measured")
        elif found.n != figure.n:
            sentences.append(f"{what}: published of {figure.n}, measured of {found.n}")
        elif abs(found.result.value - was.value) > (
            (was.high - was.low) / 4 + 1e-3 * abs(was.value) + 1e-6
        ):
            now = found.result.value
            sentences.append(f"{what}: published {was.value:.4g}, measured {now:.4g}")
    return sentences + [f"{' '.join(x).strip()}: measured, but not published" for x in again]


def page(evaluations: Sequence[Evaluation]) -> str:
    """`README.md` of the results: a table for each size and extractor."""
    parts = [
        "# Evaluation of the synthetic radiographs",
        "Made by `cxr-gan evaluate`; what each figure means: "
        "[gan-sampling.md](../../gan-sampling.md). No figure here says that an image is fit for "
        "diagnosis.",
    ]
    for side_px, extractor in dict.fromkeys((x.side_px, x.extractor) for x in evaluations):
        some = [x for x in evaluations if (x.side_px, x.extractor) == (side_px, extractor)]
        parts += [f"## {side_px} px, {extractor} features", figures_table(some)]
    parts += ["## Are training images given back?"]
    return "\n\n".join(parts + [verdict(x.model, x.figures) for x in evaluations]) + "\n"


def titled(figure: Figure) -> str:
    """Its name in words."""
    return TITLES.get(figure.name, f"{figure.name.replace('_', ' ')}, in {figure.subset}")


def cell(result: Interval | None) -> str:
    """With three or four figures that mean something."""
    if result is None:
        return "–"
    size = abs(result.value)
    return format_interval(result, 1 if size >= 10 else 3 if size >= 0.1 else 4)


def figures_table(evaluations: Sequence[Evaluation]) -> str:
    """A line for each figure; what real images and noise get stands beside it."""
    by_model = [{(f.name, f.subset): f for f in x.figures} for x in evaluations]
    lines = []
    for key in dict.fromkeys(key for figures in by_model for key in figures):
        found = [figures.get(key) for figures in by_model]
        one = next(figure for figure in found if figure is not None)
        beside = [cell(one.floor), *(_number(x) for x in (one.blurred, one.ceiling))]
        if one.name in EXPECTED:
            beside[0] = f"{EXPECTED[one.name]:g} expected"
        samples = [cell(None if figure is None else figure.result) for figure in found]
        lines.append([titled(one), *samples, *beside])
    names = [x.model for x in evaluations]
    return markdown_table(["", *names, "*held out (floor)*", "*blurred*", "*noise*"], lines)


def _number(value: float | None) -> str:
    return cell(None if value is None else Interval(value=value, low=value, high=value))
