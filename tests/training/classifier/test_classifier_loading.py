import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from cxr_classifier.network import build_network
from cxr_contracts import Architecture, Finding
from cxr_training.classifier.loading import (
    EpochBatches,
    TrainingImages,
    epoch_order,
    loader_workers,
    training_loader,
)
from cxr_training.classifier.samples import LABELS, MASKED, read_samples, with_few_patients
from cxr_training.core.distributed import Processes, freeze_unused
from cxr_training.core.errors import RunError
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


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_shares_of_all_processes_make_the_batches_of_one(size: int) -> None:
    whole = list(EpochBatches(50, 8, seed=1))
    assert [len(batch) for batch in whole] == [8] * 6
    shares = [EpochBatches(50, 8, 1, Processes(rank, size)) for rank in range(size)]
    assert all(len(share) == len(whole) for share in shares)
    together = [[item for part in parts for item in part] for parts in zip(*shares, strict=True)]
    assert together == whole


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


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(RunError, match=r"batch_size=9 does not divide among 2 .* multiple of 2"):
        EpochBatches(50, 9, 1, Processes(0, 2))


def test_workers_that_outlive_an_epoch_read_what_the_process_itself_would(nih: Path) -> None:
    samples = read_samples(nih)
    images = canonical_images(samples.paths, 32, nih.parent / "cache")
    read = []
    for workers in (0, 1):
        config = quick_config(f"training.workers={workers}")
        loader, batches = training_loader(samples, images, config, CPU, Processes())
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
    loader, _ = training_loader(samples, images, quick_config(), CPU, Processes())
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_worker_gets_the_name_of_the_mapped_file_and_not_its_pixels(nih: Path) -> None:
    samples = read_samples(nih)
    images = canonical_images(samples.paths, 256, nih.parent / "cache")
    data = TrainingImages(samples, images, quick_config())
    pickled = pickle.dumps(data)
    assert len(pickled) < images.nbytes / 100
    # A data set of our own, written a line above.
    again = pickle.loads(pickled)
    assert isinstance(again.images.images, np.memmap)
    torch.testing.assert_close(again[0, 3], data[0, 3], rtol=0, atol=0)


def test_the_number_of_workers_follows_the_machine_unless_it_is_configured() -> None:
    assert loader_workers(quick_config("training.workers=null"), CPU) == 0
    assert 1 <= loader_workers(quick_config("training.workers=null"), torch.device("cuda")) <= 16
    assert loader_workers(quick_config("training.workers=3"), CPU) == 3


def test_a_few_patients_keep_every_class_in_both_splits(nih: Path) -> None:
    samples = read_samples(nih)
    few = with_few_patients(samples, 16)
    for split in (Split.TRAIN, Split.VALIDATION):
        rows = few.rows(split)
        assert len(set(few.patients[rows])) == 16
        assert (few.targets[rows].sum(axis=0) > 0).all()
    assert few.patient_splits == samples.patient_splits
    names = {path.name: row for row, path in enumerate(samples.paths)}
    for row, path in enumerate(few.paths):
        whole = names[path.name]
        assert few.patients[row] == samples.patients[whole]
        np.testing.assert_array_equal(few.targets[row], samples.targets[whole])
    assert with_few_patients(samples, 16).paths == few.paths
    assert with_few_patients(samples, 1000).paths == samples.paths


def test_parameters_that_the_maps_go_past_are_taken_out_of_training() -> None:
    image = torch.zeros(1, 1, 64, 64)
    past = build_network(
        Architecture(library="timm", name="test_convnext", arguments={"in_chans": 1}), len(LABELS)
    )
    unused = freeze_unused(past, image)
    assert unused
    assert all("norm" in name for name in unused)
    assert not any(past.get_parameter(name).requires_grad for name in unused)
    whole = build_network(
        Architecture(library="timm", name="test_efficientnet", arguments={"in_chans": 1}), 14
    )
    assert freeze_unused(whole, image) == []
    assert whole.training
