"""The whole study on drawn radiographs and generators that learnt nothing."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_contracts import Finding
from cxr_gan.__main__ import main
from cxr_gan.errors import GanError
from cxr_gan.study import training
from cxr_gan.study.answers import read_answers
from cxr_gan.study.plan import load_plan
from cxr_gan.study.preparing import Prepared, Request, prepare
from cxr_gan.study.progress import run_folder
from cxr_gan.study.rows import read_rows
from cxr_gan.study.smoke import OVERRIDES, smoke_plan, stand_ins
from cxr_gan.study.study import retraining, run_study
from cxr_gan.study.training import refuse_synthetic_validation, train_one
from cxr_training.classifier.config import load_config
from cxr_training.classifier.oversampling import added_rows
from cxr_training.classifier.samples import LABELS, as_samples, read_samples
from cxr_training.data.collection import read_collection
from cxr_training.data.manifest_csv import read_entries
from cxr_training.data.splits import split_sha256
from gan_runs import write_run
from gan_studies import ROOT, write_plan
from support.synthetic_nih import write_nih

REAL = {"says": "real", "kind": "real"}
ARMS = {
    "real": REAL,
    "oversampled": {"says": "oversampled", "kind": "oversampled", "share": "balance"},
    "modern": {
        "says": "modern",
        "kind": "synthetic",
        "generator": "pggan-modern",
        "share": "balance",
    },
    "half": {"says": "half", "kind": "synthetic", "generator": "pggan-modern", "share": 0.5},
    "shuffled": {
        "says": "shuffled",
        "kind": "synthetic",
        "generator": "pggan-modern",
        "share": "balance",
        "shuffled": True,
    },
    "pggan": {"says": "pggan", "kind": "synthetic", "generator": "pggan", "share": "balance"},
    "pretrained": {"says": "pretrained", "kind": "pretrained", "generator": "pggan-modern"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("data"), n_patients=150).parent


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plan") / "plan.yaml", arms=ARMS)


def command(data: Path, plan: Path, out: Path, *more: object) -> list[str]:
    options = ["study", "--smoke", "--data", data, "--plan", plan, "--out", out]
    options += ["--judged", out / "judged", "--generators", out / "none", "--jobs", "1"]
    return list(map(str, [*options, *more]))


@pytest.fixture(scope="module")
def finished(data: Path, plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "study"
    assert main(command(data, plan, out)) == 0
    return out


def prepared(data: Path, plan: Path, out: Path) -> Prepared:
    small = smoke_plan(load_plan(plan))
    stand_ins(small, (), out / "generators")
    request = Request(
        plan=small,
        seeds=small.seeds,
        nih=data / "nih",
        manifests=(),
        out=out,
        roots=(out / "generators",),
        jobs=1,
        threads=1,
        smoke=True,
        overrides=OVERRIDES,
    )
    return prepare(request)


def test_how_many_processes_load_makes_no_other_study(
    data: Path, plan: Path, tmp_path: Path
) -> None:
    one = prepared(data, plan, tmp_path / "study")
    other = prepare(replace(one.request, overrides=(*one.request.overrides, "training.workers=3")))
    assert {task.stages[-1].training.workers for task in other.tasks} == {3}
    assert [task.key for task in other.tasks] == [task.key for task in one.tasks]


def test_a_smoke_run_goes_all_the_way_with_equal_steps(finished: Path) -> None:
    rows = read_rows(finished)
    counted = Counter((row.arm, row.seed) for row in rows)
    assert set(counted) == {(arm, seed) for arm in ARMS for seed in (1, 2)}
    # A row for each label and for both means.
    assert set(counted.values()) == {len(LABELS) + 2}
    assert {row.steps for row in rows} == {4}
    assert all(row.auroc is None or 0 <= row.auroc <= 1 for row in rows)
    assert {row.label for row in rows if row.auroc is None} <= {"Pneumonia"}
    text = (finished / "results/gan-study.md").read_text()
    assert "A smoke run: its figures mean nothing" in text
    assert "pggan.** This generator takes no labels" in text
    folder = finished / "results/gan-study"
    assert sorted(path.name for path in folder.iterdir()) == [
        "dose.png",
        "effects.csv",
        "effects.png",
        "runs.csv",
    ]
    assert read_rows(folder) == rows


def test_a_finished_study_is_not_trained_again(
    finished: Path, data: Path, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {path: path.stat().st_mtime_ns for path in finished.rglob("validation.npz")}
    rows = read_rows(finished)
    assert len(kept) == 14
    assert main(command(data, plan, finished)) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_rows(finished) == rows
    assert "14 of 14 trainings done, 0 left" in capsys.readouterr().out


def test_a_killed_study_does_the_missing_trainings_alone_and_ends_alike(
    finished: Path, data: Path, plan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    # As if it had been killed in the middle of one training, and of the rows of another.
    for arm in ("modern", "pretrained"):
        shutil.rmtree(run_folder(out, arm, 2))
    lines = (out / "runs.csv").read_text().splitlines()
    (out / "runs.csv").write_text("\n".join(lines[:-20]))
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("validation.npz")}
    assert main([*command(data, plan, out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again = {(row.arm, row.seed, row.label): row for row in read_rows(out)}
    before = {(row.arm, row.seed, row.label): row for row in read_rows(finished)}
    assert len(read_rows(out)) == len(again)
    # On one thread of a CPU a training is the same each time.
    assert again == before


class Killed(BaseException):
    pass


def test_a_training_that_is_killed_in_its_second_stage_goes_on_there(
    finished: Path, data: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = prepared(data, plan, tmp_path)
    [task] = [x for x in study.tasks if (x.name, x.seed) == ("pretrained", 1)]
    trained: list[Path] = []
    whole = training._trained

    def until_the_second(*arguments: object) -> object:
        trained.append(Path(str(arguments[3])))
        if len(trained) == 2:
            raise Killed
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_trained", until_the_second)
    with pytest.raises(Killed):
        train_one(task)
    untouched: list[bool] = []

    def watched(*arguments: object) -> object:
        checkpoint = Path(str(arguments[3])) / "last.pt"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        trainer = whole(*arguments)  # type: ignore[arg-type]
        untouched.append(checkpoint.stat().st_mtime_ns == before)
        return trainer

    monkeypatch.setattr(training, "_trained", watched)
    train_one(task)
    # The first stage was over, and is not trained again.
    assert untouched == [True, False]
    ours, theirs = (read_answers(x) for x in (task.folder, run_folder(finished, "pretrained", 1)))
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours.logits, theirs.logits)


def stated(finished: Path, arm: str) -> dict[str, frozenset[Finding]]:
    """The findings of each synthetic image of the first seed, by its invented patient."""
    [manifest] = (finished / "synthetic" / arm).glob("seed-1-*/manifest.csv")
    images = [entry.radiograph for entry in read_entries(manifest)]
    assert all(image.synthetic for image in images)
    assert len({image.patient for image in images}) == len(images)
    return {image.patient: image.findings for image in images}


def test_synthetic_images_carry_the_labels_that_oversampling_repeats(
    finished: Path, data: Path, plan: Path
) -> None:
    modern, half, shuffled = (stated(finished, arm) for arm in ("modern", "half", "shuffled"))
    study = prepared(data, plan, finished)
    totals = study.rare.totals("balance")
    repeated = [
        study.samples.targets[row]
        for rows in added_rows(study.samples, totals, seed=1).values()
        for row in rows
    ]
    wanted = [frozenset(x for x, one in zip(LABELS, row, strict=True) if one) for row in repeated]
    assert list(modern.values()) == wanted
    # The same images; a smaller dose is a part of a larger one, label by label.
    assert modern.keys() == shuffled.keys()
    assert Counter(modern.values()) == Counter(shuffled.values())
    assert modern != shuffled
    common = modern.keys() & half.keys()
    fewest = {x: min(totals[x], study.rare.totals(0.5)[x]) for x in study.rare.labels}
    assert len(common) == sum(fewest[x] - study.rare.training[x] for x in fewest)
    assert all(modern[patient] == half[patient] for patient in common)
    assert len(stated(finished, "pggan")) == len(modern)
    assert len(stated(finished, "pretrained")) == 16


def test_a_card_says_whence_the_labels_of_a_generator_without_labels_are(finished: Path) -> None:
    card = (run_folder(finished, "pggan", 1) / "card.md").read_text()
    assert "This generator takes no labels, so theirs are guesses" in card
    assert "real training images alone" in card
    assert "sha256" in card
    assert str(finished) not in card


def test_what_a_training_leaves_behind_is_small(finished: Path) -> None:
    left = {path.name for path in run_folder(finished, "modern", 1).iterdir()}
    assert left == {"card.md", "config.yaml", "curves.png", "key.txt", "metrics.jsonl"} | {
        "validation.npz"
    }


def test_a_synthetic_image_that_would_be_validated_on_stops_the_study(
    finished: Path, data: Path
) -> None:
    [manifest] = (finished / "synthetic/modern").glob("seed-1-*/manifest.csv")
    made = as_samples(read_collection(None, [manifest]))
    refuse_synthetic_validation(made)
    moved = replace(made, splits=np.full(len(made), "validation"))
    with pytest.raises(GanError, match=r"is synthetic and not in training"):
        refuse_synthetic_validation(moved)
    refuse_synthetic_validation(read_samples(data / "nih"))


def test_another_plan_does_not_go_on_with_the_trainings_of_the_first(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = write_plan(
        tmp_path / "plan.yaml", arms=ARMS, rare={"labels": 3, "least_validation": 1}
    )
    assert main(command(data, changed, finished)) == 2
    error = capsys.readouterr().err
    assert "holds a training of another plan, generator or data set: remove it" in error
    assert error.count("\n") == 1


def test_the_progress_view_trains_nothing(
    finished: Path, data: Path, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    shutil.copytree(finished / "trainings/real", out / "trainings/real")
    (out / "trainings/real/seed-2/validation.npz").unlink()
    assert main(command(data, plan, out, "--status")) == 0
    text = capsys.readouterr().out
    assert "seed 1" in text
    [real] = [line for line in text.splitlines() if line.startswith("real")]
    assert real.split()[2:] == ["min", "begun"]
    assert re.search(r"1 of 14 trainings done, 13 left, about \d+ min", text)
    assert not (out / "generators").exists()


def test_trainings_in_processes_of_their_own_end_as_in_one(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    two = write_plan(tmp_path / "plan.yaml", arms={x: ARMS[x] for x in ("real", "oversampled")})
    study = prepared(data, two, tmp_path / "study")
    run_study(replace(study, request=replace(study.request, jobs=2)))
    ours = {(x.arm, x.seed, x.label): x for x in read_rows(tmp_path / "study")}
    theirs = {(x.arm, x.seed, x.label): x for x in read_rows(finished)}
    assert len(ours) == 4 * (len(LABELS) + 2)
    assert all(theirs[key] == row for key, row in ours.items())


def test_a_winner_is_trained_again_by_the_ordinary_recipe(
    data: Path, plan: Path, finished: Path
) -> None:
    study = prepared(data, plan, finished)
    commands = {task.name: retraining(task) for task in study.tasks if task.seed == 1}
    assert "--manifest $STUDY/synthetic/modern/seed-1-" in commands["modern"]
    assert commands["pretrained"].count("--start") == 1
    [override] = commands["oversampled"].split("--set '")[1].split("'")[:1]
    recipe = load_config(ROOT / "training/configs/classifier.yaml", (override,))
    assert recipe.training.oversampled_to == study.rare.totals("balance")
    assert str(finished) not in json.dumps(commands)


def _none(folder: Path) -> None:
    folder.mkdir()


def _of_two_labels(folder: Path) -> None:
    write_run(folder / "pggan-modern", labels=("Mass", "Pneumonia"))


def _of_other_patients(folder: Path) -> None:
    write_run(folder / "pggan-modern", labels=tuple(Finding))


def _without_labels(folder: Path) -> None:
    write_run(folder / "pggan-modern", labels=())


@pytest.fixture
def refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[Path], None], tuple[str, ...], list[str]], str]:
    """What is said of a study with these generators, arms and options, which trains nothing."""

    def said(generators: Callable[[Path], None], arms: tuple[str, ...], more: list[str]) -> str:
        generators(tmp_path / "generators")
        chosen = {"real": REAL, **{name: ARMS[name] for name in arms or ("oversampled",)}}
        plan = write_plan(tmp_path / "plan.yaml", arms=chosen)
        options = ["study", "--plan", plan, "--out", tmp_path / "out", "--data", data]
        options += ["--generators", tmp_path / "generators", "--results", tmp_path / "results"]
        assert main([*map(str, options), *more]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    return said


@pytest.mark.parametrize(
    ("generators", "arms", "more", "sentence"),
    [
        (_none, ("modern",), [], "run `make train-gan GAN=pggan-modern` first"),
        (_of_two_labels, ("modern",), [], "has other labels than the study's (they differ in"),
        (_of_other_patients, ("modern",), [], "was trained on another data set or split"),
        (_without_labels, ("shuffled",), [], "arm shuffled needs a generator with labels"),
        (_none, (), ["--seeds", "1"], "cannot be told from a training's luck by one seed"),
        (_none, (), ["--seeds", "1,x"], "--seeds 1,x: whole numbers"),
        (_none, (), ["--jobs", "0"], "--jobs 0: at least one"),
        (_none, ("oversampled",), ["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(
    refused: Callable[[Callable[[Path], None], tuple[str, ...], list[str]], str],
    generators: Callable[[Path], None],
    arms: tuple[str, ...],
    more: list[str],
    sentence: str,
) -> None:
    error = refused(generators, arms, more)
    assert sentence in error
    assert error.count("\n") == 1


def test_a_generator_of_the_same_patients_is_taken(data: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "pggan-modern", labels=tuple(Finding))
    facts = json.loads((tmp_path / "pggan-modern/run.json").read_text())
    facts["split_sha256"] = split_sha256(read_samples(data / "nih").patient_splits)
    (tmp_path / "pggan-modern/run.json").write_text(json.dumps(facts))
    plan = write_plan(tmp_path / "plan.yaml", arms={x: ARMS[x] for x in ("real", "half")})
    study = prepared(data, plan, tmp_path / "study")
    request = replace(study.request, smoke=False, roots=(tmp_path,))
    assert prepare(request).generators["pggan-modern"].has_labels


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
