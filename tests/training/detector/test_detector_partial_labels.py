"""What is changed in Ultralytics' training: the known classes, the precision, the images."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from cxr_detector.network import prepare_ultralytics
from cxr_training.detector.config import DetectorConfig
from support.synthetic_radiographs import NO_AUGMENTATION

prepare_ultralytics()

from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.utils.loss import v8DetectionLoss  # noqa: E402

from cxr_training.detector.losses import PartialLabelLoss, PartialLabelModel  # noqa: E402
from cxr_training.detector.partial_labels import PartialLabelDataset  # noqa: E402

N_CLASSES = 3
CONFIG = DetectorConfig.read(
    Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
)


@pytest.fixture(scope="module")
def model() -> PartialLabelModel:
    torch.manual_seed(0)
    network = PartialLabelModel("yolov5n.yaml", nc=N_CLASSES, verbose=False)
    network.args = get_cfg()
    return network.train()


def batch_of(rows: list[tuple[int, int, list[float]]]) -> dict[str, Any]:
    """Rows (image, class, box) of two images; a class from 3 up marks class - 3 as unknown."""
    generator = torch.Generator().manual_seed(0)
    return {
        "img": torch.rand(2, 3, 64, 64, generator=generator),
        "batch_idx": torch.tensor([row[0] for row in rows], dtype=torch.float32),
        "cls": torch.tensor([[row[1]] for row in rows], dtype=torch.float32),
        "bboxes": torch.tensor([row[2] for row in rows], dtype=torch.float32).view(-1, 4),
    }


BOX = (0, 1, [0.5, 0.5, 0.4, 0.6])
WHOLE = [0.5, 0.5, 1.0, 1.0]


def score_gradient(model: PartialLabelModel, batch: dict[str, Any]) -> torch.Tensor:
    """Gradient of the loss by the raw class scores: [images, classes, anchors]."""
    preds = model.forward(batch["img"])
    preds["scores"].retain_grad()
    PartialLabelLoss(model)(preds, batch)[0].sum().backward()
    gradient = preds["scores"].grad
    model.zero_grad()
    return gradient


def test_without_unknown_classes_the_loss_is_ultralytics_own(model: PartialLabelModel) -> None:
    batch = batch_of([BOX, (1, 0, [0.3, 0.3, 0.2, 0.2])])
    preds = model.forward(batch["img"])
    ours, _ = PartialLabelLoss(model)(preds, dict(batch))
    theirs, _ = v8DetectionLoss(model)(preds, dict(batch))
    torch.testing.assert_close(ours, theirs)


def test_an_unknown_class_trains_nothing_on_its_image(model: PartialLabelModel) -> None:
    gradient = score_gradient(model, batch_of([BOX, (0, N_CLASSES + 2, WHOLE)]))
    assert (gradient[0, 2] == 0).all()
    assert (gradient[0, 1] != 0).any()
    assert (gradient[1, 2] != 0).all()


def test_only_what_lies_under_the_mark_is_unknown(model: PartialLabelModel) -> None:
    left_half = (0, N_CLASSES + 2, [0.25, 0.5, 0.5, 1.0])
    gradient = score_gradient(model, batch_of([BOX, left_half]))[0, 2]
    finest = gradient[:64].view(8, 8)  # stride 8 on 64 px
    assert (finest[:, :4] == 0).all()
    assert (finest[:, 4:] != 0).all()


def test_marks_are_not_boxes_to_find(model: PartialLabelModel) -> None:
    plain, _ = model.loss(batch_of([BOX]))
    marked, _ = model.loss(batch_of([BOX, (1, N_CLASSES, WHOLE)]))
    torch.testing.assert_close(marked[[0, 2]], plain[[0, 2]])  # boxes and their distances
    assert marked[1] < plain[1]


def soft(model: PartialLabelModel, *rows: list[float]) -> PartialLabelModel:
    """The same network with a teacher's places; their numbers begin at twice the classes."""
    taught = copy.copy(model)
    taught.soft_scores = torch.tensor(rows)
    return taught


