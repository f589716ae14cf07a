"""What a study asks of the recipe: steps held equal, repeated images, synthetic ones."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_contracts import Finding
from cxr_training.classifier.loading import EpochBatches, TrainingImages
from cxr_training.classifier.samples import (
    LABELS,
    Samples,
    added_rows,
    as_samples,
    concatenated,
    read_samples,
)
from cxr_training.classifier.train import new_trainer
from cxr_training.data.cache import canonical_images
from cxr_training.data.collection import read_collection
from cxr_training.data.splits import Split
from support.quick_training import quick_config
from support.synthetic_manifest import write_manifest
from support.synthetic_nih import write_nih

HERNIA = LABELS.index(Finding.HERNIA)


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("hooks"))


@pytest.fixture(scope="module")
def samples(nih: Path) -> Samples:
    return read_samples(nih)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    rows = [
        {
            "image": f"images/{number}.png",
            "patient": f"synthetic:a:b:{number}",
            "findings": "Hernia",
            "synthetic": "1",
        }
        for number in range(5)
    ]
    manifest = write_manifest(tmp_path_factory.mktemp("made") / "manifest.csv", rows)
    return as_samples(read_collection(None, [manifest]))


def test_an_epoch_of_stated_steps_has_whole_batches_of_any_number_of_images() -> None:
    for n_images in (5, 50, 100):
        batches = EpochBatches(n_images, 8, seed=1, steps=10)
        drawn = list(batches)
        assert [len(batch) for batch in drawn] == [8] * 10
        seen = Counter(index % n_images for batch in drawn for _, index in batch)
        # None is shown a second time before all were shown once.
        assert max(seen.values()) - min(seen[index] for index in range(n_images)) <= 1
        batches.start(0, 4)
        assert list(batches) == drawn[4:]


def test_without_stated_steps_the_batches_are_what_they_were() -> None:
    plain = list(EpochBatches(50, 8, seed=1))
    assert list(EpochBatches(50, 8, seed=1, steps=6)) == plain
    assert len(plain) == 6


def test_images_are_repeated_until_a_label_has_as_many_as_asked_for(samples: Samples) -> None:
    rows = samples.rows(Split.TRAIN)
    n = int(samples.targets[rows, HERNIA].sum())
    added = added_rows(samples, {Finding.HERNIA: 2 * n + 3, Finding.EDEMA: 1}, seed=1)
    assert len(added[Finding.EDEMA]) == 0
    hernia = added[Finding.HERNIA]
    assert len(hernia) == n + 3
    assert set(hernia) <= set(rows)
    assert (samples.targets[hernia, HERNIA] == 1).all()
    assert max(Counter(hernia.tolist()).values()) == 2
    fewer = added_rows(samples, {Finding.HERNIA: n + 2}, seed=1)[Finding.HERNIA]
    np.testing.assert_array_equal(fewer, hernia[:2])


def test_a_repeated_image_looks_otherwise_and_the_others_as_without(
    samples: Samples, nih: Path
) -> None:
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    plain = TrainingImages(samples, images, quick_config())
    more = TrainingImages(samples, images, quick_config("training.oversampled_to={Hernia: 30}"))
    assert len(more) > len(plain)
    torch.testing.assert_close(more[0, 3], plain[0, 3], rtol=0, atol=0)
    copy = len(plain)
    first = int(np.flatnonzero(more.rows == more.rows[copy])[0])
    assert first < copy
    assert torch.equal(more[0, copy][1], more[0, first][1])
    assert not torch.equal(more[0, copy][0], more[0, first][0])
    # So does an image that a long epoch shows again.
    assert not torch.equal(plain[0, len(plain) + 3][0], plain[0, 3][0])


def test_real_and_synthetic_samples_become_one_list(samples: Samples, made: Samples) -> None:
    both = concatenated(samples, made)
    assert len(both) == len(samples) + 5
    assert both.synthetic.tolist() == [False] * len(samples) + [True] * 5
    assert both.paths == samples.paths + made.paths
    np.testing.assert_array_equal(both.rows(Split.VALIDATION), samples.rows(Split.VALIDATION))
    moved = dict.fromkeys(samples.patient_splits, Split.VALIDATION)
    with pytest.raises(ValueError, match="is in two splits"):
        concatenated(samples, replace(samples, patient_splits=moved))


def test_a_run_takes_the_stated_steps(samples: Samples, nih: Path, tmp_path: Path) -> None:
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    config = quick_config("training.epochs=1", "training.steps_per_epoch=3")
    trainer = new_trainer(config, samples, images, tmp_path)
    trainer.run()
    assert trainer.progress.step == 3
