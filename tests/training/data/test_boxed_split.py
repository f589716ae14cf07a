"""Whoever reads boxed radiographs splits their patients alike, and as ever."""

import pytest

from cxr_training.classifier.localisation import read_cases
from cxr_training.data.collection import read_collection
from cxr_training.data.nih import published_splits, read_boxed
from cxr_training.data.splits import Split, split_sha256
from support.synthetic_radiographs import SyntheticData, write_small_data

# Of the folder below, whichever of the readers is asked; every published figure hangs on it.
# pragma: allowlist nextline secret
SPLIT = "2a77631c3b7d5f52b6e8cef13371f8d941d5ec746785bd83dbcdea67745066bd"
HELD_OUT, BOXED = "00000001_000.png", "00000017_000.png"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticData:
    """Two patients of the official test list, one of whom NIH boxed."""
    data = write_small_data(tmp_path_factory.mktemp("boxed"))
    (data.nih / "test_list.txt").write_text(f"{HELD_OUT}\n{BOXED}\n")
    return data


def test_every_reader_of_boxes_follows_the_one_split(data: SyntheticData) -> None:
    boxed = read_boxed(data.nih)
    splits = [boxed.splits, read_collection(data.nih).splits]
    assert {split_sha256(one) for one in splits} == {SPLIT}
    for split, cases in read_cases(data.nih.parent).items():
        assert cases
        assert {case.patient for case in cases} <= {image.patient for image in boxed.of(split)}


def test_a_patient_whom_nih_boxed_is_not_held_out(data: SyntheticData) -> None:
    splits = read_boxed(data.nih).splits
    assert splits[HELD_OUT[:8]] is Split.TEST
    assert splits[BOXED[:8]] is Split.TRAIN
    assert BOXED in {case.name for case in read_cases(data.nih.parent)[Split.TRAIN]}
    assert HELD_OUT not in {image.name for image in read_boxed(data.nih).of(Split.TRAIN)}


def test_patients_without_nihs_lists_follow_their_numbers() -> None:
    assert published_splits(None, ["00000001"]) == {"00000001": Split.TRAIN}
