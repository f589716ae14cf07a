"""Two members from images to a served model: one after the other, killed and resumed."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxr_classifier.network import build_member, load_weights
from cxr_classifier.predictor import load_predictor
from cxr_classifier.preprocessing import preprocess
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding, ModelManifest
from cxr_training.classifier.loading import Batch
from cxr_training.classifier.loop import Trainer
from cxr_training.classifier.train import member_configs, train
from cxr_training.cli import main
from cxr_training.core.errors import ConfigError
from support.quick_training import quick_arguments, quick_config
from support.synthetic_nih import draw, write_nih

pytestmark = pytest.mark.slow

TWO = "members=2"
FEW = ("evaluation.resamples=20", "evaluation.calibration_folds=2")
COMPARED = ("epoch", "step", "learning_rate", "train_loss", "val_loss", "val_auroc_mean")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("members")
    write_nih(folder)
    return folder


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    arguments = ["--data", str(root), "--out", str(root / "run")]
    assert main(["classifier", "train", *quick_arguments(TWO, *FEW), *arguments]) == 0
    return root / "run"


@pytest.fixture(scope="module")
def published(trained: Path, root: Path) -> Path:
    data = ["--data", str(root)]
    assert main(["classifier", "evaluate", *data, "--run", str(trained)]) == 0
    out = ["--models", str(root / "models"), "--results", str(root / "results")]
    assert main(["classifier", "publish", "--run", str(trained), *out]) == 0
    return root / "models/classifier/lite0-nih14"


def test_each_network_begins_with_its_own_of_a_published_ensemble_where_none_is_named() -> None:
    recipe = ("members=2", "pretrained=null", "start={model: models/classifier/lite0-nih14")
    of_each = quick_config(*recipe[:2], f"{recipe[2]}, member: null}}")
    of_one = quick_config(*recipe[:2], f"{recipe[2]}, member: 2}}")
    starts = [
        [own.start and own.start.member for own in member_configs(c)] for c in (of_each, of_one)
    ]
    assert starts == [[1, 2], [2, 2]]
    assert [own.seed for own in member_configs(of_each)] == [of_each.seed, of_each.seed + 1]


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: json.loads(line)[key] for key in COMPARED} for line in lines]


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_each_member_is_a_run_with_a_seed_of_its_own_and_the_cache_lies_beside_all(
    trained: Path, root: Path
) -> None:
    names = {"config.yaml", "run.json", "splits.csv", "metrics.jsonl", "curves.png", "best.pt"}
    for number in (1, 2):
        member = trained / f"member-{number}"
        assert names <= {path.name for path in member.iterdir()}
        [session] = facts(member)["sessions"]
        assert (session["config"]["seed"], session["config"]["members"]) == (number, 1)
    assert facts(trained)["members"] == [
        {"folder": "member-1", "seed": 1},
        {"folder": "member-2", "seed": 2},
    ]
    assert [path.name for path in trained.parent.glob("*/canonical-*.npy")] != []
    assert not (trained / "cache").exists()
    assert rows(trained / "member-1") != rows(trained / "member-2")


def test_a_member_is_the_run_that_its_recipe_gives_alone(trained: Path, root: Path) -> None:
    train(quick_config("seed=2"), root / "nih", root / "alone")
    assert rows(root / "alone") == rows(trained / "member-2")
    assert "members" not in facts(root / "alone")


def test_what_is_published_is_the_mean_of_both_and_is_served(
    published: Path, trained: Path
) -> None:
    manifest = ModelManifest.model_validate_json((published / "manifest.json").read_text())
    assert manifest.architecture.arguments["members"] == 2
    radiographs = [draw(finding, 128, np.random.default_rng(3)) for finding in (None, *Finding)[:4]]
    batch = [preprocess(radiograph, manifest.input) for radiograph in radiographs]
    for runtime in ("onnxruntime", "torch"):
        served = load_predictor(
            ClassifierSettings(model_dir=published, runtime=runtime, device="cpu")
        )
        readings = served.predict(batch)
        expected = mean_of_members(trained, np.stack(batch))
        np.testing.assert_allclose([one.logits for one in readings], expected, atol=1e-3)


def mean_of_members(run: Path, batch: np.ndarray) -> np.ndarray:
    answers = []
    for number in (1, 2):
        state = torch.load(run / f"member-{number}/best.pt", weights_only=True)["average"]
        network = load_weights(build_member(quick_config().architecture, 14), state)
        with torch.inference_mode():
            answers.append(network(torch.from_numpy(batch))[0].numpy())
    mean: np.ndarray = np.mean(answers, axis=0)
    return mean


def test_manifest_card_and_curves_say_what_each_member_was(
    published: Path, trained: Path, root: Path
) -> None:
    manifest = ModelManifest.model_validate_json((published / "manifest.json").read_text())
    first, second = manifest.extra["members"]
    assert (first["seed"], second["seed"], second["epochs"]) == (1, 2, 2)
    assert first["commit"] == facts(trained / "member-1")["sessions"][0]["commit"]
    assert str(root) not in json.dumps(manifest.extra)
    assert manifest.training.recipe["members"] == 2
    card = (published / "MODEL_CARD.md").read_text()
    assert "the mean of 2 networks, trained alike from seeds 1 and 2" in card
    assert "Network 2: seed 2, 2 epochs, published after epoch" in card
    assert (root / "results/curves.png").stat().st_size > 10_000


def test_the_published_figures_are_measured_again_from_its_files(
    published: Path, root: Path
) -> None:
    assert main(["classifier", "verify", "--model", str(published), "--data", str(root)]) == 0


def test_a_run_killed_in_its_second_member_goes_on_with_it(
    root: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*quick_arguments(TWO, *FEW), "--data", str(root), "--out", str(root / "killed")]
    step = Trainer.step

    def killed(trainer: Trainer, batch: Batch) -> torch.Tensor:
        if trainer.config.seed == 2 and trainer.progress.epoch == 1:
            raise KeyboardInterrupt
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            main(["classifier", "train", *arguments])
    assert [epochs_of(root / f"killed/member-{number}") for number in (1, 2)] == [2, 1]
    assert main(["classifier", "train", *arguments, "--resume"]) == 0
    for number, sessions in ((1, 1), (2, 2)):
        # The first was over, and is left as it is.
        assert len(facts(root / f"killed/member-{number}")["sessions"]) == sessions
        assert rows(root / f"killed/member-{number}") == rows(trained / f"member-{number}")
    assert len(facts(root / "killed")["sessions"]) == 2


def epochs_of(member: Path) -> int:
    state = torch.load(member / "last.pt", weights_only=True)
    return int(state["progress"]["epoch"])


def test_a_member_that_fails_is_named_in_its_sentence_and_ends_the_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = quick_arguments(TWO, "training.learning_rate=1e30")
    out = ["--data", str(root), "--out", str(root / "diverging")]
    assert main(["classifier", "train", *wild, *out]) == 2
    [sentence] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("classifier: ")]
    assert re.match(r"classifier: member 1: the loss is .* training stopped, ", sentence)


def test_one_network_and_several_do_not_go_on_as_each_other(
    trained: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["--data", str(root), "--out", str(trained)]
    assert main(["classifier", "train", *quick_arguments(TWO), *again]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["classifier", "train", *quick_arguments(), *again, "--resume"]) == 2
    said = capsys.readouterr().err
    assert "was begun with members=2, and the recipe says members=1: choose another --out" in said


def test_the_recipe_says_how_many_and_not_its_architecture() -> None:
    with pytest.raises(ConfigError, match="members"):
        quick_config("members=0")
    with pytest.raises(ConfigError, match="a key of the recipe"):
        quick_config("architecture.arguments={in_chans: 1, members: 2}")
