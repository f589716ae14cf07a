"""One list of radiographs from both data sets, and the prepared folder that is made of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cxr_contracts import InputSpec, Region
from cxr_training.data.annotations import (
    CHESTX_DET,
    NIH,
    OFTEN_MISSED,
    REGIONS,
    SET_NAMES,
    AnnotatedImage,
    Annotations,
    limit_images,
    merge_boxes,
    read_annotations,
    read_test_annotations,
)
from cxr_training.data.errors import DataError
from cxr_training.data.nih import RegionBox
from cxr_training.data.splits import Split
from cxr_training.detector.dataset import pixel_boxes, write_dataset
from support.synthetic_radiographs import Box, SyntheticData, write_small_data

SPEC = InputSpec(width_px=320, height_px=320, channels=3, canonical_px=None, mean=0.0, std=1.0)
MASS = RegionBox(Region.MASS, 100, 100, 300, 300)


def read(
    data: SyntheticData,
    background: int = 2,
    sets: tuple[str, ...] = SET_NAMES,
    mask: bool = False,
) -> Annotations:
    return read_annotations(
        data.nih.parent,
        sets=sets,
        background_images=background,
        label_noise_mask=mask,
        seed=0,
    )


def prepare(annotations: Annotations, folder: Path) -> Path:
    images = annotations.of(Split.TRAIN)
    return write_dataset(images, annotations.regions, folder, SPEC)


def by_name(annotations: Annotations) -> dict[str, AnnotatedImage]:
    return {image.name: image for image in annotations.images}


def test_a_box_that_both_sets_drew_stands_once_and_is_chestx_dets() -> None:
    nearly = RegionBox(Region.MASS, 110, 100, 310, 300)
    elsewhere = RegionBox(Region.MASS, 600, 600, 800, 800)
    other_kind = RegionBox(Region.NODULE, 110, 100, 310, 300)
    merged = merge_boxes([MASS], [nearly, elsewhere, other_kind])
    assert merged == (MASS, elsewhere, other_kind)


def test_a_radiograph_of_both_sets_stands_once_with_the_boxes_of_both(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    name = data.add(
        Split.TRAIN,
        findings="Mass|Infiltration",
        det=[("Nodule", 100, 100, 50, 50)],
        nih=[("Infiltration", 400, 400, 200, 200)],
    )
    image = by_name(read(data.write()))[name]
    assert image.source == "both"
    assert [box.region for box in image.boxes] == [Region.NODULE, Region.INFILTRATION]


def test_a_class_that_nobody_looked_for_is_unknown(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    det = data.add(Split.TRAIN, findings="Pneumonia|Mass", det=[])
    nih = data.add(Split.TRAIN, findings="Mass|Effusion", nih=[("Mass", 9, 9, 99, 99)])
    images = by_name(read(data.write()))
    # NIH names it, ChestX-Det does not mark its kind. Mass, which it does mark, is not there.
    assert images[det].unknown == {Region.PNEUMONIA}
    # NIH names an effusion and drew none; it has no label for the other two, nor for a
    # diffuse nodule other than Nodule, which it does not name.
    assert images[nih].unknown == {Region.EFFUSION, Region.CALCIFICATION, Region.FRACTURE}


def test_what_labels_often_miss_may_be_masked(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    det = data.add(Split.TRAIN, findings="Mass", det=[])
    nih = data.add(Split.TRAIN, findings="Mass", nih=[("Mass", 9, 9, 99, 99)])
    drawn = data.add(Split.TRAIN, findings="Effusion", nih=[("Effusion", 9, 9, 99, 99)])
    normal = data.add(Split.TRAIN, side_px=384)
    evaluated = data.add(Split.VALIDATION, findings="Mass", nih=[("Mass", 9, 9, 99, 99)])
    data.write()
    plain, masked = by_name(read(data)), by_name(read(data, mask=True))
    assert masked[nih].unknown - plain[nih].unknown == OFTEN_MISSED
    assert masked[drawn].unknown - plain[drawn].unknown == OFTEN_MISSED - {Region.EFFUSION}
    # ChestX-Det's readers looked, and a normal radiograph has nothing to miss.
    assert masked[det] == plain[det]
    assert masked[normal] == plain[normal]
    assert masked[evaluated] == plain[evaluated]


def test_background_is_of_training_patients_and_the_largest_there_is(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    large = {data.add(Split.TRAIN, side_px=384) for _ in range(2)}
    held_out = data.add(Split.VALIDATION, side_px=384)
    sick = data.add(Split.TRAIN, side_px=384, findings="Hernia")
    background = {i.name for i in read(data.write()).images if i.source == "background"}
    assert background == large
    assert not {held_out, sick} & background


def test_the_same_seed_chooses_the_same_background(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    assert read(data).images == read(data).images


def test_a_class_without_a_training_box_is_refused(tmp_path: Path) -> None:
    data = SyntheticData(tmp_path)
    data.add(Split.TRAIN, det=[("Mass", 10, 10, 50, 50)])
    data.add(Split.VALIDATION, det=[("Mass", 10, 10, 50, 50)])
    with pytest.raises(DataError, match="no box of Atelectasis on any training patient"):
        read(data.write())


def test_validation_without_a_box_is_refused(tmp_path: Path) -> None:
    data = SyntheticData(tmp_path)
    data.add(Split.TRAIN, det=[(region.value, 10, 10, 50, 50) for region in REGIONS])
    with pytest.raises(DataError, match="no box on any validation patient"):
        read(data.write())


def test_a_box_on_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    name = data.add(Split.TRAIN, findings="Mass", nih=[("Mass", 10, 10, 50, 50)])
    data.write()
    (data.nih / "images" / name).unlink()
    with pytest.raises(DataError, match=f"BBox_List_2017.csv: {name} is annotated"):
        read(data)


def test_one_sets_boxes_alone_bring_its_own_classes_and_images(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    name = data.add(
        Split.TRAIN,
        findings="Mass|Infiltration",
        det=[("Nodule", 100, 100, 50, 50), ("Fracture", 500, 500, 90, 90)],
        nih=[("Infiltration", 400, 400, 200, 200)],
    )
    data.write()
    nih, det = (read(data, sets=(one,)) for one in ("nih", "chestx-det"))
    assert set(nih.regions) == NIH.regions
    assert set(det.regions) == CHESTX_DET.regions
    assert {image.source for image in nih.images} == {"nih", "background"}
    assert {image.source for image in det.images} == {"chestx-det", "background"}
    assert [box.region for box in by_name(nih)[name].boxes] == [Region.INFILTRATION]
    # Mass is named and was not drawn; Fracture, which NIH does not know, is not asked about.
    assert by_name(nih)[name].unknown == {Region.MASS}
    assert [box.region for box in by_name(det)[name].boxes] == [Region.NODULE, Region.FRACTURE]
    assert by_name(det)[name].unknown == frozenset()


def test_the_patients_are_split_alike_whichever_set_is_taken(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    splits = [read(data, sets=sets).splits for sets in (("nih",), ("chestx-det",), SET_NAMES)]
    assert splits[0] == splits[1] == splits[2]


def test_a_class_that_the_set_never_marks_is_not_missed(tmp_path: Path) -> None:
    data = SyntheticData(tmp_path)
    boxes: list[Box] = [(region.value, 10, 10, 50, 50) for region in sorted(CHESTX_DET.regions)]
    for split in (Split.TRAIN, Split.VALIDATION):
        data.add(split, det=boxes)
    data.write()
    assert len(read(data, sets=("chestx-det",)).images) == 2
    with pytest.raises(DataError, match=r"BBox_List_2017\.csv: no box of Infiltration on any"):
        read(data)
    with pytest.raises(DataError, match=r"BBox_List_2017\.csv: no box of Atelectasis on any"):
        read(data, sets=("nih",))


def test_a_trial_takes_a_few_images_of_each_split(tmp_path: Path) -> None:
    everything = read(write_small_data(tmp_path))
    few = limit_images(everything, 5, seed=1)
    assert [len(few.of(split)) for split in (Split.TRAIN, Split.VALIDATION)] == [5, 5]
    assert set(few.images) < set(everything.images)
    assert limit_images(everything, None, seed=1) is everything


def test_the_prepared_labels_lie_on_the_prepared_images(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    folder = tmp_path / "prepared"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "earlier.png").write_bytes(b"of another run")
    data_file = prepare(read(data), folder)
    assert not (folder / "images" / "earlier.png").exists()
    names = yaml.safe_load(data_file.read_text())["names"]
    assert list(names.values()) == [region.value for region in Region]
    labels = sorted((folder / "labels").glob("*.txt"))
    assert len(labels) > 40
    for path in labels:
        pixels = np.asarray(Image.open(folder / "images" / f"{path.stem}.png"))
        assert pixels.shape == (320, 320)
        for line in path.read_text().splitlines():
            x, y, width, height = (float(value) * 320 for value in line.split()[1:])
            inside = pixels[round(y), round(x)]
            left = pixels[round(y), max(round(x - width / 2) - 12, 0)]
            assert inside > 200 > left, path.name
            assert height > 10


def test_the_prepared_folder_says_which_classes_are_unknown(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    annotations = read(data)
    prepare(annotations, tmp_path / "prepared")
    unknown = json.loads((tmp_path / "prepared" / "unknown.json").read_text())
    for image in annotations.of(Split.TRAIN):
        assert {REGIONS[i] for i in unknown[Path(image.name).stem]} == image.unknown


def test_boxes_follow_the_size_of_the_file() -> None:
    image = AnnotatedImage(
        "00000001_000.png", Path("x"), "00000001", Split.TRAIN, "nih", 256, (MASS,), frozenset()
    )
    np.testing.assert_allclose(pixel_boxes(image, 256, 256), [[25, 25, 75, 75]])


def test_an_image_that_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    data = write_small_data(tmp_path)
    path = next(iter(sorted((data.nih / "images").glob("*.png"))))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="is not a readable image"):
        prepare(read(data), tmp_path / "prepared")


def test_test_patients_are_read_on_their_own_and_refused_elsewhere(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "test")
    with pytest.raises(DataError, match="test set"):
        read(data)
    names = sorted(path.name for path in (data.nih / "images").glob("*.png"))
    (data.nih / "test_list.txt").write_text("\n".join(names))
    annotations = read_test_annotations(tmp_path, sets=SET_NAMES)
    assert {image.split for image in annotations.images} == {Split.TEST}
    assert all(image.is_annotated for image in annotations.images)
