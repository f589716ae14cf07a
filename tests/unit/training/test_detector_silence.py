"""How often labels name what is drawn, and what is drawn that they do not name."""

from pathlib import Path

import pytest

from cxr_contracts import Region
from cxr_training.data.splits import Split
from cxr_training.detector.__main__ import main
from cxr_training.detector.silence import Agreement, Films, label_agreement
from support.synthetic_radiographs import Box, SyntheticData, write_small_data

EFFUSION: Box = ("Effusion", 100, 600, 200, 300)
MASS: Box = ("Mass", 100, 100, 200, 200)


@pytest.fixture
def data(tmp_path: Path) -> SyntheticData:
    data = write_small_data(tmp_path)
    data.add(Split.TRAIN, findings="Effusion", det=[EFFUSION, EFFUSION])
    data.add(Split.TRAIN, findings="Effusion|Mass", det=[])
    for _ in range(2):
        data.add(Split.TRAIN, findings="Edema", det=[])
    data.add(Split.TRAIN, findings="Edema", det=[EFFUSION])
    # Nobody to count: of validation, normal, or boxed by NIH alone.
    data.add(Split.VALIDATION, findings="Edema", det=[EFFUSION])
    data.add(Split.TRAIN, det=[EFFUSION])
    data.add(Split.TRAIN, findings="Mass", nih=[MASS])
    # NIH's box is not ChestX-Det's.
    data.add(Split.TRAIN, findings="Mass", det=[], nih=[MASS])
    return data.write()


def test_films_are_counted_by_what_their_labels_name(data: SyntheticData) -> None:
    counted = {one.region: one for one in label_agreement(data.nih, data.chestxdet)}
    assert counted[Region.EFFUSION] == Agreement(Region.EFFUSION, Films(1, 2), Films(1, 4))
    assert counted[Region.MASS] == Agreement(Region.MASS, Films(0, 2), Films(0, 4))
    # NIH labels no fracture, and does not say which nodules are diffuse.
    assert not {Region.FRACTURE, Region.DIFFUSE_NODULE} & counted.keys()


def test_the_table_begins_with_what_is_missed_most(
    data: SyntheticData, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ["--nih", str(data.nih), "--chestx-det", str(data.chestxdet)]
    assert main(["silence", *sources]) == 0
    first = capsys.readouterr().out.splitlines()[2]
    assert first == "| Effusion | 1 of 2 (50%) | 1 of 4 (25%) | yes |"
