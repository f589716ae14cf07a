"""One split by patient over NIH, ChestX-Det and manifests together."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Finding
from cxr_training.classifier.samples import read_samples
from cxr_training.data import chestxdet
from cxr_training.data.annotations import read_annotations
from cxr_training.data.collection import describe_sources, read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.nih import read_images
from cxr_training.data.splits import Split, assign_splits, split_sha256
from support.synthetic_manifest import whole_rows, write_manifest
from support.synthetic_nih import write_nih
from support.synthetic_radiographs import SyntheticData, write_small_data


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_nih(tmp_path_factory.mktemp("nih"))


def hashed(patient: str) -> Split:
    return assign_splits([patient], official_test=set(), boxed=set())[patient]


def test_no_patient_crosses_a_split_over_both_published_sets(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    annotations = read_annotations(data.nih.parent, background_images=2)
    samples = read_collection(data.nih)
    splits: dict[str, set[Split]] = defaultdict(set)
    for annotated in annotations.images:
        splits[annotated.patient].add(annotated.split)
    for radiograph in samples.images:
        splits[radiograph.patient].add(samples.splits[radiograph.patient])
    for image in chestxdet.read_images(data.chestxdet):
        splits[image.patient].add(hashed(image.patient))
    assert {len(found) for found in splits.values()} == {1}
    assert {split for found in splits.values() for split in found} == {"train", "validation"}
    assert split_sha256(annotations.splits) == split_sha256(samples.splits)


def test_official_test_patients_are_kept_from_both_sets(tmp_path: Path) -> None:
    data = SyntheticData(tmp_path)
    names = [data.add(split, det=[]) for split in (Split.TRAIN, Split.VALIDATION)]
    data.write()
    (data.nih / "test_list.txt").write_text(f"{names[0]}\n")
    assert read_collection(data.nih).splits == {
        names[0][:8]: Split.TEST,
        names[1][:8]: Split.VALIDATION,
    }


def test_a_manifest_leaves_the_split_of_nih_as_it_was(nih: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", whole_rows())
    alone, together = read_samples(nih), read_samples(nih, [manifest])
    assert len(together) == len(alone) + 28
    assert together.patient_splits.items() >= alone.patient_splits.items()
    train, validation = together.rows(Split.TRAIN), together.rows(Split.VALIDATION)
    assert not set(together.patients[train]) & set(together.patients[validation])
    assert {f"own:train-{n}" for n in range(5)} <= set(together.patients[train])
    assert {f"own:validation-{n}" for n in range(5)} <= set(together.patients[validation])


def test_a_manifest_alone_is_enough_to_train_on(tmp_path: Path) -> None:
    samples = read_samples(None, [write_manifest(tmp_path / "manifest.csv", whole_rows())])
    assert len(samples.rows(Split.TRAIN)) == len(samples.rows(Split.VALIDATION)) == 14
    np.testing.assert_array_equal(samples.targets[:14], np.eye(14))


def test_a_label_without_a_positive_image_is_named_with_the_manifest(tmp_path: Path) -> None:
    rows = [
        row
        for row in whole_rows()
        if (row["split"], row["findings"]) != ("validation", Finding.HERNIA)
    ]
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    said = r"manifest\.csv: no validation image is positive for Hernia"
    with pytest.raises(DataError, match=said):
        read_samples(None, [manifest])
    manifest = write_manifest(tmp_path / "train.csv", [r for r in rows if r["split"] == "train"])
    for left in (tmp_path / "images").glob("validation-*"):
        left.unlink()
    with pytest.raises(DataError, match=r"train\.csv: no image belongs to a validation patient"):
        read_samples(None, [manifest])


def test_without_a_stated_split_the_patients_number_decides(tmp_path: Path) -> None:
    rows = [
        {"image": f"{n}.png", "patient": str(n // 2), "findings": "No Finding"} for n in range(80)
    ]
    collection = read_collection(None, [write_manifest(tmp_path / "manifest.csv", rows)])
    assert collection.splits == {f"own:{n}": hashed(f"own:{n}") for n in range(40)}
    assert set(collection.splits.values()) == {Split.TRAIN, Split.VALIDATION}


def synthetic(patient: str, name: str = "synthetic/a.png") -> dict[str, str]:
    return {"image": name, "patient": patient, "findings": "Hernia", "synthetic": "1"}


def test_synthetic_patients_train_whatever_their_number(tmp_path: Path) -> None:
    rows = [synthetic(str(n), f"synthetic/{n}.png") for n in range(40)]
    assert Split.VALIDATION in {hashed(f"own:{n}") for n in range(40)}
    collection = read_collection(None, [write_manifest(tmp_path / "manifest.csv", rows)])
    assert set(collection.splits.values()) == {Split.TRAIN}


def test_a_synthetic_image_of_a_validation_patient_is_refused(nih: Path, tmp_path: Path) -> None:
    patients = sorted({image.patient for image in read_images(nih)})
    of = {split: next(p for p in patients if hashed(p) is split) for split in list(Split)[:2]}
    fine = write_manifest(tmp_path / "fine.csv", [synthetic(f"nih:{of[Split.TRAIN]}")])
    assert read_collection(nih, [fine]).images[-1].synthetic
    leak = write_manifest(tmp_path / "leak.csv", [synthetic(f"nih:{of[Split.VALIDATION]}")])
    with pytest.raises(DataError, match=r"leak\.csv:2: .* who is in validation: synthetic images"):
        read_collection(nih, [leak])


def test_a_patient_of_nih_follows_nihs_split(nih: Path, tmp_path: Path) -> None:
    patients = sorted({image.patient for image in read_images(nih)})
    held = next(p for p in patients if hashed(p) is Split.VALIDATION)
    row = {"image": "a.png", "patient": f"nih:{held}", "findings": "Mass", "split": "train"}
    manifest = write_manifest(tmp_path / "manifest.csv", [row])
    with pytest.raises(DataError, match=r"csv:2: patient \d{8} is in train here and in validation"):
        read_collection(nih, [manifest])
    assert read_collection(None, [manifest]).splits == {held: Split.TRAIN}


def test_two_manifests_may_share_a_folder_and_must_agree_on_a_patient(tmp_path: Path) -> None:
    row = {"image": "a.png", "patient": "1", "findings": "Mass", "split": "train"}
    first = write_manifest(tmp_path / "first.csv", [row])
    second = write_manifest(tmp_path / "second.csv", [row | {"image": "b.png"}])
    assert read_collection(None, [first, second]).splits == {"own:1": Split.TRAIN}
    second = write_manifest(
        tmp_path / "second.csv", [row | {"image": "b.png", "split": "validation"}]
    )
    with pytest.raises(DataError, match=r"second\.csv:2: patient own:1 .*first\.csv:2"):
        read_collection(None, [first, second])


def test_the_sources_are_named_without_a_folder(nih: Path, tmp_path: Path) -> None:
    rows = [*whole_rows(), synthetic("s")]
    manifest = write_manifest(tmp_path / "site.csv", rows)
    published, own = describe_sources(nih, [manifest])
    assert published.startswith("NIH ChestX-ray14")
    assert own.startswith("site.csv, a CSV manifest of 29 images, 1 of them synthetic (sha256 ")
    assert str(tmp_path) not in own
