"""From the published folders and a published model to the figures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cxr_classifier.predictor import load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding, MetricRow
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.localisation import Case, evaluate_maps, predicted_maps, read_cases
from cxr_training.classifier.samples import LABELS
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import Split
from support.synthetic_radiographs import SyntheticData


@pytest.fixture
def data(tmp_path: Path) -> SyntheticData:
    (tmp_path / "data").mkdir()
    return SyntheticData(tmp_path / "data")


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve validation and four training patients with an effusion, boxed by either."""
    root = tmp_path_factory.mktemp("boxed")
    data = SyntheticData(root)
    box = ("Effusion", 100.0, 600.0, 300.0, 300.0)
    for split, count in ((Split.TRAIN, 4), (Split.VALIDATION, 12)):
        for number in range(count):
            nih, det = ([box], None) if number % 2 else (None, [box])
            data.add(split, findings="Effusion", nih=nih, det=det)
    data.write()
    return root


@pytest.fixture(scope="module")
def rows(boxed: Path, classifier_folder: Path) -> list[MetricRow]:
    return evaluate_maps(open_model_folder(classifier_folder, "classifier"), boxed)


def validation_cases(data: Path) -> list[Case]:
    return read_cases(data)[Split.VALIDATION]


def test_a_finding_that_both_boxed_is_one_case_with_the_boxes_of_each(
    data: SyntheticData, tmp_path: Path
) -> None:
    name = data.add(
        Split.VALIDATION,
        nih=[("Mass", 100, 100, 50, 50)],
        det=[("Mass", 110, 100, 50, 50), ("Mass", 500, 500, 50, 50), ("Effusion", 1, 1, 9, 9)],
    )
    data.write()
    effusion, mass = validation_cases(tmp_path / "data")
    assert (mass.name, mass.finding, mass.patient) == (name, Finding.MASS, name[:8])
    assert [box.x_min for box in mass.boxes] == [100, 110, 500]
    assert effusion.finding is Finding.EFFUSION
    assert len(effusion.boxes) == 1


def test_regions_become_findings_or_are_passed_over(data: SyntheticData, tmp_path: Path) -> None:
    data.add(
        Split.VALIDATION, det=[("Diffuse Nodule", 1, 1, 9, 9), ("Fracture", 1, 1, 9, 9)], nih=[]
    )
    data.add(Split.VALIDATION, nih=[("Infiltration", 1, 1, 9, 9)])
    data.write()
    cases = validation_cases(tmp_path / "data")
    assert [case.finding for case in cases] == [Finding.NODULE, Finding.INFILTRATION]


def test_each_split_has_its_own_patients(data: SyntheticData, tmp_path: Path) -> None:
    train = data.add(Split.TRAIN, nih=[("Mass", 1, 1, 9, 9)])
    validation = data.add(Split.VALIDATION, det=[("Mass", 1, 1, 9, 9)])
    data.write()
    assert [case.name for case in read_cases(tmp_path / "data")[Split.TRAIN]] == [train]
    assert [case.name for case in validation_cases(tmp_path / "data")] == [validation]


def test_a_boxed_radiograph_that_is_not_there_is_passed_over(
    data: SyntheticData, tmp_path: Path
) -> None:
    gone = data.add(Split.VALIDATION, nih=[("Mass", 1, 1, 9, 9)])
    there = data.add(Split.VALIDATION, nih=[("Mass", 1, 1, 9, 9)])
    data.write()
    (data.nih / "images" / gone).unlink()
    assert [case.name for case in validation_cases(tmp_path / "data")] == [there]


def test_nihs_boxes_alone_can_be_evaluated_on(data: SyntheticData, tmp_path: Path) -> None:
    data.add(Split.VALIDATION, nih=[("Mass", 1, 1, 9, 9)])
    data.write()
    shutil.rmtree(data.chestxdet)
    [case] = validation_cases(tmp_path / "data")
    assert len(case.boxes) == 1


def test_the_maps_are_those_that_the_service_sends(
    boxed: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    """Even where the model's labels stand in another order than the findings."""
    other = tmp_path / "reversed"
    shutil.copytree(classifier_folder, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["labels"].reverse()
    (other / "manifest.json").write_text(json.dumps(manifest))
    folder = open_model_folder(other, "classifier")
    cases = validation_cases(boxed)
    maps = predicted_maps(folder, OnnxRuntime(folder.onnx(), threads=1), cases)
    predictor = load_predictor(ClassifierSettings(model_dir=other, runtime="onnxruntime"))
    for name, cams in maps.items():
        [path] = [case.path for case in cases if case.name == name]
        prepared = predictor.prepare(DecodedImage(decode_grey(path), "png"))
        [output] = predictor.predict([prepared])
        findings, grids = output.findings_and_cams(explain=len(LABELS))
        for finding, grid in zip(findings, grids, strict=True):
            column = LABELS.index(finding.finding)
            np.testing.assert_allclose(cams[column], grid.values, atol=1e-3)


def test_a_published_model_gets_every_figure(rows: list[MetricRow]) -> None:
    found = {(row.name, row.subset): row for row in rows}
    assert len(found) == len(rows)
    assert found["pointing_game", "Effusion"].n == 12
    # The boxes all lie where the training boxes lay, and are 300 of 1024 pixels a side.
    assert found["pointing_game", "Effusion/baseline=prior"].result.value == 1.0
    assert found["cam_iou", "Effusion/baseline=prior"].result.value == 1.0
    random = found["pointing_game", "Effusion/baseline=random"].result.value
    assert random == pytest.approx((300 / 1024) ** 2, abs=1e-3)


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VALIDATION])
def test_a_split_without_a_box_leaves_no_figures(
    data: SyntheticData, classifier_folder: Path, split: Split
) -> None:
    data.add(split, nih=[("Mass", 1, 1, 9, 9)])
    data.write()
    folder = open_model_folder(classifier_folder, "classifier")
    assert evaluate_maps(folder, data.nih.parent) == []
