import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Finding
from cxr_training.classifier.samples import (
    LABELS,
    MASKED,
    masked_targets,
    read_samples,
    source_of,
)
from cxr_training.data.cache import canonical_images
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import Split
from support.synthetic_nih import write_nih

CSV = "Data_Entry_2017_v2020.csv"


@pytest.fixture
def nih(tmp_path: Path) -> Path:
    return write_nih(tmp_path)


def _rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_no_patient_stands_in_two_splits_and_every_row_has_its_labels(nih: Path) -> None:
    samples = read_samples(nih)
    assert len(samples) == 280
    train, validation = samples.rows(Split.TRAIN), samples.rows(Split.VALIDATION)
    assert not set(samples.patients[train]) & set(samples.patients[validation])
    with (nih / CSV).open() as stream:
        labels = {row["Image Index"]: row["Finding Labels"] for row in csv.DictReader(stream)}
    for path, target in zip(samples.paths, samples.targets, strict=True):
        named = [label.value for label, one in zip(LABELS, target, strict=True) if one]
        assert "|".join(named or ["No Finding"]) == labels[path.name]
    assert set(samples.sources) == {"large", "medium", "small"}


def test_a_label_learned_within_a_source_is_not_evaluated_elsewhere(nih: Path) -> None:
    samples = read_samples(nih)
    targets = masked_targets(samples, {Finding.PNEUMONIA: ("large",)})
    column = LABELS.index(Finding.PNEUMONIA)
    large = samples.sources == "large"
    assert (targets[~large, column] == MASKED).all()
    np.testing.assert_array_equal(targets[large], samples.targets[large])
    others = np.arange(len(LABELS)) != column
    np.testing.assert_array_equal(targets[:, others], samples.targets[:, others])


def test_a_row_that_repeats_an_image_or_gives_it_another_patient_is_named(nih: Path) -> None:
    text = (nih / CSV).read_text()
    rows = text.splitlines()
    (nih / CSV).write_text(f"{text}{rows[5]}\n")
    with pytest.raises(DataError, match=r"csv:282: 00000003_000\.png stands on line 6 already"):
        read_samples(nih)
    (nih / CSV).write_text(text.replace(rows[5], re.sub(r",3,(\d+),", r",4,\1,", rows[5])))
    with pytest.raises(DataError, match=r"csv:6: 00000003_000\.png is said to be of patient '4'"):
        read_samples(nih)


@pytest.mark.parametrize(
    ("width_px", "source"),
    [(1024, "large"), (256, "large"), (255, "medium"), (128, "medium"), (64, "small")],
)
def test_the_source_class_follows_from_the_width(width_px: int, source: str) -> None:
    assert source_of(width_px) == source


def test_a_missing_column_is_named(nih: Path) -> None:
    _rewrite(nih / CSV, "Finding Labels", "Labels")
    with pytest.raises(DataError, match="column 'Finding Labels' is missing"):
        read_samples(nih)


def test_an_image_without_a_row_is_named(nih: Path) -> None:
    Image.new("L", (64, 64)).save(nih / "images" / "00000999_000.png")
    with pytest.raises(DataError, match=r"00000999_000\.png: has no row in Data_Entry"):
        read_samples(nih)


def test_an_unknown_label_is_named_with_its_line(nih: Path) -> None:
    _rewrite(nih / CSV, "00000003_000.png,Effusion", "00000003_000.png,Broken_Heart")
    with pytest.raises(DataError, match=r"csv:\d+: 'Broken_Heart'"):
        read_samples(nih)


def test_a_label_without_a_validation_image_is_named(nih: Path) -> None:
    _rewrite(nih / CSV, f",{Finding.HERNIA},", ",No Finding,")
    with pytest.raises(DataError, match="no train image is positive for Hernia"):
        read_samples(nih)


def test_a_file_that_is_no_image_is_found_before_training(nih: Path) -> None:
    (nih / "images" / "00000005_000.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"00000005_000\.png: is not a readable image"):
        read_samples(nih)


def test_the_cache_holds_the_canonical_images_and_follows_changed_files(
    nih: Path, tmp_path: Path
) -> None:
    paths = read_samples(nih).paths[:6]
    images = canonical_images(paths, 64, tmp_path / "cache")
    small = next(row for row, path in enumerate(paths) if decode_grey(path).shape[1] == 64)
    np.testing.assert_array_equal(images[small], decode_grey(paths[small]))
    again = canonical_images(paths, 64, tmp_path / "cache")
    np.testing.assert_array_equal(again, images)
    Image.new("L", (64, 64), 7).save(paths[small])
    changed = canonical_images(paths, 64, tmp_path / "cache")
    assert (changed[small] == 7).all()
