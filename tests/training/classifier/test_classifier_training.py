"""The way from images to a published model, on drawn radiographs."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from cxr_classifier.network import build_network, load_weights
from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Finding, ModelManifest
from cxr_training.cli import main
from cxr_training.core.runs import sha256_of
from support.synthetic_manifest import whole_rows, write_manifest
from support.synthetic_nih import draw, write_nih

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parents[3] / "training/configs/classifier.yaml"
# One network alone; `test_classifier_members` trains two.
ONE = ["--set", "members=1", "--set", "start=null"]
QUICK = ["--set", "input.width_px=64", "--set", "input.height_px=64", *ONE]


def write_data(root: Path) -> list[str]:
    """NIH's layout and a site's manifest; the options that name them."""
    write_nih(root)
    manifest = write_manifest(root / "site/manifest.csv", whole_rows())
    return ["--data", str(root), "--manifest", str(manifest)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classifier")
    run, data = ["--run", str(root / "run")], write_data(root)
    train = ["train", "--config", str(CONFIG), "--out", str(root / "run"), "--smoke"]
    assert main(["classifier", *train, *data, *QUICK]) == 0
    assert main(["classifier", "evaluate", *data, *run]) == 0
    results = ["--models", str(root / "models"), "--results", str(root / "results")]
    assert main(["classifier", "publish", *run, *results]) == 0
    return root


@pytest.fixture(scope="module")
def folder(published: Path) -> Path:
    return published / "models/classifier/lite0-cxr"


@pytest.fixture(scope="module")
def manifest(folder: Path) -> ModelManifest:
    return ModelManifest.model_validate_json((folder / "manifest.json").read_text())


def test_publishing_under_a_name_that_is_taken_removes_nothing(
    published: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = ["classifier", "publish", "--run", str(published / "run")]
    again += ["--models", str(published / "models"), "--results", str(published / "results")]
    assert main(again) == 2
    assert "is there already: give another name, or --replace" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert main([*again, "--replace"]) == 0
    assert {path.name for path in folder.iterdir()} == before.keys()


def test_a_run_directory_describes_itself(published: Path) -> None:
    run = published / "run"
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "run.json", "splits.csv", "metrics.jsonl", "curves.png"} <= names
    assert {"best.pt", "last.pt", "model"} <= names
    facts = json.loads((run / "run.json").read_text())
    # `--smoke` trains on the images of 60 patients; there are fewer to validate on.
    assert facts["n_train"] <= 120
    assert facts["n_validation"] <= 120
    assert facts["manifests"] == [str(published / "site/manifest.csv")]
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert np.isfinite(first["train_loss"])
    assert set(first["val_auroc"]) == {label.value for label in Finding}


def test_the_manifest_names_the_files_by_their_content(
    folder: Path, manifest: ModelManifest
) -> None:
    for file in (manifest.weights, manifest.onnx):
        assert sha256_of(folder / file.path) == file.sha256
        assert (folder / file.path).stat().st_size == file.bytes
    assert [label.name for label in manifest.labels] == [label.value for label in Finding]
    assert manifest.input.width_px == 64
    nih, site = manifest.data.sources
    assert nih.startswith("NIH ChestX-ray14")
    assert site.startswith("manifest.csv, a CSV manifest of 28 images, 0 of them synthetic")


def test_the_manifest_and_the_card_name_no_folder_of_this_machine(
    published: Path, folder: Path
) -> None:
    for name in ("manifest.json", "MODEL_CARD.md"):
        assert str(published) not in (folder / name).read_text()
    card = (folder / "MODEL_CARD.md").read_text()
    assert "Not a medical device" in card
    assert all(label.value in card for label in Finding)


def test_onnx_runtime_and_pytorch_give_the_same_answers_on_any_batch(
    folder: Path, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(5)
    images = [draw(finding, 200, rng) for finding in (None, *Finding)]
    batch = np.stack([preprocess(image, manifest.input) for image in images])
    network = build_network(manifest.architecture, len(manifest.labels))
    load_weights(network, load_file(folder / manifest.weights.path))
    session = onnxruntime.InferenceSession(
        folder / manifest.onnx.path, providers=["CPUExecutionProvider"]
    )
    for size in (1, 3, len(batch)):
        logits, cams = session.run(["logits", "cams"], {"image": batch[:size]})
        with torch.inference_mode():
            expected_logits, expected_cams = network(torch.from_numpy(batch[:size]))
        np.testing.assert_allclose(logits, expected_logits, atol=1e-3)
        np.testing.assert_allclose(cams, expected_cams, atol=1e-3)
        np.testing.assert_allclose(cams.mean(axis=(2, 3)), logits, atol=1e-3)


def test_a_second_run_into_the_same_folder_is_refused_and_a_resume_goes_on(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = str(published / "site/manifest.csv")
    data = ["--data", str(published), "--manifest", manifest]
    common = ["--config", str(CONFIG), *data, "--out", str(published / "run")]
    assert main(["classifier", "train", *common, "--smoke", *QUICK]) == 2
    assert "holds a run already" in capsys.readouterr().err
    two_epochs = [*QUICK, "--set", "training.epochs=2"]
    assert main(["classifier", "train", *common, "--smoke", *two_epochs, "--resume"]) == 0
    lines = (published / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    sessions = json.loads((published / "run/run.json").read_text())["sessions"]
    assert [session["after_epochs"] for session in sessions] == [0, 1]
    assert [session["config"]["training"]["epochs"] for session in sessions] == [1, 2]


def test_a_run_that_was_not_evaluated_is_not_published(
    tmp_path: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text((published / "run/config.yaml").read_text())
    results = ["--results", str(tmp_path / "results")]
    out = ["--run", str(tmp_path), "--models", str(tmp_path / "models")]
    assert main(["classifier", "publish", *out, *results]) == 2
    assert "model is missing: run `cxr classifier evaluate" in capsys.readouterr().err


def test_a_run_that_was_trained_on_since_is_not_published(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(published / "run", tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write((run / "metrics.jsonl").read_text().splitlines()[-1] + "\n")
    out = ["--run", str(run), "--models", str(tmp_path / "models")]
    assert main(["classifier", "publish", *out, "--results", str(tmp_path / "results")]) == 2
    assert "was trained on since it was evaluated: run `evaluate` again" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_broken_data_set_is_refused_with_a_sentence_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nih = write_nih(tmp_path)
    (nih / "images/00000001_000.png").write_bytes(b"no image")
    run = tmp_path / "run"
    arguments = ["--config", str(CONFIG), "--data", str(tmp_path), "--out", str(run), "--smoke"]
    assert main(["classifier", "train", *arguments]) == 2
    assert "00000001_000.png: is not a readable image" in capsys.readouterr().err
    assert not run.exists()


def test_evaluating_without_the_manifest_of_the_training_is_refused(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--run", str(published / "run")]
    assert main(["classifier", "evaluate", *run, "--data", str(published)]) == 2
    assert "nih: other patients than the data that" in capsys.readouterr().err
    assert main(["classifier", "evaluate", *run]) == 2
    assert "--data, --manifest, or both are needed" in capsys.readouterr().err
