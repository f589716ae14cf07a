"""The README and the results' page show the figures of the published manifests."""

from pathlib import Path

import pytest

from cxr_training.report.figures import END, START, headlines, table, with_figures

ROOT = Path(__file__).parents[3]


def test_the_pages_show_the_figures_of_the_published_models() -> None:
    for name, figures in (("README.md", headlines), ("docs/results/README.md", table)):
        page = (ROOT / name).read_text()
        assert page == with_figures(page, figures(ROOT / "models")), "run make generate"


def test_only_what_stands_between_the_marks_is_written() -> None:
    assert with_figures(f"a\n{START}\nold\n{END}\nb", "new") == f"a\n{START}\nnew\n{END}\nb"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        with_figures("nothing", "new")
