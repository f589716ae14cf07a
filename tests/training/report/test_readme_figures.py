"""The README's figures are those of the published manifests."""

from pathlib import Path

import pytest

from cxr_training.report.figures import END, START, table, with_table

ROOT = Path(__file__).parents[3]


def test_the_readme_shows_the_figures_of_the_published_models() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == with_table(readme, table(ROOT / "models")), "run make generate"


def test_only_what_stands_between_the_marks_is_written() -> None:
    assert with_table(f"a\n{START}\nold\n{END}\nb", "new") == f"a\n{START}\nnew\n{END}\nb"


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        with_table("nothing", "new")
