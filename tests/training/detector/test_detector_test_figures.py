"""Figures of test patients stand in a detector's manifest and card beside the others."""

import shutil
from pathlib import Path

import pytest

from cxr_contracts import Interval, MetricRow
from cxr_training.data.splits import Split
from cxr_training.detector.published import write_test_figures
from cxr_training.export.publishing import CARD_NAME, read_manifest
from cxr_training.report.tables import of_split

MODEL = Path(__file__).parents[3] / "models/detector/yolov5n-nih"


def row(name: str, subset: str, value: float) -> MetricRow:
    result = Interval(value=value, low=value, high=value)
    return MetricRow(name=name, subset=subset, split="test", result=result, n=50, n_positive=7)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(MODEL, tmp_path / MODEL.name)


def test_test_figures_stand_first_and_validation_figures_stay(model: Path) -> None:
    before = read_manifest(model)
    validation = of_split(before.metrics, Split.VALIDATION)
    figures = [row("map50", "all", 0.777), row("ap50", "Mass", 0.011), row("map50", "view=AP", 0.5)]
    write_test_figures(model, before, figures)
    after = read_manifest(model)
    assert of_split(after.metrics, Split.VALIDATION) == validation
    assert of_split(after.metrics, Split.TEST) == figures
    card = (model / CARD_NAME).read_text()
    assert "| figure, with 95% interval | test patients | validation patients |" in card
    assert "| mAP50 | 0.777, 50 images |" in card
    assert "Hardly found (AP50 below 0.05): Mass." in card
    assert "On test patients, 95% intervals" in card
    assert "| view=AP | 0.500" in card
    assert "side_px=" not in card.partition("| Subset |")[2]


def test_measured_again_they_take_the_place_of_the_earlier_ones(model: Path) -> None:
    write_test_figures(model, read_manifest(model), [row("map50", "all", 0.1)])
    write_test_figures(model, read_manifest(model), [row("map50", "all", 0.2)])
    assert [one.result.value for one in of_split(read_manifest(model).metrics, Split.TEST)] == [0.2]
