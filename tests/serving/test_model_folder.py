"""A model folder that is not what its manifest says is refused, with a sentence that helps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_contracts import MANIFEST_NAME
from cxr_serving.model_folder import ModelFolderError, choose_model, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime


@pytest.fixture
def folder(classifier_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classifier_folder, tmp_path / "model"))


def test_an_untouched_folder_gives_its_files_and_names_its_weights(folder: Path) -> None:
    model = open_model_folder(folder, "classifier")
    assert model.weights() == (folder / "weights.safetensors").read_bytes()
    assert model.onnx() == (folder / "model.onnx").read_bytes()
    assert model.identity.sha256 == model.manifest.weights.sha256


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [(flip_a_byte, "was changed"), (cut, "cut short"), (Path.unlink, "cannot be read")],
)
def test_a_damaged_file_is_never_handed_out(
    folder: Path, name: str, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder / name)
    model = open_model_folder(folder, "classifier")
    with pytest.raises(ModelFolderError, match=words):
        model.weights() if name == "weights.safetensors" else model.onnx()


def change(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest | fields))


def test_a_misspelt_key_of_the_manifest_is_named(folder: Path) -> None:
    change(folder, thresholds_rule="youden")
    with pytest.raises(ModelFolderError, match="thresholds_rule"):
        open_model_folder(folder, "classifier")


def test_a_manifest_cannot_point_out_of_its_folder(folder: Path) -> None:
    change(folder, onnx={"path": "../model.onnx", "sha256": "0" * 64, "bytes": 1})
    with pytest.raises(ModelFolderError, match=r"onnx\.path"):
        open_model_folder(folder, "classifier")


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_text("{")
    with pytest.raises(ModelFolderError, match="not a valid manifest"):
        open_model_folder(folder, "classifier")


def test_a_folder_of_another_role_is_refused(folder: Path) -> None:
    with pytest.raises(ModelFolderError, match="holds a classifier, and a detector is needed"):
        open_model_folder(folder, "detector")


def test_a_missing_folder_and_a_missing_manifest_are_named(folder: Path) -> None:
    with pytest.raises(ModelFolderError, match="There is no model folder at"):
        open_model_folder(folder / "nowhere", "classifier")
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(ModelFolderError, match=r"manifest\.json cannot be read"):
        open_model_folder(folder, "classifier")


def test_bytes_that_are_no_network_are_refused() -> None:
    with pytest.raises(ModelFolderError, match="ONNX Runtime cannot load"):
        OnnxRuntime(b"not a network", threads=1)


def test_a_folder_of_several_models_says_which_one_is_served(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "DEFAULT").write_text("second\n")
    assert choose_model(tmp_path) == tmp_path / "second"
    assert choose_model(tmp_path, "first") == tmp_path / "first"
    assert choose_model(tmp_path / "first") == tmp_path / "first"


@pytest.mark.parametrize("said", ["gone", "../second", "", "Second"])
def test_a_default_that_is_not_there_is_a_sentence(tmp_path: Path, said: str) -> None:
    (tmp_path / "second").mkdir()
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "DEFAULT").write_text(said)
    with pytest.raises(ModelFolderError, match=r"DEFAULT names .* no such model folder beside it"):
        choose_model(folder)
