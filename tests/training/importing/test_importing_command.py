"""`cxr models`: a model folder, or a sentence and nothing left behind."""

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from cxr_contracts import Finding, ModelManifest
from cxr_training.cli import main
from cxr_training.core.runs import sha256_of
from cxr_training.export.publishing import staged
from cxr_training.importing import ModelImportError
from cxr_training.importing.download import download, download_from_hub
from support.weights_server import serving

MODELS = Path(__file__).parents[3] / "models"
NETWORK = "test_resnet"
NAMES = [finding.value for finding in Finding]


def cxr(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = timm.create_model(NETWORK, num_classes=14)
    path = tmp_path / "given" / "weights.safetensors"
    path.parent.mkdir()
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    rows = "".join(f"{name},0.3\n" for name in NAMES)
    (path.parent / "labels.csv").write_text("label,threshold\n" + rows)
    return path


def timm_options(weights: Path) -> list[Any]:
    labels = weights.parent / "labels.csv"
    return ["--weights", weights, "--architecture", NETWORK, "--labels", labels, "--size", "96"]


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address is asked for through a proxy that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, address)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_timm_checkpoint_becomes_a_folder_that_says_what_it_is(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    arguments = ["import", "timm", *timm_options(weights), "--name", "mine", "--models", models]
    assert cxr(*arguments, "--licence", "CC0-1.0", "--trained-on", "Our own radiographs") == 0
    folder = models / "classifier" / "mine"
    assert capsys.readouterr().out.splitlines() == [
        str(folder),
        f"Serve it with CXR_CLASSIFIER_MODEL_DIR={folder}",
    ]
    assert {path.name for path in folder.iterdir()} == {
        *("weights.safetensors", "model.onnx", "manifest.json", "MODEL_CARD.md")
    }
    text = (folder / "manifest.json").read_text()
    manifest = ModelManifest.model_validate_json(text)
    assert str(tmp_path) not in text
    assert manifest.licence == "CC0-1.0"
    assert manifest.data.sources == ["Our own radiographs"]
    assert manifest.extra["imported"]["sha256"] == sha256_of(weights)
    assert {label.threshold_rule for label in manifest.labels} == {"from labels.csv"}
    assert len(load_file(folder / "weights.safetensors")) == len(load_file(weights))
    card = (folder / "MODEL_CARD.md").read_text()
    assert "Nothing was measured here" in card
    assert "CC0-1.0" in card

    # Another of that name only where it was asked for.
    assert cxr(*arguments) == 2
    assert "is there already" in capsys.readouterr().err
    before = (folder / "manifest.json").stat().st_ino
    assert cxr(*arguments, "--replace", "--licence", "MIT") == 0
    assert (folder / "manifest.json").stat().st_ino != before
    assert [path.name for path in (models / "classifier").iterdir()] == ["mine"]


def test_a_published_model_is_taken_over_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MODELS / "ood" / "ood-cxr"
    assert cxr("import", "manifest", "--folder", source, "--models", tmp_path) == 0
    target = tmp_path / "ood" / "ood-cxr"
    for path in target.iterdir():
        assert path.read_bytes() == (source / path.name).read_bytes()
    assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}
    capsys.readouterr()
    assert cxr("list", "--models", tmp_path) == 0
    assert "ood-cxr" in capsys.readouterr().out


