"""What a published detector says of radiographs without drawn boxes, and what a student gets."""

import csv
import json
from pathlib import Path

import pytest

from cxr_contracts import Region
from cxr_training.cli import main
from cxr_training.data.annotations import SET_NAMES, AnnotatedImage, Annotations, read_annotations
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split
from cxr_training.detector.config import DistillationConfig, square_input
from cxr_training.detector.dataset import SOFT_FILE, write_dataset
from cxr_training.detector.distillation import (
    PseudoBox,
    PseudoLabels,
    merged,
    read_pseudo_labels,
    unannotated,
    with_teacher,
)
from support.model_folders import write_detector_folder
from support.synthetic_radiographs import write_small_data

CONFIG = DistillationConfig(min_score=0.05, label_odds=2.0, merge_iou=0.6, drawn_share=0.5)
RSNA_HEADER = ["Image Index", "class", "x", "y", "width", "height"]
LEFT, RIGHT = (100.0, 100.0, 400.0, 500.0), (600.0, 100.0, 900.0, 500.0)


def drawn(region: Region, score: float, place: tuple[float, float, float, float]) -> PseudoBox:
    return PseudoBox(region, score, *place)


class Taught:
    """Small data with radiographs that nobody annotated, and RSNA's reads of some."""

    def __init__(self, root: Path) -> None:
        self.data = write_small_data(root)
        self.effusion = self.data.add(Split.TRAIN, findings="Effusion")
        self.opacity = self.data.add(Split.TRAIN)
        self.normal = self.data.add(Split.TRAIN)
        self.other = self.data.add(Split.VALIDATION)
        self.data.write()
        self.root = root
        rows: list[list[object]] = [
            [self.opacity, "Lung Opacity", 600, 100, 300, 400],
            [self.normal, "Normal"],
        ]
        rows += [[self.other, "Lung Opacity", 600, 100, 300, 400]]
        (root / "rsna").mkdir()
        with (root / "rsna/reads.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(RSNA_HEADER)
            writer.writerows([*row, *[""] * (6 - len(row))] for row in rows)

    def annotations(self) -> Annotations:
        return read_annotations(self.root, sets=(*SET_NAMES, "rsna"))

    def with_boxes(self, **boxes: list[PseudoBox]) -> Annotations:
        said = {getattr(self, name): tuple(found) for name, found in boxes.items()}
        labels = PseudoLabels("teacher 1", "0" * 64, said)
        return with_teacher(self.annotations(), labels, self.root, CONFIG)


@pytest.fixture
def taught(tmp_path: Path) -> Taught:
    return Taught(tmp_path / "data")


def image_of(annotations: Annotations, name: str) -> AnnotatedImage:
    [image] = [image for image in annotations.images if image.name == name]
    return image


def test_only_training_patients_radiographs_without_drawn_boxes_are_labelled(
    taught: Taught,
) -> None:
    annotations = read_annotations(taught.root)
    names = {image.name for image in unannotated(taught.root)}
    assert {taught.effusion, taught.opacity, taught.normal} <= names
    assert taught.other not in names
    assert not names & {image.name for image in annotations.images if image.is_annotated}
    assert {annotations.splits[name[:8]] for name in names} == {Split.TRAIN}


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_where_it_stopped(
    taught: Taught, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path = write_detector_folder(tmp_path / "models/teacher"), tmp_path / "cache/said.jsonl"
    command = ["detector", "pseudo-label", "--model", str(model), "--data", str(taught.root)]
    command += ["--out", str(path)]
    assert main([*command, "--limit", "2"]) == 0
    first = path.read_text()
    assert len(first.splitlines()) == 3
    path.write_text(first + first.splitlines()[2][:20])
    assert main(command) == 0
    labels = read_pseudo_labels(path)
    assert path.read_text().startswith(first)
    assert set(labels.boxes) == {image.name for image in unannotated(taught.root)}
    assert labels.teacher == "random-detector 0"
    said = [box for boxes in labels.boxes.values() for box in boxes]
    assert all(0.02 <= box.score <= 1 and 0 <= box.x_min < box.x_max <= 1024 for box in said)
    header = json.loads(first.splitlines()[0])
    path.write_text(json.dumps({**header, "sha256": "0" * 64}) + "\n")
    assert main(command) == 2
    assert "holds what another detector says" in capsys.readouterr().err


def test_labels_of_a_validation_patient_are_refused(taught: Taught) -> None:
    with pytest.raises(DataError, match="is no training patient's here"):
        taught.with_boxes(other=[drawn(Region.MASS, 0.5, LEFT)])


def test_rsnas_boxes_are_pneumonia_and_train_only(taught: Taught) -> None:
    annotations = taught.annotations()
    image = image_of(annotations, taught.opacity)
    assert [(box.region, box.x_min) for box in image.boxes] == [(Region.PNEUMONIA, 600.0)]
    assert Region.PNEUMONIA not in image.unknown
    assert image_of(annotations, taught.normal).boxes == ()
    assert taught.other not in {image.name for image in annotations.images}
    plain = read_annotations(taught.root)
    assert annotations.of(Split.VALIDATION) == plain.of(Split.VALIDATION)


def test_what_labels_name_becomes_likelier_and_what_they_do_not_name_less(taught: Taught) -> None:
    annotations = taught.with_boxes(
        effusion=[
            drawn(Region.EFFUSION, 0.5, LEFT),
            drawn(Region.MASS, 0.5, RIGHT),
            drawn(Region.FRACTURE, 0.3, (0, 0, 50, 50)),
            drawn(Region.NODULE, 0.06, (0, 900, 50, 950)),
        ]
    )
    image = image_of(annotations, taught.effusion)
    assert image.source == "teacher"
    assert image.unknown == frozenset()
    soft = image.soft or ()
    scores = {region: score for box in soft for region, score in box.scores.items()}
    # Odds of 1 become 2 and 1/2; a fracture has no label; the nodule falls below the least score.
    assert scores == {
        Region.EFFUSION: pytest.approx(2 / 3),
        Region.MASS: pytest.approx(1 / 3),
        Region.FRACTURE: 0.3,
    }


def test_rsnas_radiologists_overrule_the_teacher(taught: Taught) -> None:
    annotations = taught.with_boxes(
        opacity=[
            drawn(Region.PNEUMONIA, 0.9, LEFT),
            drawn(Region.CONSOLIDATION, 0.5, RIGHT),
        ],
        normal=[drawn(Region.MASS, 0.9, LEFT)],
    )
    [place] = image_of(annotations, taught.opacity).soft or ()
    assert place.scores == {
        Region.PNEUMONIA: 1.0,
        Region.CONSOLIDATION: pytest.approx(1 / 3),
    }
    assert image_of(annotations, taught.normal).soft == ()


def test_radiographs_with_drawn_boxes_keep_them(taught: Taught) -> None:
    annotations = taught.annotations()
    boxed = next(image for image in annotations.of(Split.TRAIN) if image.source == "nih")
    labels = PseudoLabels("t 1", "0" * 64, {boxed.name: (drawn(Region.MASS, 0.9, LEFT),)})
    assert with_teacher(annotations, labels, taught.root, CONFIG) == annotations


def test_boxes_of_different_kinds_at_one_place_are_one_place() -> None:
    near = (110.0, 100.0, 400.0, 500.0)
    places = merged(
        [
            drawn(Region.INFILTRATION, 0.3, near),
            drawn(Region.CONSOLIDATION, 0.5, LEFT),
            drawn(Region.CONSOLIDATION, 0.2, near),  # a second of its kind stays its own
            drawn(Region.MASS, 0.4, RIGHT),
        ],
        0.6,
    )
    assert [(place.x_min, dict(place.scores)) for place in places] == [
        (100.0, {Region.CONSOLIDATION: 0.5, Region.INFILTRATION: 0.3}),
        (600.0, {Region.MASS: 0.4}),
        (110.0, {Region.CONSOLIDATION: 0.2}),
    ]


def test_places_are_written_beside_the_drawn_boxes_and_read_again(
    taught: Taught, tmp_path: Path
) -> None:
    from cxr_detector.network import prepare_ultralytics

    prepare_ultralytics()
    from cxr_training.detector.partial_labels import SoftTargets

    annotations = taught.with_boxes(
        effusion=[drawn(Region.EFFUSION, 0.5, LEFT), drawn(Region.MASS, 0.4, RIGHT)],
        normal=[drawn(Region.MASS, 0.9, LEFT)],
    )
    spec = square_input(64)
    write_dataset(annotations.of(Split.TRAIN), annotations.regions, tmp_path / "set", spec)
    soft = SoftTargets(tmp_path / "set" / SOFT_FILE)
    assert set(soft.images) == {taught.effusion[:-4], taught.normal[:-4]}
    rows, boxes = soft.on(taught.effusion[:-4])
    assert soft.scores[rows, annotations.regions.index(Region.EFFUSION)].tolist() == [
        pytest.approx(2 / 3),
        0.0,
    ]
    assert boxes[0].tolist() == pytest.approx([0.2441, 0.293, 0.293, 0.3906], abs=1e-3)
    assert len(soft.on(taught.normal[:-4])[0]) == 0
    assert len(soft.on("nobody")[0]) == 0


@pytest.mark.slow
def test_a_student_trains_goes_on_and_is_published(
    taught: Taught, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, said = write_detector_folder(tmp_path / "models/teacher"), tmp_path / "said.jsonl"
    data = ["--data", str(taught.root)]
    teach = ["detector", "pseudo-label", "--model", str(model), *data, "--out", str(said)]
    assert main([*teach, "--limit", "4"]) == 0
    recipe = Path(__file__).parents[3] / "training/configs/detector/yolov5s-distilled.yaml"
    run = ["--out", str(tmp_path / "run")]
    small = ["--set", "architecture=yolov5n", "--set", "image_px=64", "--set", "epochs=2"]
    small += ["--set", "batch=2"]
    small += ["--set", "validate_every=2", "--set", "threads=1"]
    for name, value in (("epoch_images", 4), ("rare_share", 0.1), ("max_images", 64)):
        small += ["--set", f"data.{name}={value}"]
    train = ["detector", "train", "--config", str(recipe), *small, *data, *run]
    assert main(train) == 2
    assert "needs --pseudo-labels" in capsys.readouterr().err
    assert main([*train, "--start", str(model), "--pseudo-labels", str(said)]) == 0
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert told["start"]["source"] == "the published detector random-detector 0"
    assert told["start"]["fits"] == told["start"]["of"]
    assert told["distillation"]["teacher"] == "random-detector 0"
    assert told["distillation"]["n_images"] > 0
    lines = (tmp_path / "run/train/results.csv").read_text().splitlines()
    assert len(lines) == 3
    assert main(["detector", "evaluate", *run, *data]) == 0
    publish = ["detector", "publish", *run, "--models", str(tmp_path / "models")]
    assert main([*publish, "--results", str(tmp_path / "results")]) == 0
    card = (tmp_path / "models/yolov5s-distilled/MODEL_CARD.md").read_text()
    assert "pseudo-labels of" in card
    assert "RSNA Pneumonia Detection Challenge 2018" in card
