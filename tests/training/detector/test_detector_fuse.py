"""A detector made of others: made by the command, served by the service, refused when it is not."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cxr_contracts import (
    DETECT_PATH,
    LOWEST_MIN_SCORE,
    DetectResponse,
    Interval,
    MetricRow,
    QuantisedModel,
)
from cxr_detector.app import create_app
from cxr_detector.fused import (
    MEMBERS_FILE,
    QUANTISED_MEMBERS_FILE,
    FusedPredictor,
    QuantisedMembers,
    member_folders,
    quantised_members,
)
from cxr_detector.fusion import fuse
from cxr_detector.loading import load_predictor
from cxr_detector.postprocessing import Detections
from cxr_detector.settings import DetectorSettings
from cxr_serving import quantised as serving_quantised
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolderError, open_model_folder
from cxr_training.cli import main
from cxr_training.data.annotations import read_annotations
from cxr_training.data.splits import Split, split_sha256
from cxr_training.export.publishing import model_file, read_manifest, write_manifest
from cxr_training.importing import ModelImportError
from cxr_training.importing.folder import import_folder
from cxr_training.quantisation.quantise import INT8_NAME, quantise
from support.images import encoded, radiograph_like
from support.model_folders import write_detector_folder
from support.synthetic_radiographs import SyntheticData, write_small_data

pytestmark = pytest.mark.slow

MEMBERS = ("yolov5n-one", "yolo26n-other")


def fuse_step(models: Path, data: SyntheticData, *names: str) -> int:
    return main(
        [
            *("detector", "fuse"),
            *(part for name in names for part in ("--model", str(models / name))),
            *("--data", str(data.nih.parent)),
            *("--models", str(models), "--name", "fused"),
        ]
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, data: SyntheticData) -> Path:
    root = tmp_path_factory.mktemp("models")
    split = split_sha256(read_annotations(data.nih.parent).splits)
    for seed, name in enumerate(MEMBERS):
        folder = write_detector_folder(root / name, seed, name=name.split("-")[0], resize="stretch")
        manifest = read_manifest(folder)
        where = manifest.data.model_copy(update={"split_sha256": split})
        # As of every recipe; a card says it.
        made = manifest.training.model_copy(update={"recipe": {"n_background": 0}})
        update = {"data": where, "name": name, "training": made}
        write_manifest(manifest.model_copy(update=update), folder)
    assert fuse_step(root, data, *MEMBERS) == 0
    return root


def settings(models: Path, name: str) -> DetectorSettings:
    return DetectorSettings(model_dir=models / name, runtime="onnxruntime")


async def detect(models: Path, name: str, image: np.ndarray, low: float) -> DetectResponse:
    app = create_app(settings(models, name))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=60
        ) as client,
    ):
        assert await app.state.service.loaded()
        response = await client.post(
            DETECT_PATH,
            files={"image": ("radiograph.png", encoded(image))},
            params={"min_score": low},
        )
    assert response.status_code == 200, response.text
    return DetectResponse.model_validate_json(response.content)


def image_of(width: int, height: int) -> DecodedImage:
    return DecodedImage(radiograph_like(width, height), "png")


def all_found(models: Path, name: str, image: DecodedImage) -> Detections:
    predictor = load_predictor(settings(models, name))
    prepared = replace(predictor.prepare(image), min_score=LOWEST_MIN_SCORE)
    (found,) = predictor.predict([prepared])
    return found


def test_it_answers_what_its_members_say_fused(models: Path) -> None:
    image = image_of(300, 240)
    expected = fuse([all_found(models, name, image) for name in MEMBERS], iou=0.5)
    got = all_found(models, "fused", image)
    count = len(got.scores)
    assert count > 5
    np.testing.assert_array_equal(got.scores, expected.scores[:count])
    np.testing.assert_array_equal(got.boxes, expected.boxes[:count])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_how_many_run_at_once_changes_nothing_but_the_time(models: Path, threads: int) -> None:
    """One after the other, one core each, and more cores than networks."""
    image = image_of(300, 240)
    expected = all_found(models, "fused", image)
    predictor = load_predictor(
        DetectorSettings(model_dir=models / "fused", runtime="onnxruntime", threads=threads)
    )
    prepared = replace(predictor.prepare(image), min_score=LOWEST_MIN_SCORE)
    for found in predictor.predict([prepared] * 3):
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


async def test_the_service_serves_it_as_any_other(models: Path) -> None:
    image = radiograph_like(300, 240)
    body = await detect(models, "fused", image, LOWEST_MIN_SCORE)
    manifest = read_manifest(models / "fused")
    assert (body.model.name, body.model.sha256) == ("fused", manifest.weights.sha256)
    expected = all_found(models, "fused", image_of(300, 240))
    assert [box.score for box in body.boxes] == pytest.approx(expected.scores.tolist(), abs=1e-6)


def test_what_a_box_scores_does_not_depend_on_what_is_asked_for(models: Path) -> None:
    predictor = load_predictor(settings(models, "fused"))
    assert isinstance(predictor, FusedPredictor)
    prepared = predictor.prepare(image_of(200, 240))
    (above,) = predictor.predict([prepared])
    (everything,) = predictor.predict([replace(prepared, min_score=LOWEST_MIN_SCORE)])
    assert len(everything.scores) > len(above.scores)
    assert above.above_threshold.all()
    np.testing.assert_array_equal(everything.boxes[everything.above_threshold], above.boxes)
    np.testing.assert_array_equal(everything.scores[everything.above_threshold], above.scores)


def test_manifest_and_card_say_what_it_is_made_of(models: Path) -> None:
    manifest = read_manifest(models / "fused")
    members = json.loads((models / "fused" / MEMBERS_FILE).read_text())["members"]
    assert [one["name"] for one in members] == list(MEMBERS)
    assert manifest.weights == manifest.onnx
    assert manifest.weights.path == MEMBERS_FILE
    named = {(row.name, row.subset) for row in manifest.metrics}
    assert {("map50", "all"), ("froc_1", "all"), ("map50_known", "all")} <= named
    card = (models / "fused" / "MODEL_CARD.md").read_text()
    assert "[yolov5n-one 0](../yolov5n-one/MODEL_CARD.md)" in card
    assert "| mAP50 |" in card


@pytest.fixture(scope="module")
def quantised(models: Path, data: SyntheticData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same models; one member has an 8-bit file, and the fused one was measured with it."""
    root = Path(shutil.copytree(models, tmp_path_factory.mktemp("quantised") / "models"))
    folder = open_model_folder(root / MEMBERS[0], "detector")
    images = [image.path for image in read_annotations(data.nih.parent).of(Split.VALIDATION)]
    made = quantise(folder, images[:4], folder.path / INT8_NAME)
    rewrite(folder.path, made.model_copy(update={"gate": [loss(0.001)]}))
    fused = open_model_folder(root / "fused", "detector")
    together = quantised_members(member_folders(fused))
    listed = QuantisedMembers(members=together).model_dump_json()
    (fused.path / QUANTISED_MEMBERS_FILE).write_text(listed)
    file = model_file(fused.path / QUANTISED_MEMBERS_FILE)
    rewrite(fused.path, QuantisedModel(onnx=file, method="", check=None, gate=[loss(0.001)]))
    return root


