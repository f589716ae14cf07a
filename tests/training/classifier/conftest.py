"""One quick run of the classifier, from images to a published model, for all who look at it."""

from pathlib import Path

import pytest

from cxr_training.cli import main
from support.quick_training import quick_arguments
from support.synthetic_nih import write_boxes, write_nih

QUICK = (
    "members=2",
    "training.epochs=1",
    "evaluation.resamples=20",
    "evaluation.calibration_folds=2",
)


@pytest.fixture(scope="session")
def quick_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nih/`, `test/`, `run/`, `results/` and `models/`, the run published."""
    root = tmp_path_factory.mktemp("classifier")
    write_boxes(write_nih(root))
    write_boxes(write_nih(root / "test", n_patients=45, seed=1, first=9001))
    run, data = str(root / "run"), ["--data", str(root)]
    assert main(["classifier", "train", "--out", run, *data, *quick_arguments(*QUICK)]) == 0
    assert main(["classifier", "evaluate", *data, "--run", run]) == 0
    out = ["--models", str(root / "models"), "--results", str(root / "results")]
    assert main(["classifier", "publish", *data, "--run", run, *out]) == 0
    return root
