"""A generator judged on drawn radiographs, from its run to the page of results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_classifier.network import build_network, load_weights
from cxr_classifier.preprocessing import preprocess
from cxr_gan.__main__ import main
from cxr_gan.errors import GanError
from cxr_gan.judging.extractor import ClassifierFeatures, PixelFeatures
from cxr_gan.judging.features import kept_features
from cxr_gan.judging.judge import Judged, Request, judge
from cxr_gan.judging.labels import labels_seen
from cxr_gan.judging.measures import FIGURES, FRECHET, KERNEL, PIXEL_PROBE
from cxr_gan.judging.memorisation import STANDING_OUT
from cxr_gan.judging.reals import app_state, in_patient_order, read_reals
from cxr_gan.judging.report import report, verdict
from cxr_gan.judging.results import write_results
from cxr_gan.judging.rows import COLUMNS, CSV_NAME, Row, differing, read_rows, write_rows
from cxr_gan.published import open_generator
from cxr_gan.published.synthesizer import ShownRadiographs
from cxr_serving.model_folder import open_model_folder
from gan_runs import SIDE_PX, write_run
from synthetic_nih import write_nih

FEATURES = PixelFeatures(8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("data"), n_patients=230).parent


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def inputs(run: Path, data: Path) -> list[str]:
    return ["--model", str(run), "--data", str(data)]


@pytest.fixture(scope="module")
def judged(run: Path, data: Path, cache: Path) -> Judged:
    request = Request(data, cache, samples=60, resamples=20)
    return judge(open_generator(run), FEATURES, request)


def found(judged: Judged, figure: str) -> Row:
    return next(row for row in judged.rows if row.figure == figure)


def test_random_weights_are_further_from_real_than_real_images_are(judged: Judged) -> None:
    assert [row.figure for row in judged.rows[: len(FIGURES)]] == list(FIGURES)
    for figure in (FRECHET, KERNEL, PIXEL_PROBE):
        row = found(judged, figure)
        assert row.floor is not None
        assert row.floor_high is not None
        assert row.ceiling is not None
        assert row.low > row.floor_high
        assert row.ceiling > row.floor
        assert (row.model, row.side_px, row.extractor) == ("tiny", SIDE_PX, "8 px pixels")


def test_random_weights_remember_nothing(judged: Judged) -> None:
    rows = [row for row in judged.rows if row.figure == STANDING_OUT]
    assert [row.subset for row in rows] == ["features", "pixels"]
    assert all(row.low <= 0.01 and row.n == 60 for row in rows)
    said = verdict("tiny", [row.judged_figure() for row in judged.rows])
    assert "gives training images back" not in said


def test_a_judging_gives_the_same_figures_again(
    judged: Judged, run: Path, data: Path, cache: Path
) -> None:
    request = Request(data, cache, samples=60, resamples=20)
    again = judge(open_generator(run), FEATURES, request)
    assert differing(judged.rows, again.rows) == []
    assert [row.value for row in again.rows] == [row.value for row in judged.rows]


def test_reals_are_of_two_kinds_of_patients_and_large_enough(data: Path, cache: Path) -> None:
    reals = read_reals(data, 64, ShownRadiographs(), cache)
    training, held_out = (set(reals.patients[rows]) for rows in (reals.training, reals.held_out))
    assert training.isdisjoint(held_out)
    assert len(reals.training) > len(reals.held_out) >= 50
    with pytest.raises(GanError, match=r"has \d+ validation radiographs of 256 px or more"):
        read_reals(data, 256, ShownRadiographs(), cache)
    with pytest.raises(GanError, match=r"has \d+ validation .* of view PA, and judging needs 50"):
        read_reals(data, 16, ShownRadiographs(views=("PA",)), cache)


def test_rows_keep_a_patients_images_together() -> None:
    patients = np.array(["a", "b", "a", "c", "b"])
    order = in_patient_order(patients, 1)
    assert sorted(order) == [0, 1, 2, 3, 4]
    changes = (patients[order][1:] != patients[order][:-1]).sum()
    assert changes == 2
    assert app_state(10, 4) == [slice(0, 4), slice(4, 8)]
    assert app_state(3, 4) == [slice(0, 4)]


def test_features_are_kept_and_a_broken_file_is_made_anew(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    reals = read_reals(data, 16, ShownRadiographs(), cache)
    first = np.array(kept_features(FEATURES, reals, tmp_path))
    np.testing.assert_array_equal(first[[3]], FEATURES(reals.pictures(np.array([3]))))
    (kept,) = tmp_path.glob("*.npy")
    whole = kept.stat()
    kept_features(FEATURES, reals, tmp_path)
    assert kept.stat() == whole
    kept.write_bytes(kept.read_bytes()[:50])
    np.testing.assert_array_equal(kept_features(FEATURES, reals, tmp_path), first)
    assert kept_features(FEATURES, replace(reals, key="other"), tmp_path) is not None
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_results_hold_each_model_once_and_the_page_names_the_features(
    judged: Judged, tmp_path: Path
) -> None:
    write_rows(judged.rows, tmp_path)
    write_rows([replace(row, model="other", weights="1" * 12) for row in judged.rows], tmp_path)
    write_results(judged.rows, tmp_path, judged.nearness)
    rows = read_rows(tmp_path)
    assert len(rows) == 2 * len(judged.rows)
    assert differing(judged.rows, [row for row in rows if row.model == "tiny"]) == []
    page = (tmp_path / "README.md").read_text()
    assert page == report(rows)
    assert "60 images of each kind, 8 px pixels features" in page
    assert "| tiny |" in page
    assert "| other |" in page
    assert "*held out (floor)*" in page
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["figures.png", "tiny-nearest.png"]


def test_a_figure_that_moved_is_told(judged: Judged) -> None:
    first, *rest = judged.rows
    moved = replace(first, value=first.value + (first.high - first.low))
    assert differing([moved, *rest], judged.rows) == [
        f"{FRECHET}: published {moved.value:.4g}, measured {first.value:.4g}"
    ]
    assert differing(rest, judged.rows) == [f"{FRECHET}: measured, but not published"]
    assert differing(judged.rows, rest) == [f"{FRECHET}: published, but not measured"]
    fewer = replace(first, n=7)
    assert differing([fewer, *rest], judged.rows) == [f"{FRECHET}: published of 7, measured of 60"]


def test_the_command_judges_and_a_check_finds_what_was_changed_and_nothing_else(
    run: Path, data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["judge", "--model", run, "--data", data, "--cache", cache, "--results", tmp_path]
    options += ["--features", "pixels:4", "--n", "50"]
    command = list(map(str, options))
    assert main(command) == 0
    assert "stand out (1% expected)" in capsys.readouterr().out
    rows = read_rows(tmp_path)
    write_rows([replace(rows[0], value=99.0), *rows[1:]], tmp_path)
    assert main([*command, "--check"]) == 1
    error = capsys.readouterr().err
    assert f"judge: {FRECHET}: published 99, measured" in error
    assert error.count("published") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "10"], "--n 10: judging needs 50 samples or more"),
        (["--features", "inception"], "neither `pixels` nor a classifier's folder"),
        (["--features", "pixels:900"], "2 to 64 pixels a side"),
        (["--check"], "has no figure of these weights of tiny"),
        (["--data", "nowhere"], "nowhere"),
        (["--model", "nowhere"], "nowhere holds no generator"),
    ],
)
def test_bad_input_is_one_sentence(
    inputs: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    given = [*inputs, "--features", "pixels:4"]
    given += ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "results")]
    assert main(["judge", *given, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,value\n", "its columns are not model"),
        (f"{','.join(COLUMNS)}\n{'x,' * (len(COLUMNS) - 1)}\n", r"judging\.csv:2: could not"),
    ],
)
def test_a_broken_csv_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / CSV_NAME).write_text(text)
    with pytest.raises(GanError, match=said):
        read_rows(tmp_path)


def test_a_classifiers_features_lead_to_its_own_logits(classifier_folder: Path) -> None:
    import torch
    from safetensors.torch import load

    extractor = ClassifierFeatures(classifier_folder)
    assert extractor.name == "random-classifier v0"
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    folder = open_model_folder(classifier_folder, "classifier")
    manifest = folder.manifest
    network = build_network(manifest.architecture, len(manifest.labels))
    load_weights(network, load(folder.weights()))
    prepared = np.stack([preprocess(image, manifest.input) for image in images])
    with torch.inference_mode():
        expected = network(torch.from_numpy(prepared))[0].numpy()
    np.testing.assert_allclose(extractor.logits(extractor(images)), expected, rtol=1e-3, atol=1e-3)


def test_labels_are_looked_for_with_and_without(classifier_folder: Path, run: Path) -> None:
    extractor = ClassifierFeatures(classifier_folder)
    rng = np.random.default_rng(0)
    real = extractor(rng.integers(0, 256, (16, 64, 64)).astype(np.uint8))
    findings = [frozenset({"Mass"}), frozenset[str]()] * 8
    seen = labels_seen(
        open_generator(run),
        extractor,
        real,
        findings,
        [str(row) for row in range(16)],
        each=8,
        first_seed=1,
        resamples=20,
    )
    assert [one.label for one in seen] == ["Mass", "Pneumonia"]
    assert all(one.n == 24 and 0 <= one.samples.low <= one.samples.high <= 1 for one in seen)
    # No held-out radiograph has it.
    assert [one.real is None for one in seen] == [False, True]
