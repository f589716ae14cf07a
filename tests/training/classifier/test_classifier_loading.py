from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from cxr_contracts import Finding
from cxr_training.classifier.config import Sampling
from cxr_training.classifier.loading import (
    EpochBatches,
    TrainingImages,
    drawing_chances,
    epoch_order,
    loader_workers,
    training_loader,
)
from cxr_training.classifier.losses import label_weights
from cxr_training.classifier.samples import LABELS, MASKED, read_samples, with_few_patients
from cxr_training.data.cache import canonical_images
from cxr_training.data.splits import Split
from support.quick_training import quick_config
from support.synthetic_nih import write_nih

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("loading"))


def test_the_order_is_that_of_the_loader_that_the_first_runs_were_made_with() -> None:
    for seed, epoch in ((1, 0), (1, 3), (7, 1)):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        rows = TensorDataset(torch.arange(101))
        shuffled = DataLoader(rows, batch_size=8, shuffle=True, generator=generator)
        assert torch.cat([row for [row] in shuffled]).tolist() == epoch_order(101, seed, epoch)


def test_an_epoch_goes_on_after_the_batches_that_were_seen() -> None:
    batches = EpochBatches(50, 8, seed=1)
    batches.start(2, 0)
    whole = list(batches)
    batches.start(2, 4)
    assert len(batches) == 2
    assert list(batches) == whole[4:]
    assert {epoch for batch in whole for epoch, _ in batch} == {2}


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    [batch] = EpochBatches(5, 8, seed=1)
    assert sorted(index for _, index in batch) == [0, 1, 2, 3, 4]


def test_workers_that_outlive_an_epoch_read_what_the_process_itself_would(nih: Path) -> None:
    samples = read_samples(nih)
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    read = []
    for workers in (0, 1):
        config = quick_config(f"training.workers={workers}")
        loader, batches = training_loader(samples, images, config, CPU)
        for epoch in (0, 1):
            batches.start(epoch, 5)
            read.append(list(loader))
    for alone, by_workers in zip(read[:2], read[2:], strict=True):
        torch.testing.assert_close(by_workers, alone, rtol=0, atol=0)
    assert not torch.equal(read[0][0][0], read[1][0][0])


def test_a_label_is_learned_within_a_source_from_its_epoch_on(nih: Path) -> None:
    samples = read_samples(nih)
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    rule = "{sources: [large], weight: 3.0, from_epoch: 3}"
    config = quick_config(f"training.within_source={{Pneumonia: {rule}}}")
    data = TrainingImages(samples, images, config)
    column = LABELS.index(Finding.PNEUMONIA)
    small = next(i for i, row in enumerate(data.rows) if samples.sources[row] != "large")

    targets = [data[epoch, small][1] for epoch in range(4)]

    truth = samples.targets[data.rows[small]]
    assert [float(target[column]) for target in targets] == [truth[column]] * 2 + [MASKED] * 2
    elsewhere = np.arange(len(LABELS)) != column
    assert all(np.array_equal(target[elsewhere], truth[elsewhere]) for target in targets)
    in_force = [list(config.training.within_source_in(epoch)) for epoch in (1, 2, 3, 9)]
    assert in_force == [[], [], [Finding.PNEUMONIA], [Finding.PNEUMONIA]]


def test_loading_draws_nothing_from_the_numbers_of_dropout(nih: Path) -> None:
    samples = read_samples(nih)
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    loader, _ = training_loader(samples, images, quick_config(), CPU)
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_number_of_workers_follows_the_machine_unless_it_is_configured() -> None:
    assert loader_workers(quick_config("training.workers=null"), CPU) == 0
    assert 1 <= loader_workers(quick_config("training.workers=null"), torch.device("cuda")) <= 16
    assert loader_workers(quick_config("training.workers=3"), CPU) == 3


