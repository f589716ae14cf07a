"""The recipe that learns from boxes and reads, too, on a network small enough for a test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cxr_classifier.preprocessing import GreyImage
from cxr_contracts import Finding
from cxr_training.classifier.card import classifier_card
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.loop import Trainer
from cxr_training.classifier.publish import MODEL, evaluate_run
from cxr_training.classifier.samples import LABELS
from cxr_training.classifier.supervision import read_supervision
from cxr_training.classifier.train import cache_of, new_trainer, samples_of, train
from cxr_training.cli import main
from cxr_training.core.errors import RunError
from cxr_training.data.cache import CanonicalImages, canonical_images
from support.quick_training import QUICK
from support.synthetic_manifest import whole_rows, write_manifest
from support.synthetic_nih import write_boxes, write_nih, write_reads

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[3] / "training/configs/classifier.yaml"
SUPERVISED = (
    *QUICK,
    "start=null",
    # Maps of 4 x 4 cells.
    "architecture.arguments={in_chans: 1, drop_rate: 0.3, output_stride: 16}",
    "input.width_px=64",
    "input.height_px=64",
    "input.canonical_px=64",
    "training.batch_size=16",
    "training.steps_per_epoch=3",
    "training.frozen_stages=1",
    "evaluation.resamples=20",
    "evaluation.calibration_folds=2",
)
COMPARED = (
    "step",
    "learning_rate",
    "train_loss",
    "train_auxiliary_loss",
    "train_pointing_loss",
    "val_loss",
    "val_auroc",
)


def supervised(*overrides: str) -> ClassifierConfig:
    return load_config(RECIPE, (*SUPERVISED, *overrides))


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
    folder = write_nih(tmp_path_factory.mktemp("supervised"))
    write_boxes(folder)
    write_reads(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(nih: Path) -> Path:
    folder = nih.parent / "unbroken"
    train(supervised(), nih, folder)
    return folder


def trainer_of(
    config: ClassifierConfig, nih: Path, folder: Path, *, reads: int | None = None
) -> Trainer:
    samples = samples_of(config, nih)
    images: CanonicalImages = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    if reads is not None:
        images = ImagesUntil(images, reads)
    supervision = read_supervision(samples, nih.parent)
    folder.mkdir()
    return new_trainer(config, samples, images, folder, supervision=supervision)


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: json.loads(line)[key] for key in COMPARED} for line in lines]


def test_a_killed_run_resumes_to_the_same_losses_and_heads(nih: Path, unbroken: Path) -> None:
    config, folder = supervised("training.checkpoint_minutes=1e-9"), nih.parent / "killed"
    n_validation = int((samples_of(config, nih).splits == "validation").sum())
    # The second epoch is killed in its second batch.
    with pytest.raises(Killed):
        trainer_of(config, nih, folder, reads=3 * 16 + n_validation + 20).run()
    assert torch.load(folder / "last.pt", weights_only=True)["progress"]["batch"] == 1
    train(config, nih, folder, resume=True)
    assert rows(folder) == rows(unbroken)
    resumed, whole = (torch.load(run / "last.pt") for run in (folder, unbroken))
    for part in ("network", "average", "auxiliary"):
        for name, tensor in whole[part].items():
            assert torch.equal(resumed[part][name], tensor), name


def test_boxes_teach_the_maps_where_to_point(nih: Path) -> None:
    lost = {}
    for weight in (0.0, 1.0):
        config = supervised(
            f"training.supervision={{auxiliary: 0.0, pointing: {weight}}}",
            "training.frozen_stages=0",
            "training.steps_per_epoch=8",
            "training.learning_rate=3e-3",
        )
        folder = nih.parent / f"pointing-{weight}"
        trainer_of(config, nih, folder).run()
        lost[weight] = [row["train_pointing_loss"] for row in rows(folder)]
    assert lost[1.0][1] < lost[1.0][0]
    assert lost[1.0][1] < 0.9 * lost[0.0][1]


def test_the_usual_places_of_boxes_are_published_with_the_maps(nih: Path, unbroken: Path) -> None:
    manifest = evaluate_run(unbroken, nih)
    places = torch.load(unbroken / "best.pt", weights_only=True)["usual_places"]
    stored = load_file(unbroken / MODEL / "weights.safetensors")["mean_normal_cam"]
    torch.testing.assert_close(stored.float(), -places, atol=2e-3, rtol=1e-3)
    # The squares of the first finding lie in the first cell of the image.
    first = LABELS.index(Finding.ATELECTASIS)
    assert int(places[first].argmax()) == 0
    assert manifest.architecture.arguments["mean_normal_cam"] == [4, 4]
    assert any(source.startswith("RSNA") for source in manifest.data.sources)
    card = classifier_card(manifest)
    assert "where boxes of a finding usually lie is added to every map" in card
    assert "Start: random weights" in card


def test_a_network_starts_from_a_published_one_and_its_first_stages_stay_as_they_are(
    nih: Path, classifier_folder: Path
) -> None:
    config = supervised(
        "architecture.name=tf_efficientnet_lite0",
        "architecture.arguments={in_chans: 1, drop_rate: 0.3, drop_path_rate: 0.1}",
        f"start={{model: {classifier_folder}}}",
        "training.frozen_stages=2",
        "training.epochs=1",
        "training.steps_per_epoch=2",
        "training.batch_size=8",
    )
    trainer = trainer_of(config, nih, nih.parent / "started")
    published = load_file(classifier_folder / "weights.safetensors")
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(tensor, published[name].to(tensor.dtype)), name
    trainer.run()
    after = trainer.network.state_dict()
    frozen = tuple(f"backbone.{x}." for x in ("conv_stem", "bn1", "blocks.0", "blocks.1"))
    same = {name for name, tensor in after.items() if torch.equal(tensor, published[name])}
    assert {name for name in after if name.startswith(frozen)} <= same
    later = ("backbone.blocks.2.0.conv_dw.weight", "backbone.blocks.2.0.bn1.running_mean")
    assert not same & {*later, "backbone.classifier.weight"}


@pytest.mark.parametrize(
    ("network", "member"), [("test_efficientnet", 1), ("tf_efficientnet_lite0", 2)]
)
def test_a_start_that_does_not_fit_is_refused(
    nih: Path, classifier_folder: Path, network: str, member: int
) -> None:
    start = f"start={{model: {classifier_folder}, member: {member}}}"
    config = supervised(start, f"architecture.name={network}")
    with pytest.raises(RunError, match=f"tensors fit network {member}: another architecture"):
        trainer_of(config, nih, nih.parent / f"start-{member}")


def test_supervision_without_the_folder_of_the_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_manifest(tmp_path / "own.csv", whole_rows())
    settings = [part for override in SUPERVISED for part in ("--set", override)]
    command = ["train", "--config", str(RECIPE), *settings, "--manifest", str(own)]
    assert main(["classifier", *command, "--out", str(tmp_path / "run")]) == 2
    assert "--data is needed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