def test_a_place_of_one_sure_class_trains_like_a_drawn_box(model: PartialLabelModel) -> None:
    taught = soft(model, [0.0, 1.0, 0.0])
    as_place = (0, 2 * N_CLASSES, BOX[2])
    preds = model.forward(batch_of([BOX])["img"])
    drawn, _ = PartialLabelLoss(model)(preds, batch_of([BOX]))
    placed, _ = PartialLabelLoss(taught)(preds, batch_of([as_place]))
    torch.testing.assert_close(placed, drawn)


def test_a_place_trains_each_class_as_far_as_its_score_says(model: PartialLabelModel) -> None:
    taught = soft(model, [0.2, 0.8, 0.0])
    place = batch_of([(0, 2 * N_CLASSES, BOX[2])])
    preds = model.forward(place["img"])
    targets: dict[str, torch.Tensor] = {}
    loss: Any = PartialLabelLoss(taught)
    inner = loss.bce
    loss.bce = lambda scores, wanted: targets.setdefault("is", wanted) * 0 + inner(scores, wanted)
    loss(preds, place)
    wanted = targets["is"]
    assert wanted[1].max() == 0  # nothing lies on the other image
    fit = wanted[0, :, 1] / 0.8
    assert 0 < fit.max() <= 1
    torch.testing.assert_close(wanted[0, :, 0], 0.2 * fit)
    assert wanted[0, :, 2].max() == 0


def test_the_half_precise_forward_gives_nearly_the_loss_of_the_full(
    model: PartialLabelModel,
) -> None:
    batch = batch_of([BOX])
    model.bfloat16_on_cpu = True
    half, _ = model.loss(dict(batch))
    model.bfloat16_on_cpu = False
    full, _ = model.loss(dict(batch))
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.03, atol=0.05)


def write_folder(folder: Path) -> dict[str, Any]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for name in ("a", "b"):
        for part in ("images", "labels"):
            (folder / part / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(folder / "images" / "train" / f"{name}.png")
        (folder / "labels" / "train" / f"{name}.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    data = {"path": str(folder), "train": "images/train", "val": "images/train", "channels": 3}
    data["names"] = {0: "x", 1: "y", 2: "z"}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return data


def test_images_vary_each_time_and_unknown_classes_become_whole_image_boxes(
    tmp_path: Path,
) -> None:
    data = write_folder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = PartialLabelDataset(
            img_path=str(tmp_path / "images" / "train"),
            imgsz=64,
            cache="ram",
            augment=True,
            hyp=get_cfg(overrides={"mosaic": 0.0}),
            data=data,
            task="detect",
            unknown={"a": [0, 2], "b": []},
            augmentation=NO_AUGMENTATION.model_copy(update={"gamma": 0.3}),
            seed=0,
        )
    first, second = (dataset.load_image(0)[0] for _ in range(2))
    assert first.shape == (64, 64, 3)
    assert (first != second).any()
    assert (np.asarray(dataset.ims[0]) == np.asarray(dataset.ims[1])).all()
    labels = {Path(label["im_file"]).stem: label for label in dataset.labels}
    assert labels["a"]["cls"].ravel().tolist() == [1, 3, 5]
    assert labels["a"]["bboxes"][1:].tolist() == [WHOLE, WHOLE]
    assert labels["b"]["cls"].ravel().tolist() == [1]


def test_an_image_is_drawn_as_often_as_its_rarest_class_asks() -> None:
    from cxr_training.detector.trainer import repeat_factors

    # Class 0 on every image, class 1 on one of sixteen; 2 marks what is unknown.
    labels = [np.array([0, 0, 2])] * 15 + [np.array([0, 1])]
    factors = repeat_factors(labels, 2, 0.25)
    assert factors[:15].tolist() == [1.0] * 15
    assert factors[15] == 2.0  # sqrt(0.25 / 0.0625)
    background = [np.array([], dtype=np.intp), np.array([0])]
    assert repeat_factors(background, 1, 1.0)[0] == 1.0
    assert repeat_factors(labels, 2, 0.0).tolist() == [1.0] * 16