def test_a_few_patients_of_each_split_keep_all_their_images(nih: Path) -> None:
    samples = read_samples(nih)
    few = with_few_patients(samples, 16)
    for split in (Split.TRAIN, Split.VALIDATION):
        kept = set(few.patients[few.rows(split)])
        assert len(kept) == 16
        of_kept = samples.rows(split)[np.isin(samples.patients[samples.rows(split)], list(kept))]
        assert len(few.rows(split)) == len(of_kept)
    assert few.patient_splits == samples.patient_splits
    names = {path.name: row for row, path in enumerate(samples.paths)}
    for row, path in enumerate(few.paths):
        whole = names[path.name]
        assert few.patients[row] == samples.patients[whole]
        np.testing.assert_array_equal(few.targets[row], samples.targets[whole])
    assert with_few_patients(samples, 1000).paths == samples.paths


def test_batches_drawn_by_chance_follow_from_seed_and_epoch_and_go_on_where_they_stood() -> None:
    chances = np.array([0.0, 0.05, 0.05, 0.1, 0.8 / 16] + [0.8 / 16] * 15)
    batches = EpochBatches(20, 4, seed=1, steps=400, chances=chances)
    whole = list(batches)
    assert len(whole) == 400
    drawn = [[index % 20 for _, index in batch] for batch in whole]
    assert all(len(set(batch)) == 4 for batch in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=20)
    assert counts[0] == 0
    assert 1.5 < counts[3] / counts[4:].mean() < 2.2
    batches.start(0, 150)
    assert list(batches) == whole[150:]
    batches.start(1, 0)
    assert list(batches) != whole
    # An image that is drawn again has another index, and looks otherwise.
    indices = [index for batch in whole for _, index in batch]
    assert len(set(indices)) == len(indices)


def test_rare_findings_large_files_and_boxes_are_drawn_more_often_than_healthy_chests(
    nih: Path,
) -> None:
    samples = read_samples(nih)
    rows = samples.rows(Split.TRAIN)
    sampling = Sampling(no_finding=0.5, large=1.25, boxed=2.0)
    boxed = int(rows[0])
    chances = drawing_chances(samples, rows, sampling, {boxed})
    assert chances.sum() == pytest.approx(1)
    healthy = np.asarray(~samples.targets[rows].any(axis=1))
    large = samples.sources[rows] == "large"
    usual = chances[~healthy & ~large & (rows != boxed)]
    assert usual.min() == usual.max()
    half = chances[healthy & large & (rows != boxed)]
    assert half == pytest.approx(np.full(len(half), 0.5 * 1.25 * usual[0]))
    assert len(half)
    assert chances[0] == pytest.approx(
        usual[0] * 2.0 * (0.5 if healthy[0] else 1.0) * (1.25 if large[0] else 1.0)
    )
    # One label is left on two images: it is rare, and all others are.
    rare = LABELS.index(Finding.HERNIA)
    one = replace(samples, targets=samples.targets * 0)
    one.targets[rows[:2], rare] = 1
    of_rare = drawing_chances(one, rows, Sampling(rare=1.4), ())
    assert of_rare[0] == pytest.approx(1.4 * of_rare[2])


def test_a_rare_label_counts_more_within_bounds_and_the_mean_is_one(nih: Path) -> None:
    samples = read_samples(nih)
    training = samples.rows(Split.TRAIN)
    targets = samples.targets * 0
    for place, n in enumerate((1, 20, 80)):
        targets[training[:n], place] = 1
    few = replace(samples, targets=targets)
    assert len(training) > 100
    config = quick_config("training.label_weights=prevalence", "training.within_source={}")
    rare, middle, common, *nobody = label_weights(few, config.training, 1).tolist()
    assert rare > middle > common
    # However rare: five times the commonest, no more.
    assert rare == pytest.approx(5 * common)
    assert nobody == [pytest.approx(rare)] * 11
    assert (rare + middle + common + sum(nobody)) / 14 == pytest.approx(1)
    assert label_weights(few, quick_config().training, 1).tolist() == [1.0] * 14
