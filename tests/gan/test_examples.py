"""The page's example films: marked, told of by an index, the same each time they are made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import MANIFEST_NAME
from cxr_gan.cli import main
from cxr_gan.examples import INDEX_NAME, N_EXAMPLES, SHOWN_FIRST, SIDE_PX, requests_for
from cxr_gan.folders import GeneratorManifest
from cxr_gan.generator import open_generator
from cxr_gan.marking import read_mark
from cxr_gateway.imaging import read_upload
from support.gan.runs import SIDE_PX as MADE_PX
from support.gan.runs import write_published, write_run

ROOT = Path(__file__).parents[2]
LABELS = ("Mass", "Cardiomegaly", "Pleural_Thickening")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("models") / "tiny", labels=LABELS)


def examples(*options: object) -> int:
    return main(["examples", *map(str, options)])


def index_of(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / INDEX_NAME).read_text())
    return index


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_folder(folder: Path) -> dict[str, Any]:
    """Each film that the index names is there, and no other, and its own mark says the same."""
    index = index_of(folder)
    assert {path.name for path in folder.iterdir()} == {
        INDEX_NAME,
        *(example["file"] for example in index["examples"]),
    }
    assert (index["generator"] is None) == (not index["examples"])
    for example in index["examples"]:
        mark = read_mark(folder / example["file"])
        assert mark is not None
        assert index["generator"] is not None
        made_by = index["generator"]
        assert (mark.model, mark.version, mark.sha256) == (
            made_by["name"],
            made_by["version"],
            made_by["sha256"],
        )
        asked = None if example["labels"] is None else "|".join(example["labels"]) or "No Finding"
        assert mark.labels == (asked or "")
        assert (mark.seed, mark.truncation) == (str(example["seed"]), example["truncation"])
        with Image.open(folder / example["file"]) as image:
            assert image.size == (example["side_px"], example["side_px"])
    return index


def test_each_film_is_what_it_was_asked_for_and_says_so(model: Path, tmp_path: Path) -> None:
    assert examples("--model", model, "--seed", 7, "--out", tmp_path / "e") == 0
    index = check_folder(tmp_path / "e")
    assert [
        (example["file"], example["labels"], example["seed"]) for example in index["examples"]
    ] == [
        ("synthetic-no-finding.png", [], 7),
        ("synthetic-cardiomegaly.png", ["Cardiomegaly"], 8),
        ("synthetic-mass.png", ["Mass"], 9),
        ("synthetic-pleural-thickening.png", ["Pleural_Thickening"], 10),
    ]
    manifest = GeneratorManifest.model_validate_json((model / MANIFEST_NAME).read_bytes())
    assert index["generator"] is not None
    assert index["generator"]["sha256"] == manifest.weights.sha256
    assert (index["generator"]["name"], index["generator"]["side_px"]) == ("tiny", MADE_PX)


def test_a_film_is_the_generators_image_enlarged(model: Path, tmp_path: Path) -> None:
    examples("--model", model, "--out", tmp_path / "e", "--truncation", 0.7)
    example = index_of(tmp_path / "e")["examples"][1]
    generator = open_generator(model)
    asked = generator.label_input([frozenset(example["labels"] or ())])
    [made] = generator.images([example["seed"]], asked, 0.7)
    with Image.open(tmp_path / "e" / example["file"]) as image:
        film = np.asarray(image)
    assert film.shape == (SIDE_PX, SIDE_PX)
    factor = SIDE_PX // MADE_PX
    means = film.reshape(MADE_PX, factor, MADE_PX, factor).mean((1, 3))
    # Smoothed, and cut off at black and white.
    assert np.corrcoef(means.ravel(), made.astype(float).ravel())[0, 1] > 0.95
    neighbours = np.abs(np.diff(film.astype(int), axis=1))
    assert neighbours.max() < np.abs(np.diff(made.astype(int), axis=1)).max() / 2


def test_the_same_generator_makes_the_same_bytes(model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        examples("--model", model, "--out", tmp_path / name)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    other = write_published(tmp_path / "other", labels=LABELS, seed=1)
    examples("--model", other, "--out", tmp_path / "three")
    assert not bytes_of(tmp_path / "one").items() & bytes_of(tmp_path / "three").items()


def test_the_reader_takes_the_films(model: Path, tmp_path: Path) -> None:
    examples("--model", model, "--out", tmp_path / "e")
    for example in index_of(tmp_path / "e")["examples"]:
        intake = read_upload((tmp_path / "e" / example["file"]).read_bytes())
        assert intake.grey.shape == (SIDE_PX, SIDE_PX)
        assert intake.refused is None


def test_new_examples_replace_the_old_ones(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "e"
    unlabelled = write_published(tmp_path / "unlabelled", labels=())
    assert examples("--model", unlabelled, "--out", out) == 0
    index = check_folder(out)
    assert [example["file"] for example in index["examples"]] == [
        f"synthetic-{seed}.png" for seed in range(1, N_EXAMPLES + 1)
    ]
    # It was asked for nothing, which is not the same as no finding.
    assert [example["labels"] for example in index["examples"]] == [None] * N_EXAMPLES
    assert examples("--model", model, "--out", out) == 0
    check_folder(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "unlabelled"]


def test_films_are_asked_for_what_a_generator_takes() -> None:
    fourteen = ["Atelectasis", "Hernia", *SHOWN_FIRST]
    assert requests_for(fourteen) == [frozenset(), *(frozenset({label}) for label in SHOWN_FIRST)]
    assert requests_for(["Hernia", "Mass"]) == [
        frozenset(),
        frozenset({"Mass"}),
        frozenset({"Hernia"}),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-3"], "seed -3 is not within"),
        (["--truncation", "0"], "truncation 0.0 is no number above 0"),
        (["--model", "nowhere"], "nowhere holds no published generator"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_the_old_examples(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    out = tmp_path / "e"
    examples("--model", model, "--out", out)
    before = bytes_of(out)
    capsys.readouterr()
    assert examples("--model", model, "--out", out, *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert bytes_of(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_run_that_is_not_published_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    assert examples("--model", run, "--out", tmp_path / "e") == 2
    assert "holds no published generator: there is no manifest.json" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("name", ["film.png", "notes.txt"])
def test_a_folder_that_holds_something_else_is_left_alone(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    Image.new("L", (64, 64)).save(out / name, "PNG")
    before = bytes_of(out)
    assert examples("--model", model, "--out", out) == 2
    assert f"holds {name}, which is no example" in capsys.readouterr().err
    assert examples("--model", model, "--out", out / name) == 2
    assert "is a file: name a folder" in capsys.readouterr().err
    assert bytes_of(out) == before


def test_the_pages_examples_are_films_of_a_published_generator() -> None:
    index = check_folder(ROOT / "frontend/public/examples")
    if index["generator"] is not None:
        published = ROOT / "models/gan" / index["generator"]["name"] / MANIFEST_NAME
        weights = json.loads(published.read_text())["weights"]
        assert weights["sha256"] == index["generator"]["sha256"], "run `make examples` again"
