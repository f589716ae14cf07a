"""The fourteen findings are found among the outputs of a foreign network, or it is refused."""

from pathlib import Path

import pytest

from cxr_contracts import Finding
from cxr_training.data.errors import DataError
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import NO_OPERATING_POINT, Output, read_labels, select

NAMES = [finding.value for finding in Finding]


def test_outputs_are_put_into_our_order_and_the_others_dropped() -> None:
    names = ["Fracture", *reversed(NAMES), ""]
    selection = select([Output(name, 0.25) for name in names], "x", "rule")
    assert selection.rows == list(range(14, 0, -1))
    assert [label.name for label in selection.labels] == NAMES
    assert {(label.threshold, label.threshold_rule) for label in selection.labels} == {
        (0.25, "rule")
    }
    assert selection.dropped == ["Fracture"]


def test_without_any_threshold_each_is_one_half_and_says_so() -> None:
    selection = select([Output(name) for name in NAMES], "x", "rule")
    assert {(label.threshold, label.threshold_rule) for label in selection.labels} == {
        (0.5, NO_OPERATING_POINT)
    }


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([Output(name) for name in NAMES if name != "Hernia"], "no output for Hernia"),
        ([Output(name) for name in NAMES[2:]], "no output for Atelectasis, Cardiomegaly"),
        ([Output(name) for name in [*NAMES, "Pleural Thickening"]], "Pleural_Thickening twice"),
        ([Output(n, None if n == "Mass" else 0.1) for n in NAMES], "no threshold for Mass"),
    ],
)
def test_outputs_that_are_not_the_fourteen_are_refused(outputs: list[Output], reason: str) -> None:
    with pytest.raises(ModelImportError, match=reason):
        select(outputs, "x", "rule")


def test_a_labels_file_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,threshold,slope,intercept\nMass,0.2,1.5,-0.5\n\nOther,,,\n,0.1,,\n")
    assert read_labels(path) == [
        Output("Mass", 0.2, 1.5, -0.5),
        Output("Other"),
        Output("", 0.1),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name\nMass\n", r"labels\.csv:1: column 'label' is missing"),
        ("", r"labels\.csv:1: column 'label' is missing"),
        ("label,treshold\nMass,0.1\n", r"labels\.csv:1: column 'treshold' is none of"),
        ("label,threshold\nMass,0.1\nEdema,high\n", r"labels\.csv:3: threshold 'high': "),
        ("label,threshold\nMass,1.5\n", r"labels\.csv:2: threshold '1\.5': "),
        ("label,slope\nMass,inf\n", r"labels\.csv:2: slope 'inf': "),
        ("label\nMass,0.1\n", r"labels\.csv:2: 2 fields instead of 1"),
    ],
)
def test_a_wrong_labels_file_is_refused_with_its_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_labels(path)


def test_a_missing_labels_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_labels(tmp_path / "labels.csv")
