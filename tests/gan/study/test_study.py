"""The whole study on drawn radiographs and generators that learnt nothing."""

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Finding
from cxr_gan.cli import main
from cxr_gan.errors import GanError
from cxr_gan.study.plan import load_plan
from cxr_gan.study.run import Prepared, Request, prepare, run_folder, smoke_plan
from cxr_gan.study.training import Predictions, refuse_synthetic_validation, train_one
from cxr_training.classifier.samples import LABELS, added_rows, as_samples, read_samples
from cxr_training.data.collection import read_collection
from cxr_training.data.manifest_csv import read_entries
from cxr_training.data.splits import split_sha256
from support.gan.runs import write_run
from support.gan.studies import write_plan
from support.synthetic_nih import write_nih

pytestmark = pytest.mark.slow

REAL = {"title": "real", "kind": "real"}
ARMS = {
    "real": REAL,
    "oversampled": {"title": "oversampled", "kind": "oversampled", "share": "balance"},
    "modern": {
        "title": "modern",
        "kind": "synthetic",
        "generator": "pggan-modern",
        "share": "balance",
    },
    "half": {"title": "half", "kind": "synthetic", "generator": "pggan-modern", "share": 0.5},
    "shuffled": {
        "title": "shuffled",
        "kind": "synthetic",
        "generator": "pggan-modern",
        "share": "balance",
        "shuffled": True,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("data"), n_patients=150).parent


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plan") / "plan.yaml", arms=ARMS)


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that has learnt nothing."""
    folder = tmp_path_factory.mktemp("generators")
    write_run(folder / "pggan-modern", labels=tuple(Finding))
    return folder


def command(data: Path, plan: Path, generators: Path, out: Path, *more: object) -> list[str]:
    options = ["study", "--smoke", "--data", data, "--plan", plan, "--out", out]
    options += ["--generators", generators]
    return list(map(str, [*options, *more]))


@pytest.fixture(scope="module")
def finished(
    data: Path, plan: Path, generators: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("studies") / "study"
    assert main(command(data, plan, generators, out)) == 0
    return out


@pytest.fixture(scope="module")
def prepared(data: Path, generators: Path) -> Callable[[Path, Path], Prepared]:
    def of(plan: Path, out: Path) -> Prepared:
        small = smoke_plan(load_plan(plan))
        return prepare(
            Request(
                plan=small,
                seeds=small.seeds,
                nih=data / "nih",
                manifests=(),
                out=out,
                roots=(generators,),
                smoke=True,
            )
        )

    return of


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_how_many_processes_load_makes_no_other_study(
    prepared: Callable[[Path, Path], Prepared], plan: Path, tmp_path: Path
) -> None:
    one = prepared(plan, tmp_path / "study")
    budget = (*one.request.plan.budget, "training.workers=3")
    other = prepare(
        replace(one.request, plan=one.request.plan.model_copy(update={"budget": budget}))
    )
    assert {task.config.training.workers for task in other.tasks} == {3}
    assert [task.key for task in other.tasks] == [task.key for task in one.tasks]


def test_a_smoke_run_goes_all_the_way_with_equal_steps(finished: Path) -> None:
    rows = read_rows(finished)
    counted = Counter((row["arm"], row["seed"]) for row in rows)
    assert set(counted) == {(arm, seed) for arm in ARMS for seed in "12"}
    # A row for each label and for both means.
    assert set(counted.values()) == {len(LABELS) + 2}
    assert {row["steps"] for row in rows} == {"4"}
    assert all(0 <= float(row["auroc"] or 0) <= 1 for row in rows)
    assert {row["label"] for row in rows if not row["auroc"]} <= {"Pneumonia"}
    text = (finished / "results/gan-study.md").read_text()
    assert "A smoke run: its figures mean nothing" in text
    folder = finished / "results/gan-study"
    assert sorted(path.name for path in folder.iterdir()) == ["effects.csv", "runs.csv"]
    assert read_rows(folder) == rows


def test_a_finished_study_is_not_trained_again(
    finished: Path, data: Path, plan: Path, generators: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {path: path.stat().st_mtime_ns for path in finished.rglob("validation.npz")}
    rows = read_rows(finished)
    assert len(kept) == 10
    assert main(command(data, plan, generators, finished)) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert read_rows(finished) == rows
    assert "10 of 10 trainings done, 0 left" in capsys.readouterr().out


def test_a_killed_study_does_the_missing_trainings_alone_and_ends_alike(
    finished: Path, data: Path, plan: Path, generators: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    # As if it had been killed in the middle of one training, and of the rows of another.
    for arm in ("modern", "shuffled"):
        shutil.rmtree(run_folder(out, arm, 2))
    lines = (out / "runs.csv").read_text().splitlines()
    (out / "runs.csv").write_text("\n".join(lines[:-20]))
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("validation.npz")}
    assert main([*command(data, plan, generators, out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # On one thread of a CPU a training is the same each time.
    assert read_rows(out) == read_rows(finished)


class Killed(BaseException):
    pass


def test_a_training_that_is_killed_goes_on_where_it_was(
    finished: Path,
    prepared: Callable[[Path, Path], Prepared],
    plan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = prepared(plan, tmp_path)
    [task] = [x for x in study.tasks if (x.name, x.seed) == ("modern", 1)]

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Predictions, "write", killed)
        with pytest.raises(Killed):
            train_one(task)
    checkpoint = task.folder / "last.pt"
    before = checkpoint.stat().st_mtime_ns
    seen: list[int] = []
    write = Predictions.write

    def watched(self: Predictions, folder: Path) -> None:
        seen.append(checkpoint.stat().st_mtime_ns)
        write(self, folder)

    monkeypatch.setattr(Predictions, "write", watched)
    train_one(task)
    # Training was over, and is not done again.
    assert seen == [before]
    ours, theirs = (Predictions.read(x) for x in (task.folder, run_folder(finished, "modern", 1)))
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
    finished: Path, prepared: Callable[[Path, Path], Prepared], plan: Path
) -> None:
    modern, half, shuffled = (stated(finished, arm) for arm in ("modern", "half", "shuffled"))
    study = prepared(plan, finished)
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


def test_what_a_training_leaves_behind_is_small(finished: Path) -> None:
    left = {path.name for path in run_folder(finished, "modern", 1).iterdir()}
    assert left == {"config.yaml", "curves.png", "key.txt", "metrics.jsonl", "validation.npz"}


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
    finished: Path, data: Path, generators: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = write_plan(
        tmp_path / "plan.yaml", arms=ARMS, rare={"labels": 3, "least_validation": 1}
    )
    assert main(command(data, changed, generators, finished)) == 2
    error = capsys.readouterr().err
    assert "holds a training of another plan, generator or data set: remove it" in error
    assert error.count("\n") == 1


def test_the_progress_view_trains_nothing(  # noqa: PLR0917
    finished: Path,
    data: Path,
    plan: Path,
    generators: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "study"
    shutil.copytree(finished / "trainings/real", out / "trainings/real")
    (out / "trainings/real/seed-2/validation.npz").unlink()
    assert main(command(data, plan, generators, out, "--status")) == 0
    text = capsys.readouterr().out
    [real] = [line for line in text.splitlines() if line.startswith("real")]
    assert real.split()[2:] == ["min", "begun"]
    assert re.search(r"1 of 10 trainings done, 9 left, about \d+ min", text)
    assert not (out / "runs.csv").exists()


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

    def said(write: Callable[[Path], None], arms: tuple[str, ...], more: list[str]) -> str:
        write(tmp_path / "generators")
        chosen = {"real": REAL, **{name: ARMS[name] for name in arms or ("oversampled",)}}
        plan = write_plan(tmp_path / "plan.yaml", arms=chosen)
        options = ["study", "--plan", plan, "--out", tmp_path / "out", "--data", data]
        options += ["--generators", tmp_path / "generators", "--results", tmp_path / "results"]
        assert main([*map(str, options), *more]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    return said


@pytest.mark.parametrize(
    ("write", "arms", "more", "sentence"),
    [
        (_none, ("modern",), [], "run `make train-gan GAN=pggan-modern` first"),
        (_of_two_labels, ("modern",), [], "has other labels than the study's (they differ in"),
        (_of_other_patients, ("modern",), [], "was trained on another data set or split"),
        (_without_labels, ("shuffled",), [], "has other labels than the study's"),
        (_none, (), ["--seeds", "1"], "cannot be told from a training's luck by one seed"),
        (_none, (), ["--seeds", "1,x"], "--seeds 1,x: whole numbers"),
        (_none, ("oversampled",), ["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(
    refused: Callable[[Callable[[Path], None], tuple[str, ...], list[str]], str],
    write: Callable[[Path], None],
    arms: tuple[str, ...],
    more: list[str],
    sentence: str,
) -> None:
    error = refused(write, arms, more)
    assert sentence in error
    assert error.count("\n") == 1


def test_a_generator_of_the_same_patients_is_taken(
    data: Path, prepared: Callable[[Path, Path], Prepared], tmp_path: Path
) -> None:
    write_run(tmp_path / "pggan-modern", labels=tuple(Finding))
    facts = json.loads((tmp_path / "pggan-modern/run.json").read_text())
    facts["split_sha256"] = split_sha256(read_samples(data / "nih").patient_splits)
    (tmp_path / "pggan-modern/run.json").write_text(json.dumps(facts))
    plan = write_plan(tmp_path / "plan.yaml", arms={x: ARMS[x] for x in ("real", "half")})
    request = replace(prepared(plan, tmp_path / "study").request, smoke=False, roots=(tmp_path,))
    assert {task.generator for task in prepare(request).tasks} == {None, tmp_path / "pggan-modern"}
