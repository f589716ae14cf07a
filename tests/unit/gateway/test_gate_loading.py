"""The gate trusts nothing in its folder that the manifest does not vouch for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cxr_gateway.ood import OodModelError, load_ood_detector

PUBLISHED = Path(__file__).parents[3] / "models/ood/ood-cxr"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PUBLISHED, tmp_path / "ood-cxr"))


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(changes)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_published_folder_loads_and_names_itself() -> None:
    manifest = load_ood_detector(PUBLISHED).manifest
    assert (manifest.role, manifest.name) == ("gate", "ood-cxr")
    assert manifest.onnx.bytes == (PUBLISHED / manifest.onnx.path).stat().st_size < 2_000_000


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
def test_one_altered_bit_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(OodModelError, match=rf"{name}: sha256 is [0-9a-f]{{64}}, the manifest"):
        load_ood_detector(folder)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(OodModelError, match=rf"{name}: cannot be read \(No such file"):
        load_ood_detector(folder)


def test_another_models_manifest_is_refused(folder: Path) -> None:
    rewrite(folder, role="classifier")
    with pytest.raises(OodModelError, match="describes a classifier, not a gate"):
        load_ood_detector(folder)


def test_a_misspelt_key_is_refused(folder: Path) -> None:
    extra = json.loads((folder / "manifest.json").read_text())["extra"]
    rewrite(folder, extra={**extra, "rulez": {}})
    with pytest.raises(OodModelError, match="`extra` is wrong"):
        load_ood_detector(folder)


def test_a_manifest_of_two_labels_is_refused(folder: Path) -> None:
    labels = json.loads((folder / "manifest.json").read_text())["labels"]
    rewrite(folder, labels=labels * 2)
    with pytest.raises(OodModelError, match="one label, found 2"):
        load_ood_detector(folder)


def test_a_file_that_is_no_network_is_refused_even_if_vouched_for(folder: Path) -> None:
    import hashlib

    (folder / "model.onnx").write_bytes(b"no network")
    digest = hashlib.sha256(b"no network").hexdigest()
    rewrite(folder, onnx={"path": "model.onnx", "sha256": digest, "bytes": 10})
    with pytest.raises(OodModelError, match="ONNX Runtime cannot open it"):
        load_ood_detector(folder)
