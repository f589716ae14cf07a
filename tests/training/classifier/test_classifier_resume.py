"""A run that was killed and goes on is the run that was not, to the last bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxr_classifier.preprocessing import GreyImage
from cxr_contracts import Finding
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.loading import Batch
from cxr_training.classifier.train import cache_of, new_trainer, samples_of, train
from cxr_training.cli import main
from cxr_training.data.cache import CanonicalImages, canonical_images
from support.quick_training import quick_arguments, quick_config
from support.synthetic_nih import write_nih

pytestmark = pytest.mark.slow

COMPARED = ("epoch", "step", "learning_rate", "train_loss", "val_loss", "val_auroc")


class Killed(BaseException):
    pass


class ImagesUntil:
    """Images that end the process, as a kill would, after so many were read."""

    def __init__(self, images: CanonicalImages, n_reads: int) -> None:
        self.images, self.left = images, n_reads

    def __getitem__(self, row: int, /) -> GreyImage:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return np.asarray(self.images[row])

    def __len__(self) -> int:
        return len(self.images)


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def unbroken(nih: Path) -> Path:
    folder = nih.parent / "unbroken"
    train(quick_config(), nih, folder)
    return folder


def killed_in_the_second_epoch(config: ClassifierConfig, nih: Path, folder: Path) -> None:
    samples = samples_of(config, nih)
    folder.mkdir()
    # An epoch reads its 7 whole batches, then the validation images; then comes the second.
    batches, n_validation = 7, int((samples.splits == "validation").sum())
    whole = batches * config.training.batch_size
    until = whole + n_validation + whole // 2
    images = ImagesUntil(
        canonical_images(samples.paths, config.canonical_px, cache_of(folder)), until
    )
    with pytest.raises(Killed):
        new_trainer(config, samples, images, folder).run()


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: json.loads(line)[key] for key in COMPARED} for line in lines]


def assert_same_run(folder: Path, unbroken: Path) -> None:
    assert rows(folder) == rows(unbroken)
    [resumed, whole] = [
        torch.load(run / "last.pt", weights_only=True) for run in (folder, unbroken)
    ]
    for part in ("network", "average"):
        for name, tensor in whole[part].items():
            assert torch.equal(resumed[part][name], tensor), name


@pytest.mark.parametrize(
    ("minutes", "batches_done"),
    [pytest.param(15.0, 0, id="epoch's end"), pytest.param(1e-9, 3, id="within an epoch")],
)
def test_a_killed_run_resumes_to_the_same_losses(
    nih: Path, unbroken: Path, minutes: float, batches_done: int
) -> None:
    config = quick_config(f"training.checkpoint_minutes={minutes}")
    folder = nih.parent / f"killed-{batches_done}"
    killed_in_the_second_epoch(config, nih, folder)
    progress = torch.load(folder / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["batch"]) == (1, batches_done)
    train(config, nih, folder, resume=True)
    assert_same_run(folder, unbroken)


def test_a_run_killed_between_its_line_and_its_checkpoint_has_each_epoch_once(
    nih: Path, unbroken: Path
) -> None:
    config = quick_config()
    folder = nih.parent / "between"
    killed_in_the_second_epoch(config, nih, folder)
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(rows(unbroken)[1]) + "\n")
    train(config, nih, folder, resume=True)
    assert_same_run(folder, unbroken)


def test_a_checkpoint_of_another_network_is_refused_with_a_sentence(
    nih: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = quick_arguments("architecture.name=test_resnet", "architecture.arguments={in_chans: 1}")
    folder = ["--data", str(nih.parent), "--out", str(unbroken), "--resume"]
    assert main(["classifier", "train", *other, *folder]) == 2
    assert "last.pt is of another network than configured" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_its_checkpoint(
    nih: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = nih.parent / "diverging"
    folder = ["--data", str(nih.parent), "--out", str(out)]
    assert main(["classifier", "train", *quick_arguments("training.epochs=1"), *folder]) == 0
    kept = (out / "last.pt").read_bytes()
    wild = quick_arguments("training.epochs=9", "training.learning_rate=1e30")
    assert main(["classifier", "train", *wild, *folder, "--resume"]) == 2
    sentence = capsys.readouterr().err
    assert "in epoch 2: training stopped" in sentence
    assert "last.pt is as it was before. Lower training.learning_rate" in sentence
    assert (out / "last.pt").read_bytes() == kept


def test_a_labels_weight_in_the_loss_holds_from_the_epoch_of_its_rule_on(
    nih: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config()
    samples = samples_of(config, nih)
    images = canonical_images(samples.paths, config.canonical_px, cache_of(tmp_path))
    trainer = new_trainer(config, samples, images, tmp_path)
    step, weights = trainer.step, []

    def watched(batch: Batch) -> torch.Tensor:
        weights.append(trainer.label_weights.tolist())
        return step(batch)

    monkeypatch.setattr(trainer, "step", watched)
    trainer.run()
    usual = [1.0] * len(Finding)
    within = [3.0 if label is Finding.PNEUMONIA else 1.0 for label in Finding]
    assert weights == [usual] * 7 + [within] * 7
