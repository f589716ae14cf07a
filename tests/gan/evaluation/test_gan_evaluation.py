"""A generator evaluated on drawn radiographs, from its run to the page of results."""

import json
from pathlib import Path

import numpy as np
import pytest

from cxr_classifier.network import build_network, load_weights
from cxr_classifier.preprocessing import preprocess
from cxr_gan.cli import main
from cxr_gan.errors import GanError
from cxr_gan.evaluation.evaluate import Request, evaluate, in_patient_order
from cxr_gan.evaluation.features import ClassifierFeatures, PixelFeatures, cached_features
from cxr_gan.evaluation.measures import FRECHET, KERNEL, TITLES
from cxr_gan.evaluation.memorisation import STANDING_OUT, parts_of, verdict
from cxr_gan.evaluation.results import Evaluation, differing, page, read_results, write_results
from cxr_gan.folders import Figure
from cxr_gan.generator import open_generator
from cxr_gan.radiographs import Radiographs, read_radiographs
from cxr_serving.model_folder import open_model_folder
from cxr_training.data.splits import Split
from support.gan.runs import SIDE_PX, write_published, write_run
from support.synthetic_nih import write_nih

pytestmark = pytest.mark.slow

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
def request_(data: Path, cache: Path) -> Request:
    return Request(data, cache, samples=60, resamples=20)


@pytest.fixture(scope="module")
def evaluation(run: Path, request_: Request) -> Evaluation:
    return evaluate(open_generator(run), FEATURES, request_)


def found(evaluation: Evaluation, name: str) -> Figure:
    return next(figure for figure in evaluation.figures if figure.name == name)


def read(data: Path, side_px: int, cache: Path) -> Radiographs:
    both = (Split.TRAIN, Split.VALIDATION)
    return read_radiographs(data, side_px, cache, splits=both, least=50)


def test_random_weights_are_further_from_real_than_real_images_are(evaluation: Evaluation) -> None:
    assert [figure.name for figure in evaluation.figures[: len(TITLES)]] == list(TITLES)
    for name in (FRECHET, KERNEL):
        figure = found(evaluation, name)
        assert figure.floor is not None
        assert figure.ceiling is not None
        assert figure.result.low > figure.floor.high
        assert figure.ceiling > figure.floor.value
    about = (evaluation.model, evaluation.side_px, evaluation.extractor)
    assert about == ("tiny", SIDE_PX, "8 px pixels")


def test_random_weights_remember_nothing(evaluation: Evaluation) -> None:
    figures = [figure for figure in evaluation.figures if figure.name == STANDING_OUT]
    assert [figure.subset for figure in figures] == ["features", "pixels"]
    assert all(figure.result.low <= 0.01 and figure.n == 60 for figure in figures)
    assert "gives training images back" not in verdict("tiny", evaluation.figures)


def test_an_evaluation_gives_the_same_figures_again(
    evaluation: Evaluation, run: Path, request_: Request
) -> None:
    again = evaluate(open_generator(run), FEATURES, request_)
    assert differing(evaluation.figures, again.figures) == []
    assert again == evaluation


def test_reals_are_of_two_kinds_of_patients_and_large_enough(data: Path, cache: Path) -> None:
    reals = read(data, 64, cache)
    training, held_out = np.split(reals.patients, [reals.n_first])
    assert set(training).isdisjoint(held_out)
    assert len(training) > len(held_out) >= 50
    with pytest.raises(GanError, match=r"has \d+ validation radiographs of 256 px or more"):
        read(data, 256, cache)


def test_rows_keep_a_patients_images_together() -> None:
    patients = np.array(["a", "b", "a", "c", "b"])
    order = in_patient_order(patients, 1)
    assert sorted(order) == [0, 1, 2, 3, 4]
    changes = (patients[order][1:] != patients[order][:-1]).sum()
    assert changes == 2
    assert parts_of(10, 4) == [slice(0, 4), slice(4, 8)]
    assert parts_of(3, 4) == [slice(0, 4)]


def test_features_are_kept_and_a_broken_file_is_made_anew(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    reals = read(data, 16, cache)
    first = np.array(cached_features(FEATURES, reals, tmp_path))
    np.testing.assert_array_equal(first[[3]], FEATURES(reals.images([3])))
    (kept,) = tmp_path.glob("*.npy")
    whole = kept.stat()
    cached_features(FEATURES, reals, tmp_path)
    assert kept.stat() == whole
    kept.write_bytes(kept.read_bytes()[:50])
    np.testing.assert_array_equal(cached_features(FEATURES, reals, tmp_path), first)
    cached_features(PixelFeatures(4), reals, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_results_hold_each_model_once_and_the_page_names_the_features(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    other = evaluation.model_copy(update={"model": "other", "sha256": "1" * 64})
    renamed = evaluation.model_copy(update={"model": "before"})
    for one in (renamed, other, evaluation):
        write_results(one, tmp_path)
    assert read_results(tmp_path) == [other, evaluation]
    text = (tmp_path / "README.md").read_text()
    assert text == page([other, evaluation])
    assert "8 px pixels features" in text
    assert "| other | tiny | *held out (floor)* |" in text


def test_a_figure_that_moved_is_told(evaluation: Evaluation) -> None:
    first, *rest = figures = evaluation.figures
    width = first.result.high - first.result.low
    moved = first.result.model_copy(update={"value": first.result.value + width})
    assert differing([first.model_copy(update={"result": moved}), *rest], figures) == [
        f"{FRECHET}: published {moved.value:.4g}, measured {first.result.value:.4g}"
    ]
    assert differing(rest, figures) == [f"{FRECHET}: measured, but not published"]
    assert differing(figures, rest) == [f"{FRECHET}: published, but not measured"]
    fewer = first.model_copy(update={"n": 7})
    assert differing([fewer, *rest], figures) == [f"{FRECHET}: published of 7, measured of 60"]


def test_the_command_evaluates_and_verifies_without_writing(
    data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, results = write_published(tmp_path / "tiny"), tmp_path / "results"
    options = ["--model", model, "--data", data, "--cache", cache, "--features", "pixels:4"]
    given = list(map(str, [*options, "--n", "50"]))
    assert main(["evaluate", *given, "--results", str(results)]) == 0
    assert "stand out (1% expected)" in capsys.readouterr().out
    [evaluation] = read_results(results)
    manifest = json.loads((model / "manifest.json").read_text())
    figures = [figure.model_dump() for figure in evaluation.figures]
    (model / "manifest.json").write_text(json.dumps(manifest | {"figures": figures}))
    assert main(["verify", *given]) == 0
    figures[0]["result"]["value"] = 99.0
    changed = json.dumps(manifest | {"figures": figures})
    (model / "manifest.json").write_text(changed)
    assert main(["verify", *given]) == 1
    error = capsys.readouterr().err
    assert f"verify: {FRECHET}: published 99, measured" in error
    assert error.count("published") == 1
    assert (model / "manifest.json").read_text() == changed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "10"], "--n 10: an evaluation needs 50 or more"),
        (["--features", "inception"], "neither `pixels` nor a classifier's folder"),
        (["--features", "pixels:900"], "2 to 64 pixels a side"),
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
    assert main(["evaluate", *given, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_broken_result_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text('{"model": "tiny"}')
    with pytest.raises(GanError, match=r"tiny\.json: version: Field required"):
        read_results(tmp_path)


def test_a_classifiers_features_are_those_of_its_last_layer(classifier_folder: Path) -> None:
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
        weight, bias = (tensor.numpy() for tensor in network.linear())
    logits = extractor(images) @ weight.T + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
