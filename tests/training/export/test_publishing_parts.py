import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Interval, MetricRow
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import (
    append_metrics,
    current_commit,
    portable_command,
    read_metrics,
    write_json,
)
from cxr_training.export.publishing import check_same_answers, model_file
from cxr_training.report.tables import (
    differing_figures,
    format_interval,
    markdown_table,
    metric_row,
)


def test_a_model_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    described = model_file(path)
    assert described.path == "model.onnx"
    assert described.bytes == 7
    assert described.sha256 == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("gap", [2e-3, float("nan")])
def test_an_onnx_file_that_answers_otherwise_is_not_published(gap: float) -> None:
    answers = np.zeros((2, 14), dtype=np.float32)
    check_same_answers("logits", answers, answers + 5e-4)
    with pytest.raises(PublishError, match="logits"):
        check_same_answers("logits", answers, answers + gap)


def test_a_large_map_may_differ_in_proportion_and_never_without_end() -> None:
    maps = np.full((2, 14, 7, 7), 500.0, dtype=np.float32)
    check_same_answers("cams", maps, maps + 0.4, relative=True)
    with pytest.raises(PublishError, match="cams"):
        check_same_answers("cams", maps, maps + 0.6, relative=True)
    with pytest.raises(PublishError, match="cams"):
        check_same_answers("cams", np.zeros((2, 7, 7)), np.zeros((2, 8, 8)))
    with pytest.raises(PublishError, match="cams"):
        check_same_answers("cams", np.full((2, 2), np.inf), np.zeros((2, 2)), relative=True)


def test_a_figure_that_is_not_defined_makes_no_row() -> None:
    assert metric_row("auroc", "all", float("nan"), n=3, n_positive=0) == []
    assert metric_row("auroc", "all", None, n=3, n_positive=0) == []
    [row] = metric_row(
        "auroc", "all", Interval(value=0.80001, low=0.7, high=0.9), n=3, n_positive=1
    )
    assert row.result.value == 0.8


def test_intervals_are_written_where_there_is_one() -> None:
    assert format_interval(Interval(value=0.8, low=0.7, high=0.9)) == "0.800 (0.700 to 0.900)"
    assert format_interval(Interval(value=0.8, low=0.8, high=0.8)) == "0.800"
    assert markdown_table(["a", "b"], [["1", "2"]]).splitlines()[1] == "| --- | --: |"


def test_the_commit_of_this_checkout_is_a_hash() -> None:
    commit = current_commit().removesuffix("-dirty")
    assert len(commit) == 40
    assert int(commit, 16)


def test_metrics_and_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    append_metrics(tmp_path / "metrics.jsonl", {"epoch": 1})
    append_metrics(tmp_path / "metrics.jsonl", {"epoch": 2})
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    write_json(tmp_path / "run.json", {"data": tmp_path})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["metrics.jsonl", "run.json"]


def test_a_published_command_names_no_folder_of_this_machine() -> None:
    command = "python -m x train --config c.yaml --data /home/a/data --out=/b/runs --set a.b=1"
    command += " --backbone-start /c/m --start /c/w --pseudo-labels /d/said.jsonl"
    assert portable_command(command) == (
        "python -m x train --config c.yaml --data $DATA --out $OUT --set a.b=1"
        " --backbone-start $BACKBONE_START --start $START --pseudo-labels $PSEUDO_LABELS"
    )


def _row(name: str, value: float, n: int = 10) -> MetricRow:
    result = Interval(value=value, low=value - 0.1, high=value + 0.1)
    return MetricRow(name=name, subset="all", split="validation", result=result, n=n, n_positive=4)


def test_figures_measured_again_are_the_same_within_the_tolerance() -> None:
    assert differing_figures([_row("auroc", 0.8)], [_row("auroc", 0.8009)], 0.001) == []


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        ([_row("auroc", 0.803)], "auroc of all: published 0.8000 .* measured 0.8030"),
        ([_row("auroc", 0.8, n=9)], r"published of 10 \(4\), measured of 9 \(4\)"),
        ([], "published, but not measured"),
        ([_row("auroc", 0.8), _row("ece", 0.1)], "ece of all: measured, but not published"),
        ([_row("auroc", float("nan"))], "measured nan"),
    ],
)
def test_a_figure_that_cannot_be_measured_again_is_named(
    measured: list[MetricRow], sentence: str
) -> None:
    [found] = differing_figures([_row("auroc", 0.8)], measured, 0.001)
    assert re.search(sentence, found)
