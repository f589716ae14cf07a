"""The page's example radiographs: marked, told of by an index, the same each time they are made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxr_classifier.preprocessing import GreyImage
from cxr_contracts import MANIFEST_NAME, Finding, FindingProbability, Level
from cxr_gan.choosing import Chosen, Ranking, choose, promise
from cxr_gan.cli import main
from cxr_gan.examples import INDEX_NAME, N_EXAMPLES, SHOWN_FIRST, SIDE_PX, requests_for
from cxr_gan.folders import GeneratorManifest
from cxr_gan.generator import LabelInput, Synthesizer, open_generator
from cxr_gan.marking import read_mark
from cxr_gateway.imaging import read_upload
from support.gan.runs import SIDE_PX as MADE_PX
from support.gan.runs import write_published, write_run
from support.served_app import served

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
    """Each image that the index names is there, and no other, and its own mark says the same."""
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


def test_each_radiograph_is_what_it_was_asked_for_and_says_so(model: Path, tmp_path: Path) -> None:
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


def test_a_radiograph_is_the_generators_image_enlarged(model: Path, tmp_path: Path) -> None:
    examples("--model", model, "--out", tmp_path / "e", "--truncation", 0.7)
    example = index_of(tmp_path / "e")["examples"][1]
    generator = open_generator(model)
    asked = generator.label_input([frozenset(example["labels"] or ())])
    [made] = generator.images([example["seed"]], asked, 0.7)
    with Image.open(tmp_path / "e" / example["file"]) as image:
        radiograph = np.asarray(image)
    assert radiograph.shape == (SIDE_PX, SIDE_PX)
    factor = SIDE_PX // MADE_PX
    means = radiograph.reshape(MADE_PX, factor, MADE_PX, factor).mean((1, 3))
    # Smoothed, and cut off at black and white.
    assert np.corrcoef(means.ravel(), made.astype(float).ravel())[0, 1] > 0.95
    neighbours = np.abs(np.diff(radiograph.astype(int), axis=1))
    assert neighbours.max() < np.abs(np.diff(made.astype(int), axis=1)).max() / 2


def test_the_same_generator_makes_the_same_bytes(model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        examples("--model", model, "--out", tmp_path / name)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    other = write_published(tmp_path / "other", labels=LABELS, seed=1)
    examples("--model", other, "--out", tmp_path / "three")
    assert not bytes_of(tmp_path / "one").items() & bytes_of(tmp_path / "three").items()


def test_the_system_accepts_the_radiographs(model: Path, tmp_path: Path) -> None:
    examples("--model", model, "--out", tmp_path / "e")
    for example in index_of(tmp_path / "e")["examples"]:
        decoded = read_upload((tmp_path / "e" / example["file"]).read_bytes())
        assert decoded.grey.shape == (SIDE_PX, SIDE_PX)
        assert decoded.refused is None


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


def test_radiographs_are_asked_for_what_a_generator_takes() -> None:
    fourteen = ["Atelectasis", "Hernia", *SHOWN_FIRST]
    shown = [*SHOWN_FIRST, "Atelectasis", "Hernia"]
    assert requests_for(fourteen) == [frozenset(), *(frozenset({label}) for label in shown)]
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


@pytest.mark.parametrize("name", ["radiograph.png", "notes.txt"])
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


def test_the_pages_examples_are_radiographs_of_a_published_generator() -> None:
    index = check_folder(ROOT / "frontend/public/examples")
    if index["generator"] is not None:
        published = ROOT / "models/gan" / index["generator"]["name"] / MANIFEST_NAME
        weights = json.loads(published.read_text())["weights"]
        assert weights["sha256"] == index["generator"]["sha256"], "run `make examples` again"


def study(
    first: str = "Effusion", level: str = "likely", *, priority: str = "soon", **changes: Any
) -> dict[str, Any]:
    findings = [{"finding": first, "level": level, "probability": 0.5}]
    findings += [{"finding": "Nodule", "level": "unlikely", "probability": 0.1}]
    return {
        "status": "complete",
        "findings": findings,
        "boxes": [],
        "triage": {"priority": priority},
        **changes,
    }


def test_an_example_is_one_that_the_system_finds_first_and_likely() -> None:
    boxed = study(boxes=[{"finding": "Effusion"}])
    two = study(findings=[*study()["findings"], {"finding": "Mass", "level": "likely"}])
    read = {
        1: study("Mass"),
        2: study(level="possible"),
        3: two,
        4: study(),
        5: study(status="rejected", findings=[]),
    }
    assert choose(read, "Effusion", read.__getitem__) == Chosen(4, agreed=2)
    read[6] = boxed
    assert choose(read, "Effusion", read.__getitem__) == Chosen(6, agreed=3)
    assert choose(read, "Effusion", read.__getitem__, {6}) == Chosen(4, agreed=3)
    assert choose(read, "Effusion", read.__getitem__, {3, 4, 6}) == Chosen(None, agreed=3)
    assert choose([1, 2, 5], "Effusion", read.__getitem__) == Chosen(None, agreed=0)


def test_an_example_without_a_finding_is_routine_and_shows_none() -> None:
    boxed = study("Mass", "possible", priority="routine", boxes=[{"finding": "Mass"}])
    read = {
        1: study(priority="routine"),
        2: study("Mass", "possible", priority="soon"),
        3: boxed,
        4: study("Mass", "unlikely", priority="routine"),
    }
    assert choose(read, None, read.__getitem__) == Chosen(4, agreed=2)


@dataclass
class Reader:
    """A system that finds in each image what it is told to, and counts what it was sent."""

    says: dict[str, Any]
    n_read: int = 0

    def app(self) -> Starlette:
        def read(_request: Request) -> Response:
            self.n_read += 1
            return JSONResponse(self.says, 201)

        def serves(_request: Request) -> Response:
            return JSONResponse({"models": [{"role": "classifier", "name": "lite0-cxr"}]})

        routes = [
            Route("/api/v1/studies", read, methods=["POST"]),
            Route("/api/v1/system", serves),
        ]
        return Starlette(routes=routes)


@pytest.fixture
def reader() -> Iterator[tuple[Reader, list[object]]]:
    """A system, and the options that name it."""
    made = Reader(study("Mass"))
    with served(made.app()) as port:
        yield made, ["--system", f"http://127.0.0.1:{port}", "--candidates", 9, "--read", 3]


def test_the_classifier_ranks_thousands_and_the_system_reads_the_best(
    model: Path, classifier_folder: Path, tmp_path: Path, reader: tuple[Reader, list[object]]
) -> None:
    system, options = reader
    out = tmp_path / "e"
    options = ["--model", model, "--out", out, "--classifier", classifier_folder, *options]
    assert examples(*options) == 0
    # Of no finding and of the generator's three.
    assert system.n_read == 4 * 3
    index = check_folder(out)
    counts = {"candidates": 9, "read": 3}
    [mass] = index["examples"]
    assert mass == mass | {"labels": ["Mass"], **counts, "agreed": 3}
    assert index["without_example"] == [
        {"labels": labels, **counts, "agreed": 0}
        for labels in ([], ["Cardiomegaly"], ["Pleural_Thickening"])
    ]
    # The one of three that are the same to the system is the one that the classifier liked best.
    seeds, asked = range(1 + 2 * 9, 1 + 3 * 9), frozenset({"Mass"})
    generator, ranking = open_generator(model), Ranking(classifier_folder)
    label_input = generator.label_input([asked])
    assert ranking.best(seeds, "Mass", lambda seed: enlarged(generator, seed, label_input), 1) == [
        mass["seed"]
    ]


def enlarged(generator: Synthesizer, seed: int, asked: LabelInput) -> GreyImage:
    image = Image.fromarray(generator.images([seed], asked)[0])
    return np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def test_one_finding_is_chosen_anew_and_the_others_stay(
    model: Path,
    classifier_folder: Path,
    tmp_path: Path,
    reader: tuple[Reader, list[object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    system, options = reader
    out = tmp_path / "e"
    options = ["--model", model, "--out", out, "--classifier", classifier_folder, *options]
    assert examples(*options) == 0
    before, [mass] = bytes_of(out), index_of(out)["examples"]
    system.says, system.n_read = study("Cardiomegaly"), 0
    assert examples(*options, "--only", "Cardiomegaly", "--truncation", 0.9) == 0
    assert system.n_read == 3
    index = check_folder(out)
    assert [x["labels"] for x in index["examples"]] == [["Cardiomegaly"], ["Mass"]]
    assert index["examples"][1] == mass
    assert bytes_of(out)["synthetic-mass.png"] == before["synthetic-mass.png"]
    assert [x["labels"] for x in index["without_example"]] == [[], ["Pleural_Thickening"]]
    # Who looked at it and does not want it gets the next one.
    system.says = study("Mass")
    assert examples(*options, "--only", "Mass", "--refuse", mass["seed"]) == 0
    again = index_of(out)["examples"][1]
    assert (again["agreed"], again["seed"] == mass["seed"]) == (3, False)
    other = write_published(tmp_path / "other", labels=LABELS, seed=1)
    capsys.readouterr()
    assert examples(*options, "--only", "Mass", "--model", other) == 2
    assert "holds nothing of this generator and these models" in capsys.readouterr().err


def probabilities(**values: float) -> list[FindingProbability]:
    """By level and probability, as a classifier answers: likely from 0.5 on, possible from 0.2."""
    level = {True: Level.LIKELY, False: Level.POSSIBLE}
    made = [
        FindingProbability(
            finding=Finding(name),
            probability=value,
            level=level[value >= 0.5] if value >= 0.2 else Level.UNLIKELY,
            possible_threshold=0.2,
            likely_threshold=0.5,
        )
        for name, value in values.items()
    ]
    return sorted(made, key=lambda one: -one.probability)


def test_a_classifier_alone_prefers_what_shows_the_finding_first_and_few_others() -> None:
    ranked = [
        probabilities(Mass=0.9, Nodule=0.1),
        probabilities(Mass=0.6, Nodule=0.1),
        probabilities(Mass=0.9, Nodule=0.8),
        probabilities(Mass=0.4, Nodule=0.1),
        probabilities(Mass=0.1, Nodule=0.3),
        probabilities(Mass=0.7, Nodule=0.8),
    ]
    promises = [promise(findings, "Mass") for findings in ranked]
    assert promises == sorted(promises, reverse=True)
    healthy = [
        probabilities(Mass=0.1, Nodule=0.1),
        probabilities(Mass=0.1, Nodule=0.19),
        probabilities(Mass=0.1, Nodule=0.3),
        probabilities(Mass=0.1, Nodule=0.6),
    ]
    promises = [promise(findings, None) for findings in healthy]
    assert promises == sorted(promises, reverse=True)
    assert len(set(promises)) == 4


def test_a_system_that_does_not_answer_leaves_the_examples(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples("--model", model, "--out", tmp_path / "e")
    before = bytes_of(tmp_path / "e")
    capsys.readouterr()
    options = ("--system", "http://127.0.0.1:9", "--candidates", 2)
    assert examples("--model", model, "--out", tmp_path / "e", *options) == 2
    assert "does not read radiographs" in capsys.readouterr().err
    assert bytes_of(tmp_path / "e") == before


def test_the_documentation_says_among_how_many_each_published_example_was_chosen() -> None:
    index = index_of(ROOT / "frontend/public/examples")
    text = (ROOT / "docs/gan-sampling.md").read_text()
    for entry in [*index["examples"], *index["without_example"]]:
        asked = ", ".join(entry["labels"]).replace("_", " ") or "no finding"
        counts = f"{entry['candidates']:,} | {entry['read']} | {entry['agreed']}"
        assert f"| {asked} | {counts} | {'yes' if 'file' in entry else 'no'} |" in text
