"""An evaluated run becomes a folder that is checked before it is opened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Interval
from cxr_gan.cli import main
from cxr_gan.evaluation.evaluate import FEATURES, PIXELS
from cxr_gan.evaluation.measures import TITLES
from cxr_gan.evaluation.memorisation import STANDING_OUT, TO_TRAINING
from cxr_gan.evaluation.results import Evaluation, read_results, write_results
from cxr_gan.folders import RUN_WEIGHTS, Figure, GeneratorManifest
from cxr_gan.generator import open_generator
from cxr_gan.marking import read_mark
from cxr_serving.model_folder import ModelFolderError
from support.gan.runs import SIDE_PX, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "tiny")


@pytest.fixture
def results(run: Path, tmp_path: Path) -> Path:
    """As `evaluate` leaves them, by their form; what stands in them does not matter here."""
    result = Interval(value=0.3, low=0.2, high=0.4)
    floor = Interval(value=0.1, low=0.05, high=0.15)

    def figure(name: str, subset: str = "", result: Interval = result) -> Figure:
        beside: dict[str, Any] = (
            {} if subset in (FEATURES, PIXELS) else {"floor": floor, "ceiling": 2.0}
        )
        return Figure(name=name, subset=subset, result=result, n=60, **beside)

    figures = [figure(name) for name in TITLES]
    for space in (FEATURES, PIXELS):
        figures += [
            figure(STANDING_OUT, space, Interval(value=0.01, low=0.0, high=0.02)),
            figure(TO_TRAINING, space, Interval(value=0.5, low=0.45, high=0.55)),
            figure("nearest_ratio", space),
            figure("share_nearer", space),
        ]
    evaluation = Evaluation(
        model="tiny",
        version="unpublished",
        sha256=open_generator(run).identity.sha256,
        side_px=SIDE_PX,
        extractor="8 px pixels",
        figures=figures,
    )
    folder = tmp_path / "results"
    write_results(evaluation, folder)
    return folder


@pytest.fixture
def published(run: Path, results: Path, tmp_path: Path) -> Path:
    models = tmp_path / "models/gan"
    options = ["--run", run, "--models", models, "--version", "1", "--results", results]
    assert main(["publish", *map(str, options), "--name", "tiny-dcgan"]) == 0
    return models / "tiny-dcgan"


def test_the_published_generator_makes_the_runs_images(run: Path, published: Path) -> None:
    ours, theirs = open_generator(published), open_generator(run)
    np.testing.assert_array_equal(ours.images([1, 2]), theirs.images([1, 2]))
    assert (ours.identity.name, ours.identity.version) == ("tiny-dcgan", "1")
    assert sorted(path.name for path in published.parent.iterdir()) == ["tiny-dcgan"]


def test_the_folder_says_what_it_is_and_what_it_may_not_be_used_for(
    published: Path, results: Path
) -> None:
    text = (published / "manifest.json").read_text()
    manifest = GeneratorManifest.model_validate_json(text)
    assert str(published.parent) not in text
    assert manifest.training.command == "cxr-gan train --data $DATA"
    assert manifest.data.n_train == 340
    assert len(manifest.figures) == len(read_results(results)[0].figures)
    card = (published / "MODEL_CARD.md").read_text()
    for line in (*manifest.intended_use, *manifest.forbidden_use):
        assert f"- {line}" in card
    assert "no sign that training images are given back" in card
    assert "| Fréchet distance | 0.300 (0.200 to 0.400) | 0.100 (0.050 to 0.150) |" in card
    mark = read_mark(published / "gallery.png")
    assert mark is not None
    assert (mark.model, mark.labels) == ("tiny-dcgan", "No Finding; Mass; Pneumonia")


def test_the_gallery_has_a_row_a_label(published: Path) -> None:
    with Image.open(published / "gallery.png") as gallery:
        grey = np.asarray(gallery)
    assert grey.shape[0] % 3 == 0
    rows = grey.reshape(3, grey.shape[0] // 3, -1)
    assert not np.array_equal(rows[0], rows[1])


def test_the_results_take_the_published_name(published: Path, results: Path) -> None:
    [evaluation] = read_results(results)
    assert (evaluation.model, evaluation.version) == ("tiny-dcgan", "1")
    assert [path.name for path in results.glob("*.json")] == ["tiny-dcgan.json"]
    assert "tiny-dcgan" in (results / "README.md").read_text()


def test_changed_weights_are_never_opened(published: Path) -> None:
    path = published / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelFolderError, match="changed after it was published"):
        open_generator(published)
    path.write_bytes(whole[:-4])
    with pytest.raises(ModelFolderError, match="cut short"):
        open_generator(published)


def test_a_manifest_with_a_misspelt_key_is_refused(published: Path) -> None:
    path = published / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sepc": {}}))
    with pytest.raises(ModelFolderError, match="is not a valid manifest: sepc"):
        open_generator(published)


def test_publishing_again_replaces_the_folder_where_that_is_said(
    run: Path, published: Path, results: Path
) -> None:
    (published / "stray").write_text("")
    options = ["--run", run, "--models", published.parent, "--version", "2", "--results", results]
    again = ["publish", *map(str, options), "--name", "tiny-dcgan"]
    assert main(again) == 2
    assert (published / "stray").exists()
    assert main([*again, "--replace"]) == 0
    assert open_generator(published).identity.version == "2"
    assert not (published / "stray").exists()


def test_a_run_that_was_not_evaluated_since_is_not_published(
    run: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", seed=1)
    (run / RUN_WEIGHTS).write_bytes((other / RUN_WEIGHTS).read_bytes())
    options = ["--run", run, "--models", tmp_path / "m", "--version", "1", "--results", results]
    assert main(["publish", *map(str, options)]) == 2
    assert "evaluate the run first" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [("run.json", "run.json cannot be read"), ("config.yaml", "config.yaml cannot be read")],
)
def test_a_run_that_does_not_describe_itself_is_not_published(
    run: Path, results: Path, capsys: pytest.CaptureFixture[str], file: str, said: str
) -> None:
    (run / file).unlink()
    models = run.parent / "models"
    options = ["--run", run, "--models", models, "--version", "1", "--results", results]
    assert main(["publish", *map(str, options)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not models.exists() or not any(models.iterdir())


@pytest.mark.parametrize(("option", "value"), [("--name", "Tiny Model"), ("--version", "a b")])
def test_a_name_that_no_model_may_have_is_a_sentence(
    run: Path, results: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    options = ["--run", run, "--models", run.parent / "m", "--version", "1", "--results", results]
    assert main(["publish", *map(str, options), option, value]) == 2
    assert f"{option[2:]}: String should match pattern" in capsys.readouterr().err
