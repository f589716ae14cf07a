"""What detectors propose on films that nobody annotated, and how far it is believed."""

from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Region
from cxr_training.data.boxed import read_boxed
from cxr_training.data.errors import DataError
from cxr_training.data.nih import RegionBox
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import AnnotatedImage, Annotations, read_annotations
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.teaching.proposals import (
    Proposal,
    fuse,
    read_proposals,
    unannotated,
    write_proposals,
)
from cxr_training.detector.teaching.trust import SOURCE, Usual, trust, usual, with_proposals
from cxr_training.detector.training import Sources
from synthetic_radiographs import SyntheticData, write_small_data

RECIPE = Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
LEFT = RegionBox(Region.EFFUSION, 100, 600, 300, 900)
RIGHT = RegionBox(Region.EFFUSION, 700, 600, 900, 900)
MASS = RegionBox(Region.MASS, 100, 100, 300, 300)


def film(name: str, *boxes: RegionBox) -> AnnotatedImage:
    return AnnotatedImage(
        name, Path(name), "1", Split.TRAIN, "chestx-det", 128, boxes, unknown=frozenset()
    )


def rows(*boxes: tuple[float, ...]) -> "np.typing.NDArray[np.float64]":
    return np.array(boxes, dtype=np.float64).reshape(-1, 5)


def test_overlapping_boxes_become_their_mean_weighted_by_score() -> None:
    fused = fuse(rows((0.6, 0, 0, 100, 100), (0.2, 0, 0, 120, 100), (0.5, 500, 0, 600, 100)), 2)
    np.testing.assert_allclose(fused, [[0.4, 0, 0, 105, 100], [0.25, 500, 0, 600, 100]])


def test_a_box_of_one_detector_of_three_has_a_third_of_its_score() -> None:
    [[score, *_]] = fuse(rows((0.6, 0, 0, 100, 100)), 3)
    assert score == pytest.approx(0.2)
    assert fuse(rows(), 3).shape == (0, 5)


def test_a_detector_that_repeats_itself_is_no_certainty() -> None:
    same = [(0.9, 0, 0, 100, 100)] * 4
    assert fuse(rows(*same), 2)[0, 0] == 1.0


def test_what_is_usual_is_counted_on_the_films() -> None:
    films = [film("a", LEFT, RIGHT), film("b", LEFT), film("c", MASS), film("d")]
    assert usual(Region.EFFUSION, films) == Usual(share=0.5, boxes=1.5)
    assert usual(Region.NODULE, films) == Usual(share=0.0, boxes=0.0)


def test_the_highest_scores_have_it_the_lowest_do_not_and_between_nothing_is_said() -> None:
    names = [f"film{number:02}" for number in range(20)]
    proposals = {name: [Proposal(LEFT, 0.9 - 0.04 * number)] for number, name in enumerate(names)}
    # A fifth has it: four of twenty; half as many are believed to, twice as many may.
    verdict = trust(Region.EFFUSION, names, proposals, Usual(0.2, 1.0), 0.5)
    assert verdict.boxes == {"film00": [LEFT], "film01": [LEFT]}
    assert verdict.absent == set(names[8:])


def test_as_many_boxes_are_taken_as_annotators_draw() -> None:
    proposals = {
        "a": [Proposal(LEFT, 0.9), Proposal(RIGHT, 0.3), Proposal(MASS, 0.8)],
        "b": [Proposal(LEFT, 0.7), Proposal(RIGHT, 0.6)],
        "c": [],
        "d": [],
    }
    verdict = trust(Region.EFFUSION, list(proposals), proposals, Usual(0.5, 1.5), 1.0)
    assert verdict.boxes == {"a": [LEFT], "b": [LEFT, RIGHT]}
    assert verdict.absent == {"c", "d"}


def test_a_film_without_a_proposal_is_never_believed_to_have_it() -> None:
    verdict = trust(Region.EFFUSION, ["a", "b"], {"a": [], "b": []}, Usual(1.0, 1.0), 1.0)
    assert verdict.boxes == {}
    assert verdict.absent == frozenset()


@pytest.fixture
def data(tmp_path: Path) -> SyntheticData:
    return write_small_data(tmp_path)