def rewrite(folder: Path, int8: QuantisedModel) -> None:
    write_manifest(read_manifest(folder).model_copy(update={"int8": int8}), folder)


def loss(value: float) -> MetricRow:
    result = Interval(value=value, low=value, high=value)
    return MetricRow(
        name="map50_loss", subset="all", split="validation", result=result, n=9, n_positive=None
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with VNNI, on which an 8-bit file takes half the time."""
    monkeypatch.setattr(
        serving_quantised, "_seconds", lambda runtime, _: 0.01 if "int8" in runtime.name else 0.02
    )
    defaults: Any = serving_quantised.load_onnx.__kwdefaults__
    monkeypatch.setitem(defaults, "flags", lambda: serving_quantised.VNNI)


@pytest.mark.usefixtures("quick")
def test_its_members_run_with_8_bits_where_they_were_measured_together(
    models: Path, quantised: Path
) -> None:
    image = image_of(300, 240)
    assert load_predictor(settings(quantised, "fused")).runtime == "onnxruntime-int8"
    assert load_predictor(settings(models, "fused")).runtime == "onnxruntime"
    expected = fuse([all_found(quantised, name, image) for name in MEMBERS], iou=0.5)
    got = all_found(quantised, "fused", image)
    np.testing.assert_array_equal(got.scores, expected.scores[: len(got.scores)])
    assert not np.array_equal(got.scores, all_found(models, "fused", image).scores)


@pytest.mark.usefixtures("quick")
def test_without_that_they_run_as_they_are_and_the_log_says_why(
    quantised: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def runs_as_it_is_for(reason: str, name: str, change: Callable[[Path], None]) -> None:
        root = Path(shutil.copytree(quantised, tmp_path / name))
        change(root)
        with caplog.at_level(logging.INFO, "cxr.int8"):
            assert load_predictor(settings(root, "fused")).runtime == "onnxruntime"
        assert f"The 8-bit file of fused is passed over: {reason}" in caplog.text
        caplog.clear()

    def with_gate(root: Path, gate: list[MetricRow]) -> None:
        int8 = read_manifest(root / "fused").int8
        assert int8 is not None
        rewrite(root / "fused", int8.model_copy(update={"gate": gate}))

    def with_another_file(root: Path) -> None:
        int8 = read_manifest(root / MEMBERS[0]).int8
        assert int8 is not None
        other = int8.onnx.model_copy(update={"sha256": "0" * 64})
        rewrite(root / MEMBERS[0], int8.model_copy(update={"onnx": other}))

    runs_as_it_is_for(
        "its map50_loss of 0.0060 is above 0.005",
        "gate",
        lambda root: with_gate(root, [loss(0.006)]),
    )
    runs_as_it_is_for("its manifest states no loss", "none", lambda root: with_gate(root, []))
    runs_as_it_is_for(
        "its members' files are others than those that were measured", "other", with_another_file
    )
    listed = Path("fused") / QUANTISED_MEMBERS_FILE
    runs_as_it_is_for(
        "its members' files are others", "gone", lambda root: drop_int8(root / MEMBERS[0])
    )
    runs_as_it_is_for(
        f"{tmp_path / 'missing' / listed} cannot be read",
        "missing",
        lambda root: (root / listed).unlink(),
    )
    off = settings(quantised, "fused").model_copy(update={"int8": "off"})
    assert load_predictor(off).runtime == "onnxruntime"


def drop_int8(folder: Path) -> None:
    write_manifest(read_manifest(folder).model_copy(update={"int8": None}), folder)


def test_what_members_lose_together_is_measured_by_the_command(
    models: Path,
    data: SyntheticData,
    quantised: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = Path(shutil.copytree(quantised, tmp_path / "models"))
    drop_int8(root / "fused")
    command = ("quantise", "--data", str(data.nih.parent), "--model", str(root / "fused"))
    passed = main([*command]) == 0
    assert "map50_loss, validation: " in capsys.readouterr().out
    int8 = read_manifest(root / "fused").int8
    assert passed == (int8 is not None) == (root / "fused" / QUANTISED_MEMBERS_FILE).exists()
    if int8 is not None:
        assert (int8.failed_gate, int8.check) == (None, None)
        card = (root / "fused" / "MODEL_CARD.md").read_text()
        assert "8-bit files of its members run in place of the others" in card
        assert MEMBERS[0] in int8.method
    without = Path(shutil.copytree(models, tmp_path / "without"))
    assert (
        main(["quantise", "--data", str(data.nih.parent), "--model", str(without / "fused")]) == 2
    )
    assert "no member of fused has an 8-bit file" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_an_imported_one_brings_the_8_bit_files(quantised: Path, tmp_path: Path) -> None:
    folder = import_folder(quantised / "fused", tmp_path / "models", replace=False)
    assert load_predictor(settings(folder.parent, "fused")).runtime == "onnxruntime-int8"


def copied(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models, tmp_path / "models"))


def test_a_member_that_was_exchanged_is_refused(models: Path, tmp_path: Path) -> None:
    root = copied(models, tmp_path)
    shutil.rmtree(root / MEMBERS[1])
    write_detector_folder(root / MEMBERS[1], 7, name="yolo26n")
    with pytest.raises(ModelFolderError, match=r"is another yolo26n-other than the one"):
        load_predictor(settings(root, "fused"))


def test_a_member_that_is_gone_is_named(models: Path, tmp_path: Path) -> None:
    root = copied(models, tmp_path)
    shutil.rmtree(root / MEMBERS[0])
    with pytest.raises(ModelFolderError, match=r"no model folder at .*yolov5n-one"):
        load_predictor(settings(root, "fused"))


@pytest.mark.parametrize("file", [f"fused/{MEMBERS_FILE}", f"{MEMBERS[0]}/model.onnx"])
def test_a_changed_byte_anywhere_is_refused(models: Path, tmp_path: Path, file: str) -> None:
    root = copied(models, tmp_path)
    data = bytearray((root / file).read_bytes())
    data[-2] ^= 1
    (root / file).write_bytes(data)
    with pytest.raises(ModelFolderError, match="changed after it was published"):
        load_predictor(settings(root, "fused"))


def test_one_detector_alone_is_not_fused(
    models: Path, data: SyntheticData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(models, tmp_path)
    assert fuse_step(root, data, MEMBERS[0]) == 2
    assert "at least two detectors" in capsys.readouterr().err


def resize_step(folder: Path, data: SyntheticData, input_px: int) -> int:
    return main(
        [
            *("detector", "resize", "--data", str(data.nih.parent), "--model", str(folder)),
            *("--input-px", str(input_px), "--version", "2"),
        ]
    )


def test_a_resized_detector_has_the_same_weights_and_all_else_anew(
    models: Path, data: SyntheticData, tmp_path: Path
) -> None:
    root = copied(models, tmp_path)
    folder, image = root / MEMBERS[0], image_of(300, 240)
    before, found = read_manifest(folder), all_found(root, MEMBERS[0], image)
    assert resize_step(folder, data, 96) == 0
    after = read_manifest(folder)
    assert (after.weights, after.version) == (before.weights, "2")
    assert (after.input.width_px, after.input.height_px) == (96, 96)
    assert after.onnx.sha256 != before.onnx.sha256
    assert {row.split for row in after.metrics} == {"validation"}
    assert len(all_found(root, MEMBERS[0], image).scores) != len(found.scores)
    # It is another network than the one that was fused.
    with pytest.raises(ModelFolderError, match="fuse them again"):
        load_predictor(settings(root, "fused"))


@pytest.mark.parametrize(
    ("name", "input_px"), [pytest.param(MEMBERS[0], 100, id="side"), ("fused", 96)]
)
def test_what_cannot_be_resized_stays_as_it_was(
    models: Path, data: SyntheticData, tmp_path: Path, name: str, input_px: int
) -> None:
    root = copied(models, tmp_path)
    assert resize_step(root / name, data, input_px) == 2
    assert read_manifest(root / name) == read_manifest(models / name)


def test_an_imported_one_brings_the_others_and_takes_no_foreign_one_for_one(
    models: Path, tmp_path: Path
) -> None:
    here = tmp_path / "models"
    folder = import_folder(models / "fused", here, replace=False)
    assert sorted(path.name for path in (here / "detector").iterdir()) == sorted(
        ["fused", *MEMBERS]
    )
    image = image_of(200, 240)
    np.testing.assert_array_equal(
        all_found(folder.parent, "fused", image).scores, all_found(models, "fused", image).scores
    )
    # Those that are there already stay.
    shutil.rmtree(folder)
    import_folder(models / "fused", here, replace=False)
    shutil.rmtree(here / "detector" / MEMBERS[1])
    write_detector_folder(here / "detector" / MEMBERS[1], 7, name="yolo26n")
    with pytest.raises(ModelImportError, match=r"fused from another yolo26n-other than the one in"):
        import_folder(models / "fused", here, replace=True)
