"""Which of a model's files runs: chosen at start, and never a file that may not."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxr_classifier.predictor import load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    MANIFEST_NAME,
    Interval,
    MetricRow,
    ModelManifest,
    QuantisedModel,
    SelfCheck,
)
from cxr_serving import quantised as module
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.quantised import check_image, cpu_flags, load_onnx, same_answers
from cxr_training.quantisation.quantise import INT8_NAME, quantise
from support.images import radiograph_like
from support.model_folders import write_classifier_folder

VNNI = {"avx2", "avx512_vnni"}


def loss(value: float, split: str = "validation", name: str = "auroc_loss") -> MetricRow:
    result = Interval(value=value, low=value, high=value)
    return MetricRow(name=name, subset="all", split=split, result=result, n=9, n_positive=None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of random weights and its 8-bit file, which loses nothing by its manifest."""
    root = tmp_path_factory.mktemp("int8")
    folder = write_classifier_folder(root / "random")
    images = []
    for number in range(4):
        images.append(root / f"{number}.png")
        Image.fromarray(radiograph_like(120, 100 + number)).save(images[-1])
    opened = open_model_folder(folder, "classifier")
    other = quantise(opened, images, folder / INT8_NAME)
    rewrite(folder, other.model_copy(update={"gate": [loss(0.001)]}))
    return folder


def rewrite(folder: Path, int8: QuantisedModel) -> None:
    path = folder / MANIFEST_NAME
    manifest = ModelManifest.model_validate_json(path.read_bytes())
    path.write_text(manifest.model_copy(update={"int8": int8}).model_dump_json())


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    shutil.copytree(made, tmp_path / "random")
    return tmp_path / "random"


def opened(folder: Path) -> tuple[ModelFolder, QuantisedModel]:
    model = open_model_folder(folder, "classifier")
    assert model.manifest.int8 is not None
    return model, model.manifest.int8


def run(folder: Path, **more: Any) -> OnnxRuntime:
    options: dict[str, Any] = {"int8": "auto", "flags": lambda: VNNI} | more
    return load_onnx(opened(folder)[0], threads=1, **options)


def passed_over(folder: Path, caplog: pytest.LogCaptureFixture, **more: Any) -> str:
    """Why the 8-bit file does not run; the float32 file does."""
    with caplog.at_level(logging.INFO, "cxr.int8"):
        assert run(folder, **more).name == "onnxruntime"
    [record] = caplog.records
    return record.getMessage()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 8-bit file takes half the time, as on a CPU with VNNI."""
    monkeypatch.setattr(
        module, "_seconds", lambda runtime, _: 0.01 if "int8" in runtime.name else 0.02
    )


@pytest.mark.usefixtures("quick")
def test_the_faster_file_runs_and_says_nearly_the_same(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cxr.int8"):
        runtime = run(folder)
    assert runtime.name == "onnxruntime-int8"
    assert "runs with 8-bit integers: 10.0 ms an image instead of 20.0" in caplog.text
    model, _ = opened(folder)
    plain = OnnxRuntime(model.onnx(), threads=1)
    image = check_image(model.manifest.input, 5)
    (ours, *_), (theirs, *_) = runtime.run(image), plain.run(image)
    assert not np.array_equal(ours, theirs)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.8


@pytest.mark.usefixtures("quick")
def test_a_service_says_which_file_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults: Any = load_onnx.__kwdefaults__
    monkeypatch.setitem(defaults, "flags", lambda: VNNI)
    settings = ClassifierSettings(model_dir=folder, runtime="onnxruntime", threads=1)
    model = load_predictor(settings)
    assert model.runtime == "onnxruntime-int8"
    [output] = model.predict([model.prepare(DecodedImage(radiograph_like(90, 80), "png"))])
    assert np.isfinite(output.logits).all()
    off = load_predictor(settings.model_copy(update={"int8": "off"}))
    assert off.runtime == "onnxruntime"


def test_off_means_off_without_a_word(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(folder, int8="off").name == "onnxruntime"
    assert not caplog.records


def test_a_cpu_without_the_instructions_runs_the_other(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = passed_over(folder, caplog, flags=lambda: {"avx2"})
    assert said == (
        "The 8-bit file of random-classifier is passed over: this CPU has no VNNI. "
        "The float32 file runs."
    )


def test_where_it_is_the_slower_one_the_other_runs(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "_seconds", lambda runtime, _: 0.03 if "int8" in runtime.name else 0.02
    )
    assert "it takes 30.0 ms an image here, the float32 file 20.0" in passed_over(folder, caplog)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ([], "its manifest states no loss on validation patients"),
        ([loss(0.0, split="test")], "its manifest states no loss on validation patients"),
        ([loss(0.003)], "its auroc_loss of 0.0030 is above 0.002"),
        ([loss(0.006, name="map50_loss")], "its map50_loss of 0.0060 is above 0.005"),
        (
            [loss(0.0), loss(0.08, name="level_changes")],
            "its level_changes of 0.0800 is above 0.05",
        ),
        ([loss(float("nan"))], "its auroc_loss of nan is above 0.002"),
    ],
)
def test_a_file_that_did_not_pass_its_gate_is_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture, gate: list[MetricRow], reason: str
) -> None:
    int8 = opened(folder)[1].model_copy(update={"gate": gate})
    assert int8.failed_gate == reason
    if "nan" not in reason:  # JSON has none
        rewrite(folder, int8)
        assert reason in passed_over(folder, caplog)


def test_a_file_that_is_missing_cut_or_another_is_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / INT8_NAME).read_bytes()
    (folder / INT8_NAME).write_bytes(whole[:-1])
    assert "it is cut short or from another version" in passed_over(folder, caplog)
    caplog.clear()
    (folder / INT8_NAME).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "it was changed after it was published" in passed_over(folder, caplog)
    caplog.clear()
    (folder / INT8_NAME).unlink()
    assert "cannot be read" in passed_over(folder, caplog)


def test_a_file_that_answers_otherwise_than_where_it_was_made_is_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    int8 = opened(folder)[1]
    check = int8.check
    assert check is not None
    answers = [
        answer + 2 * allowed for answer, allowed in zip(check.answers, check.allowed, strict=True)
    ]
    check = check.model_copy(update={"answers": answers})
    rewrite(folder, int8.model_copy(update={"check": check}))
    assert "answers otherwise than where it was made" in passed_over(folder, caplog)


def test_answers_are_the_same_within_what_is_allowed_of_each() -> None:
    check = SelfCheck(seed=0, answers=[1.0, -2.0], allowed=[0.1, 0.5])
    assert same_answers(check, [1.05, -2.4])
    assert not same_answers(check, [1.2, -2.0])
    assert not same_answers(check, [1.0])
    assert not same_answers(check, [1.0, float("nan")])
    with pytest.raises(ValueError, match="a figure for each"):
        SelfCheck(seed=0, answers=[1.0, 2.0], allowed=[0.1])


def test_flags_are_those_of_the_first_processor_and_none_where_there_is_no_such_file(
    tmp_path: Path,
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: x\nflags\t\t: fpu avx512_vnni\n\nflags\t\t: fpu\n")
    assert cpu_flags(info) == {"fpu", "avx512_vnni"}
    assert cpu_flags(tmp_path / "none") == frozenset()