def taught(data: SyntheticData, proposals: dict[str, list[Proposal]]) -> Annotations:
    annotations = read_annotations(
        data.nih, data.chestxdet, merge_iou=0.5, background_images=0, seed=0
    )
    return with_proposals(annotations, proposals, read_boxed(data.nih).images, 1.0)


def test_labels_decide_whose_films_are_alike(data: SyntheticData) -> None:
    for _ in range(3):
        data.add(Split.TRAIN, findings="Edema", det=[])
        data.add(Split.TRAIN, findings="Effusion", det=[("Effusion", 100, 600, 200, 300)])
    named = data.add(Split.TRAIN, findings="Effusion")
    unnamed = data.add(Split.TRAIN, findings="Edema")
    data.write()
    everywhere = {name: [Proposal(LEFT, 0.9)] for name in (named, unnamed)}
    images = {image.name: image for image in taught(data, everywhere).images}
    # ChestX-Det draws an effusion on every film that is labelled so, and on none of the others.
    assert images[named].source == images[unnamed].source == SOURCE
    assert images[named].boxes == (LEFT,)
    assert images[unnamed].boxes == ()
    assert Region.EFFUSION not in images[unnamed].unknown


def test_what_chestx_det_does_not_mark_is_left_to_the_labels(data: SyntheticData) -> None:
    data.add(Split.TRAIN, findings="Edema", det=[])
    name = data.add(Split.TRAIN, findings="Pneumonia")
    data.write()
    proposal = Proposal(RegionBox(Region.INFILTRATION, 9, 9, 99, 99), 0.9)
    [image] = [one for one in taught(data, {name: [proposal]}).images if one.source == SOURCE]
    assert image.boxes == ()
    assert Region.INFILTRATION not in image.unknown
    assert Region.PNEUMONIA in image.unknown


def test_only_training_films_that_nobody_annotated_are_learnt_from(data: SyntheticData) -> None:
    held_out = data.add(Split.VALIDATION, findings="Effusion")
    normal = data.add(Split.TRAIN)
    boxed = data.add(Split.TRAIN, findings="Mass", nih=[("Mass", 9, 9, 99, 99)])
    spare = data.add(Split.TRAIN, findings="Effusion")
    data.write()
    names = {image.name for image in unannotated(data.nih, data.chestxdet)}
    assert spare in names
    assert not names & {held_out, normal, boxed}
    proposals = {name: [Proposal(LEFT, 0.9)] for name in (held_out, boxed, spare, "no_such.png")}
    annotations = taught(data, proposals)
    assert [image.name for image in annotations.images if image.source == SOURCE] == [spare]
    assert held_out not in {image.name for image in annotations.images}


def test_a_file_of_proposals_is_read_as_it_was_written(tmp_path: Path) -> None:
    proposals = {"a.png": [Proposal(LEFT, 0.9), Proposal(MASS, 0.25)], "b.png": []}
    write_proposals(proposals, tmp_path / "proposals.csv")
    assert read_proposals(tmp_path / "proposals.csv") == proposals


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.png,Gremlin,0.5,1,1,9,9", "Gremlin"),
        ("a.png,Mass,1.5,1,1,9,9", "1.5 is no score between 0 and 1"),
        ("a.png,Mass,nan,1,1,9,9", "nan is no score"),
        ("a.png,Mass,high,1,1,9,9", "high"),
        ("a.png,Mass,0.5,9,9,9,9", "has no area"),
        ("a.png,Mass,0.5,1,1,2000,9", "outside"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "proposals.csv"
    path.write_text(f"image,region,score,x_min,y_min,x_max,y_max\n{row}\n")
    with pytest.raises(DataError, match=said) as caught:
        read_proposals(path)
    assert "proposals.csv" in str(caught.value)
    assert caught.value.line == 2


def test_a_run_reads_its_proposals(data: SyntheticData, tmp_path: Path) -> None:
    spare = data.add(Split.TRAIN, findings="Effusion")
    data.write()
    write_proposals({spare: [Proposal(LEFT, 0.9)]}, tmp_path / "proposals.csv")
    config = DetectorConfig.read(RECIPE, ["data.trusted_share=1.0"])
    without = Sources(data.nih, data.chestxdet).read(config)
    with_them = Sources(data.nih, data.chestxdet, tmp_path / "proposals.csv").read(config)
    added = {image.name for image in with_them.images} - {image.name for image in without.images}
    assert added == {spare}
    assert with_them.splits == without.splits
