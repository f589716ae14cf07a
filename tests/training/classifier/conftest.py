"""One quick run of the classifier, from images to a published model, for all who look at it."""

import csv
from pathlib import Path

import pytest

from cxr_contracts import Finding
from cxr_training.cli import main
from support.quick_training import quick_arguments
from support.synthetic_nih import write_nih

QUICK = (
    "members=2",
    "training.epochs=1",
    "evaluation.operating_point={sensitivity: 0.8}",
    "evaluation.resamples=20",
    "evaluation.calibration_folds=2",
)
BOXED = [label.value for label in Finding][:8]


@pytest.fixture(scope="session")
def quick_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nih/`, `test/`, `run/`, `results/` and `models/`, the run published."""
    root = tmp_path_factory.mktemp("classifier")
    _write_boxes(write_nih(root))
    _write_boxes(write_nih(root / "test", n_patients=45, seed=1, first=9001))
    run, data = str(root / "run"), ["--data", str(root)]
    assert main(["classifier", "train", "--out", run, *data, *quick_arguments(*QUICK)]) == 0
    assert main(["classifier", "evaluate", *data, "--run", run]) == 0
    out = ["--models", str(root / "models"), "--results", str(root / "results")]
    assert main(["classifier", "publish", *data, "--run", run, *out]) == 0
    return root


def _write_boxes(nih: Path) -> None:
    """A box around each square that `synthetic_nih` drew of the eight findings that NIH boxed."""
    [entries] = nih.glob("Data_Entry*.csv")
    lines = [["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]]
    with entries.open(newline="") as stream:
        for line in csv.DictReader(stream):
            finding = line["Finding Labels"]
            if finding in BOXED:
                row, column = divmod(list(Finding).index(Finding(finding)), 4)
                corner = [str(256 * column), str(256 * row)]
                lines.append([line["Image Index"], finding, *corner, "256", "256"])
    with (nih / "BBox_List_2017.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
