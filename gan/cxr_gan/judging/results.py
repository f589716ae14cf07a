"""The folder of results: CSV, page and pictures, which agree because one call writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.judging.memorisation import Nearness
from cxr_gan.judging.plots import draw_figures, draw_nearness
from cxr_gan.judging.report import report
from cxr_gan.judging.rows import Row, read_rows, write_rows

REPORT_NAME, FIGURES_PNG = "README.md", "figures.png"


def write_results(
    rows: Sequence[Row],
    results: Path,
    near: Mapping[str, tuple[Nearness, Nearness]] | None = None,
) -> None:
    """Put a model's `rows` among the results and make the page and the pictures anew.

    Args:
        rows: of one model.
        results: the folder.
        near: what its picture of nearest training images shows; None leaves it as it is.

    Raises:
        GanError: the folder cannot be written, or holds a broken CSV.
    """
    try:
        write_rows(rows, results)
        everything = read_rows(results)
        (results / REPORT_NAME).write_text(report(everything), encoding="utf-8")
        draw_figures(everything, results / FIGURES_PNG)
        if near is not None:
            draw_nearness(near, nearness_picture(results, rows[0].model))
    except OSError as error:
        raise GanError(f"{results} cannot be written: {error.strerror or error}") from error


def nearness_picture(results: Path, model: str) -> Path:
    """Where the picture of a model's nearest training images stands."""
    return results / f"{model}-nearest.png"
