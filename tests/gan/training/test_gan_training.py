"""`cxr-gan train` on a drawn set in NIH's layout: what it leaves, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from cxr_gan.cli import main
from cxr_gan.networks.spec import GeneratorSpec
from support.gan.quick import quick_arguments
from support.synthetic_nih import write_nih

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 15 training images of a finding."""
    folder = tmp_path_factory.mktemp("gan")
    write_nih(folder)
    return folder


def train(root: Path, out: str, recipe: str = "pggan-modern", *overrides: str) -> int:
    data = ["--data", str(root), "--out", str(root / out)]
    return main(["train", *quick_arguments(recipe, *overrides), *data])


def test_a_run_directory_describes_itself(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(root, "run") == 0
    run = root / "run"
    assert (
        "train: warning: fewer than 50 training images of Atelectasis (" in capsys.readouterr().err
    )
    assert {path.name for path in run.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "generator.safetensors",
        "last.pt",
        "metrics.jsonl",
        "run.json",
        "samples",
        "spec.json",
    }
    spec = GeneratorSpec.model_validate_json((run / "spec.json").read_text())
    assert spec.labels == ("Atelectasis", "Hernia")
    facts = json.loads((run / "run.json").read_text())
    with (root / "nih/Data_Entry_2017_v2020.csv").open() as stream:
        assert 0 < facts["n_train"] < len(list(csv.DictReader(stream)))
    with Image.open(run / "samples/000000080-0008px.png") as grid:
        # A row without a finding and one for each label; cells are enlarged to be seen.
        assert grid.size == (8 * 64, 3 * 64)
        assert "Synthetic" in grid.info


def test_a_finished_run_is_not_overwritten_but_resumed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, "once", "pggan") == 0
    assert train(root, "once", "pggan") == 2
    assert "holds a run already" in capsys.readouterr().err
    more = quick_arguments("pggan", "growth.images_at_last=64")
    data = ["--data", str(root), "--out", str(root / "once"), "--resume"]
    assert main(["train", *more, *data]) == 0
    assert len(json.loads((root / "once/run.json").read_text())["sessions"]) == 2


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("labels=[Hernia, Gout]",), "fewer than 10 training images of Gout (0)"),
        (("labels=[Hernia, Hernia]",), "a label stands there twice"),
        (("image.side_px=12",), "image.side_px: 12 is no power of two"),
        (("growth.start_px=16",), "growth.start_px is above image.side_px"),
        (("image.side_px=1024",), "radiographs of 1024 px or more: at least 1 are needed"),
        (("training.colour=red",), "training.colour: Extra inputs are not permitted"),
        (("seed",), "is not of the form section.key=value"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_and_exit_status_2(
    overrides: tuple[str, ...], sentence: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, "refused", "pggan-modern", *overrides) == 2
    said = capsys.readouterr().err.splitlines()
    [line] = [one for one in said if one and not one.startswith("decoding: ")]
    assert sentence in line
    assert not (root / "refused").exists()


def test_a_label_of_hardly_any_image_and_a_folder_of_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_nih(tmp_path, n_patients=15)
    assert train(tmp_path, "few") == 2
    assert "fewer than 10 training images of Atelectasis (" in capsys.readouterr().err
    for image in (folder / "images").iterdir():
        image.unlink()
    assert train(tmp_path, "none") == 2
    assert "under images*/" in capsys.readouterr().err
    assert main(["train", *quick_arguments("pggan"), "--out", str(tmp_path / "nowhere")]) == 2
    assert "--data, --manifest, or both are needed" in capsys.readouterr().err


def test_several_processes_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert train(root, "both") == 2
    assert "runs in one process" in capsys.readouterr().err
