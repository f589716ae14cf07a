"""`cxr models calibrate`: a model is fitted to a site's radiographs, or nothing is changed."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest

from cxr_classifier.app import create_app
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    CLASSIFY_PATH,
    ClassifyResponse,
    Finding,
    ModelManifest,
    ServiceInfo,
    TriageManifest,
)
from cxr_training.cli import main
from support.images import png
from support.model_folders import write_classifier_folder, write_detector_folder
from support.own_images import LABELS, write_own_images
from support.synthetic_manifest import write_manifest

pytestmark = pytest.mark.slow

N_IMAGES = 210
ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]
Row = dict[str, str]


def site_rows() -> list[Row]:
    """Radiographs of forty patients, half of them with a finding; nobody has a hernia."""
    rng = np.random.default_rng(0)
    seen = [finding.value for finding in Finding if finding is not Finding.HERNIA]
    return [
        {
            "image": f"images/{number}.png",
            "patient": f"{number % 40}",
            "findings": seen[rng.integers(len(seen))] if number % 2 else "No Finding",
        }
        for number in range(N_IMAGES)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("site") / "ours.csv", site_rows())


def write_imported(folder: Path, *, findings: Sequence[Finding] = tuple(Finding)) -> None:
    """A classifier as it is imported: without figures."""
    theirs = write_classifier_folder(folder, findings=findings) / "manifest.json"
    manifest = json.loads(theirs.read_text())
    manifest["extra"] = {
        "imported": {"kind": "timm", "file": "theirs.pth"},
        **{"outputs": [], "dropped": [], "calibration": "None.", "threshold": "none"},
    }
    theirs.write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of models: a classifier as it is imported, without figures, and a detector."""
    models = tmp_path_factory.mktemp("given")
    write_imported(models / "classifier/theirs")
    write_detector_folder(models / "detector/boxes")
    (models / "detector/DEFAULT").write_text("boxes\n")
    return models


@pytest.fixture
def models(given: Path, tmp_path: Path) -> Path:
    return shutil.copytree(given, tmp_path / "models")


def calibrate(models: Path, data: Path, *more: object) -> int:
    line = ["models", "calibrate", "--model", models / "classifier/theirs", "--data", data]
    return main([*map(str, line), "--models", str(models), *map(str, more)])


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def manifest_of(models: Path) -> ModelManifest:
    return ModelManifest.model_validate_json(
        (models / "classifier/theirs/manifest.json").read_text()
    )