def _cut_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _change_onnx(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _edit(folder: Path, change: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _other_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    state = load_file(path)
    save_file({name: value * 1.5 for name, value in state.items()}, path)
    changed = {"path": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    _edit(folder, lambda manifest: manifest.update(weights=changed))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "not a valid manifest"),
        (lambda folder: _edit(folder, lambda manifest: manifest.pop("labels")), "labels: Field"),
        (
            lambda folder: _edit(folder, lambda m: m["labels"].pop()),
            "13 logits and 13 maps are due",
        ),
        (lambda folder: _edit(folder, lambda m: m["input"].update(channels=3)), "first run failed"),
        (_cut_weights, "cut short or from another version"),
        (_change_onnx, "changed after it was published"),
        (_other_weights, "logits: ONNX .* differs from PyTorch"),
    ],
)
def test_a_folder_that_is_not_what_it_says_is_refused(
    classifier_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Any,
    reason: str,
) -> None:
    source, models = tmp_path / "source", tmp_path / "models"
    shutil.copytree(classifier_folder, source)
    damage(source)
    assert cxr("import", "manifest", "--folder", source, "--models", models) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("models: ")
    assert len(captured.err.splitlines()) == 1
    assert re.search(reason, captured.err)
    assert not models.exists()


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "nowhere"
    assert cxr("import", "manifest", "--folder", folder, "--models", tmp_path / "models") == 2
    assert f"There is no model folder at {folder}" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["torchxrayvision"], "give --weights FILE, or --variant"),
        (["torchxrayvision", "--weights", "absent.pt", "--name", "x"], "absent.pt cannot be read"),
        (["torchxrayvision", "--weights", "absent.pt"], "give the new model a --name"),
        (["torchxrayvision", "--weights", "a.pt", "--name", "../x"], "name '../x'"),
        (["eva-x"], "give --weights FILE, or --variant"),
        (["eva-x", "--variant", "huge"], "no variant 'huge' of EVA-X: tiny, small, base"),
        (["onnx", "--weights", "a.onnx", "--name", "x"], "--labels is needed"),
        (["timm", "--weights", "a.pt", "--name", "x"], "--weights needs --architecture"),
        (["timm", "--hub", "owner/name", "--name", "x"], "not of the form hf-hub:owner/name"),
    ],
)
def test_what_cannot_be_imported_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert cxr("import", *arguments, "--models", tmp_path / "models") == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "models").exists()


def test_weights_of_which_nobody_says_the_licence_are_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*timm_options(weights), "--name", "x", "--models", tmp_path / "models"]
    assert cxr("import", "timm", *options) == 2
    assert f"{weights} does not say under which licence it is" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_weights_of_another_sha256_are_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*timm_options(weights), "--name", "x", "--sha256", "0" * 64]
    assert cxr("import", "timm", *options, "--models", tmp_path / "models") == 2
    assert f"has the sha256 {sha256_of(weights)}, not 000" in capsys.readouterr().err


@pytest.mark.usefixtures("no_way_out")
@pytest.mark.parametrize(
    "arguments",
    [
        ["torchxrayvision", "--variant", "densenet121-res224-all"],
        ["eva-x", "--variant", "tiny"],
        ["timm", "--hub", "hf-hub:owner/name"],
    ],
)
def test_an_unreachable_host_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cxr("import", *arguments, "--models", tmp_path / "models") == 2
    error = capsys.readouterr().err
    assert "cannot be reached" in error
    assert "give it with --weights" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "models").exists()


def test_a_file_is_downloaded_whole_or_not_at_all(tmp_path: Path, weights: Path) -> None:
    files = {"/v1/weights.safetensors": weights}
    with serving(files) as address:
        got = download(f"{address}/v1/weights.safetensors", tmp_path)
        assert got.read_bytes() == weights.read_bytes()
        with pytest.raises(ModelImportError, match="status 404"):
            download(f"{address}/v1/other.pt", tmp_path)
    with serving(files, cut_short=True) as address, pytest.raises(ModelImportError, match="reach"):
        download(f"{address}/v1/weights.safetensors", tmp_path)


def test_the_hub_gives_configuration_and_weights(tmp_path: Path, weights: Path) -> None:
    config = tmp_path / "given.json"
    config.write_text(json.dumps({"architecture": NETWORK}))
    place = "/owner/name/resolve/main/"
    hub = "hf-hub:owner/name"
    bare = {"/": config, f"{place}config.json": config}
    with (
        serving(bare) as address,
        pytest.raises(ModelImportError, match=r"lacks config\.json, or model"),
    ):
        download_from_hub(hub, tmp_path / "bare", address)
    files = {"/": config, f"{place}config.json": config, f"{place}model.safetensors": weights}
    with serving(files) as address:
        configuration, got = download_from_hub(hub, tmp_path / "whole", address)
    assert configuration.read_bytes() == config.read_bytes()
    assert got.read_bytes() == weights.read_bytes()


def _write_half(folder: Path, content: str) -> None:
    (folder / "card").write_text(content)
    raise KeyError


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "models" / "classifier" / "x"
    with pytest.raises(KeyError), staged(target, replace=True) as folder:
        _write_half(folder, "half of it")
    assert not (tmp_path / "models").exists()


def test_a_folder_whose_replacing_fails_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "models" / "classifier" / "x"
    with staged(target, replace=False) as folder:
        (folder / "card").write_text("old")
    with pytest.raises(KeyError), staged(target, replace=True) as folder:
        _write_half(folder, "new")
    assert (target / "card").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
