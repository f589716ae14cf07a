"""The notebook from a table to ROC curves runs, cell by cell, as it stands."""

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from support.own_images import LABELS, write_own_images

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "docs" / "notebooks" / "own-data.ipynb"


@pytest.mark.slow
def test_ten_cells_from_a_table_to_roc_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("agg")
    table = write_own_images(tmp_path, 80, seed=3)
    shutil.copytree(ROOT / "models" / "ood", tmp_path / "models" / "ood")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CXR_NOTEBOOK_TABLE", str(table))
    monkeypatch.setenv("CXR_NOTEBOOK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("CXR_NOTEBOOK_RUNS", str(tmp_path / "runs"))
    quick = ("training.epochs=1", "training.steps_per_epoch=4", "training.threads=1")
    monkeypatch.setenv("CXR_NOTEBOOK_SET", ";".join([*quick, "evaluation.resamples=20"]))
    notebook = json.loads(NOTEBOOK.read_text())
    assert len(notebook["cells"]) == 10
    space: dict[str, Any] = {}
    for cell in notebook["cells"]:
        assert cell["outputs"] == []  # nobody's images in the repository
        exec("".join(cell["source"]), space)
    assert set(space["areas"]) == set(LABELS)
    assert all(0 <= area <= 1 for area in space["areas"].values())
    assert space["axes"].lines