async def served(models: Path) -> tuple[ServiceInfo, ClassifyResponse]:
    app = create_app(ClassifierSettings(model_dir=models / "classifier/theirs"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        assert await app.state.service.loaded()
        info = ServiceInfo.model_validate((await client.get("/info")).json())
        answer = await client.post(CLASSIFY_PATH, files={"image": ("image.png", png())})
    return info, ClassifyResponse.model_validate(answer.json())


async def test_from_not_calibrated_here_to_levels_that_are_measured_and_triage(
    models: Path, site: Path, capsys: Capture
) -> None:
    info, answer = await served(models)
    assert (info.calibrated, answer.calibrated) == (False, False)
    before = manifest_of(models)
    stale = models / "triage/theirs--boxes"
    stale.mkdir(parents=True)
    (stale / "manifest.json").write_text(
        json.dumps({"classifier": {"sha256": before.weights.sha256}})
    )

    assert calibrate(models, site) == 0
    said = capsys.readouterr().out
    assert "| Effusion |" in said
    assert "No radiograph has Hernia" in said
    assert f"{stale} was fitted to the earlier probabilities: it is set aside." in said
    # Out of the gateway's sight, and nothing of it is lost.
    assert [path.name for path in stale.iterdir()] == ["manifest.json.set-aside"]

    info, answer = await served(models)
    assert (info.calibrated, answer.calibrated) == (True, True)
    after = manifest_of(models)
    assert (after.weights, after.onnx) == (before.weights, before.onnx)
    labels = {label.name: label for label in after.labels}
    assert all(label.levels is not None for label in after.labels)
    # Random logits say nothing, so a finding of 8 in 210 becomes rare.
    assert labels["Effusion"].intercept < before.labels[0].intercept
    kept, had = labels["Hernia"], {label.name: label for label in before.labels}["Hernia"]
    assert (kept.slope, kept.intercept) == (had.slope, had.intercept)
    [error] = [row.result for row in after.metrics if row.name == "ece_mean"]
    assert error.value < 0.1
    assert after.data.n_validation == N_IMAGES
    assert after.extra["calibrated_on"]["csv"] == "ours.csv"
    card = (models / "classifier/theirs/MODEL_CARD.md").read_text()
    assert f"{N_IMAGES} radiographs of 40 patients, `ours.csv`" in card
    assert "Not calibrated here" not in card
    assert str(site.parent) not in after.model_dump_json()

    path = models / "triage/random-classifier--random-detector/manifest.json"
    triage = TriageManifest.model_validate_json(path.read_text())
    assert triage.data.n_images == N_IMAGES
    assert "/" not in triage.fit.command.replace("models/classifier/random-classifier", "")
    assert (triage.classifier.sha256, triage.detector.name) == (
        after.weights.sha256,
        "random-detector",
    )

    # The same radiographs again: nothing is left to change.
    once = content(models)
    assert calibrate(models, site, "--dry-run") == 0
    assert "Nothing was changed." in capsys.readouterr().out
    assert content(models) == once


def test_without_a_detector_levels_decide(models: Path, site: Path, capsys: Capture) -> None:
    assert calibrate(models, site, "--no-triage") == 0
    assert "Triage: by evidence levels." in capsys.readouterr().out
    assert not (models / "triage").exists()
    assert manifest_of(models).calibrated


def test_a_csv_that_states_splits_is_obeyed(models: Path, tmp_path: Path) -> None:
    rows = [
        row | {"split": "train" if int(row["patient"]) < 1 else "validation"} for row in site_rows()
    ]
    path = write_manifest(tmp_path / "site/split.csv", rows)
    assert calibrate(models, path, "--no-triage") == 0
    trained = sum(row["split"] == "train" for row in rows)
    assert manifest_of(models).data.n_validation == N_IMAGES - trained


def test_one_class_few_images_few_patients_and_test_patients_change_nothing(
    models: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = content(models)

    def refused(name: str, change: Callable[[list[Row]], list[Row]], reason: str) -> None:
        path = write_manifest(tmp_path / name / "site.csv", change(site_rows()))
        assert calibrate(models, path) == 2
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1
        assert content(models) == before

    def as_normal(rows: list[Row]) -> list[Row]:
        return [row | {"findings": "No Finding"} for row in rows]

    def as_mass(rows: list[Row]) -> list[Row]:
        return [row | {"findings": "Mass"} for row in rows]

    refused("normal", as_normal, "knows one class alone: every radiograph has no finding")
    refused("ill", as_mass, "knows one class alone: every radiograph has a finding")
    refused("few", lambda rows: rows[:199], "names 199 radiographs for validation; a fit needs 200")
    refused(
        "one-patient",
        lambda rows: [row | {"patient": "1"} for row in rows],
        "is of 1 patients; a fit needs 20",
    )
    test = tmp_path / "data/test"
    (test / "nih").mkdir(parents=True)
    path = write_manifest(test / "site.csv", site_rows())
    assert calibrate(models, path) == 2
    assert str(test) in capsys.readouterr().err
    assert content(models) == before


def test_a_csv_that_is_none_and_a_model_that_is_none(
    models: Path, site: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert calibrate(models, tmp_path / "none.csv") == 2
    assert "none.csv" in capsys.readouterr().err
    with (tmp_path / "odd.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "patient", "finding"], ["a.png", "1", "Mass"]])
    assert calibrate(models, tmp_path / "odd.csv") == 2
    assert main(["models", "calibrate", "--model", str(tmp_path), "--data", str(site)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.fixture(scope="module")
def own_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Radiographs of a hundred patients with labels of one's own."""
    return write_own_images(tmp_path_factory.mktemp("own"), N_IMAGES, seed=5)


@pytest.fixture
def own_models(tmp_path: Path) -> Path:
    """A classifier of such labels, and the published OOD detector."""
    models = tmp_path / "models"
    labels = [Finding(label) for label in LABELS]
    write_imported(models / "classifier/theirs", findings=labels)
    shutil.copytree(ROOT / "models/ood", models / "ood")
    return models


@pytest.mark.slow
def test_a_model_of_own_labels_is_fitted_to_a_table_of_ones_own(
    own_models: Path, own_table: Path, capsys: Capture
) -> None:
    assert calibrate(own_models, own_table, "--dry-run") == 0
    assert "Nothing was changed." in capsys.readouterr().out
    assert not (own_models / "reference").exists()
    assert calibrate(own_models, own_table) == 0
    said = capsys.readouterr().out
    assert "| Metal_clip |" in said
    assert "Triage: by evidence levels" in said
    after = manifest_of(own_models)
    assert {label.name for label in after.labels} == {*LABELS}
    assert all(label.levels is not None for label in after.labels)
    assert {label.slope for label in after.labels} != {1.5}
    assert (after.data.n_validation, after.calibrated) == (N_IMAGES, True)
    # What drift is measured against is of the same images; one that was there is kept beside it.
    [path] = (own_models / "reference").glob("*/reference.json")
    reference = json.loads(path.read_text())
    assert reference["data"]["n_images"] == N_IMAGES
    assert calibrate(own_models, own_table) == 0
    assert (path.parent / "reference.json.set-aside").is_file()


@pytest.mark.slow
def test_labels_that_the_model_does_not_know_are_named_with_their_lines(
    own_models: Path, own_table: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = content(own_models)
    lines = own_table.read_text().splitlines()
    odd = own_table.parent / "odd.csv"
    odd.write_text("\n".join([*lines[:-1], "images/0209.png,p104,Stent", "none.png,p1,Ring"]))
    assert calibrate(own_models, odd) == 2
    said = capsys.readouterr().err
    end = len(lines)
    assert f"odd.csv:{end}: label Stent is none of the model's: Ring, Bar, Metal_clip" in said
    assert f"odd.csv:{end + 1}: image 'none.png': no such file" in said
    one_hot = own_table.parent / "one-hot.csv"
    one_hot.write_text("image,patient,Ring,Bar\nimages/0000.png,1,0,1\n")
    assert calibrate(own_models, one_hot) == 2
    assert "one-hot.csv:1: there is no column for the model's label Metal_clip" in (
        capsys.readouterr().err
    )
    few = own_table.parent / "few.csv"
    few.write_text("image,patient,Ring,Bar,Metal_clip\nimages/0000.png,1,0,1,\n")
    assert calibrate(own_models, few) == 2
    assert "names 0 radiographs for validation; a fit needs 200" in capsys.readouterr().err
    assert content(own_models) == before
