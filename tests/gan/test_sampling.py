"""Samples as files: marked, and read by training as what they are."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_gan.cli import main
from cxr_gan.generator import open_generator
from cxr_gan.marking import DISCLAIMER, read_mark
from cxr_gan.sampling import drawn_like, shuffled
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.manifest_csv import read_entries
from cxr_training.data.splits import Split
from support.gan.runs import write_run
from support.synthetic_nih import write_nih


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "unlabelled", labels=())


def sample(*options: object) -> int:
    return main(["sample", *map(str, options)])


def test_training_reads_the_manifest_and_only_trains_on_it(run: Path, tmp_path: Path) -> None:
    asked = ["--label", "Pneumonia", "--label", "No Finding"]
    assert sample("--model", run, "--n", 30, "--seed", 7, *asked, "--out", tmp_path / "s") == 0
    images = [entry.radiograph for entry in read_entries(tmp_path / "s/manifest.csv")]
    assert all(image.synthetic for image in images)
    assert Counter(len(image.findings) for image in images) == {1: 30, 0: 30}
    # By the numbers' hash alone, about nine of sixty would be validated on.
    collection = read_collection(None, [tmp_path / "s/manifest.csv"])
    assert set(collection.splits.values()) == {Split.TRAIN}
    assert len(collection.splits) == 60
    assert all(patient.startswith("own:synthetic:tiny:") for patient in collection.splits)


def test_a_real_radiograph_cannot_be_an_invented_patients(run: Path, tmp_path: Path) -> None:
    sample("--model", run, "--n", 1, "--out", tmp_path / "s")
    manifest = tmp_path / "s/manifest.csv"
    manifest.write_text(manifest.read_text().replace(",1,train", ",0,validation"))
    with pytest.raises(
        DataError, match=r"csv:2: patient synthetic:tiny:.* was made by a generator"
    ):
        read_entries(manifest)


def test_every_file_says_that_it_is_synthetic_and_how_to_make_it_again(
    run: Path, tmp_path: Path
) -> None:
    options = ["--seed", 41, "--label", "Mass|Pneumonia", "--truncation", 0.8]
    sample("--model", run, "--n", 2, *options, "--out", tmp_path / "s")
    path = tmp_path / "s/images/Mass+Pneumonia-00000042.png"
    mark = read_mark(path)
    assert mark is not None
    generator = open_generator(run)
    assert (mark.model, mark.version, mark.sha256) == (
        "tiny",
        "unpublished",
        generator.identity.sha256,
    )
    assert (mark.seed, mark.labels, mark.truncation) == ("42", "Mass|Pneumonia", 0.8)
    again = generator.images([42], generator.label_input([frozenset({"Mass", "Pneumonia"})]), 0.8)
    with Image.open(path) as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), again[0])
        assert image.info["Disclaimer"] == DISCLAIMER
        assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]


def test_a_radiographs_file_carries_no_mark(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert read_mark(tmp_path / "a.png") is None


def test_labels_are_drawn_like_those_of_training_radiographs(run: Path, tmp_path: Path) -> None:
    nih = write_nih(tmp_path, n_patients=60)
    sample("--model", run, "--n", 40, "--labels-like", nih.parent, "--out", tmp_path / "s")
    found = Counter(field for field in fields(tmp_path / "s/manifest.csv"))
    assert set(found) <= {"No Finding", "Mass", "Pneumonia"}
    assert found["No Finding"] > 20


def test_drawn_labels_keep_their_frequencies_and_follow_from_the_seed() -> None:
    known = [frozenset({"Mass"})] * 1 + [frozenset[str]()] * 9
    drawn = drawn_like(known, 2000, 1)
    assert 0.07 < sum(bool(findings) for findings in drawn) / 2000 < 0.13
    assert drawn == drawn_like(known, 2000, 1) != drawn_like(known, 2000, 2)


def test_shuffled_labels_stand_in_the_manifest_and_the_asked_ones_in_the_file(
    run: Path, tmp_path: Path
) -> None:
    asked = ["--label", "Mass", "--label", "Pneumonia", "--shuffle-labels"]
    sample("--model", run, "--n", 20, *asked, "--out", tmp_path / "s")
    stated = fields(tmp_path / "s/manifest.csv")
    entries = read_entries(tmp_path / "s/manifest.csv")
    marks = [read_mark(entry.radiograph.path) for entry in entries]
    really = [mark.labels for mark in marks if mark is not None]
    assert Counter(stated) == Counter(really) == {"Mass": 20, "Pneumonia": 20}
    wrong = sum(one != other for one, other in zip(stated, really, strict=True))
    assert 8 < wrong < 32
    sets = [frozenset({str(number)}) for number in range(50)]
    assert sorted(map(sorted, shuffled(sets, 1))) == sorted(map(sorted, sets))


def test_images_of_a_generator_without_labels_are_of_what_the_user_states(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("--model", unlabelled, "--n", 2, "--out", tmp_path / "s") == 2
    assert "say with --state LABEL what its images are of" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    stated = ["--state", "Hernia", "--out", tmp_path / "s"]
    assert sample("--model", unlabelled, "--n", 2, *stated) == 0
    assert fields(tmp_path / "s/manifest.csv") == ["Hernia", "Hernia"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "0"], "--n 0: at least one image"),
        (["--n", "1", "--label", "Cough"], "--label Cough: 'Cough' is not a valid Finding"),
        (["--n", "1", "--label", "Hernia"], "tiny has no label 'Hernia'"),
        (["--n", "1", "--seed", "-3"], "seed -3 is not within"),
        (["--n", "1", "--state", "Mass"], "tiny takes labels"),
        (["--n", "1", "--truncation", "nan"], "truncation nan is no number"),
        (["--n", "1", "--label", "Mass", "--labels-like", "."], "one of them, not both"),
        (["--n", "1", "--labels-like", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert sample("--model", run, *options, "--out", tmp_path / "s") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert sample("--model", run, "--n", 1, "--out", tmp_path) == 2
    assert "holds something already" in capsys.readouterr().err
    assert sample("--model", run, "--n", 1, "--out", tmp_path / "notes.txt") == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def fields(manifest: Path) -> list[str]:
    with manifest.open(newline="") as stream:
        return [row["findings"] for row in csv.DictReader(stream)]
