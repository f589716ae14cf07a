"""Drawn boxes move with an image, and maps are drawn into them without moving the logit."""

import numpy as np
import torch
from PIL import Image

from cxr_training.classifier.losses import auxiliary_loss, pointing_loss
from cxr_training.classifier.samples import LABELS
from cxr_training.classifier.supervision import (
    UNKNOWN,
    UNMOVED,
    Supervision,
    coverage,
)

LEFT_UPPER = (0.0, 0.0, 512.0, 512.0)


def _supervision(
    boxes: dict[int, dict[int, list[tuple[float, float, float, float]]]],
) -> Supervision:
    return Supervision(np.zeros((len(boxes), 3), np.float32), boxes)


def test_a_box_covers_the_cells_it_lies_in() -> None:
    covered = coverage([LEFT_UPPER, (512, 768, 640, 1024)], UNMOVED, 96, 4)
    assert covered[:2, :2].min() == 1
    assert covered[3, 2] == 0.5
    assert covered.sum() == 4.5


def test_a_box_moves_with_the_image() -> None:
    image = np.zeros((96, 96), np.uint8)
    image[12:36, 60:84] = 255
    box = (60 * 1024 / 96, 12 * 1024 / 96, 84 * 1024 / 96, 36 * 1024 / 96)
    rng = np.random.default_rng(1)
    for _ in range(8):
        angle, scale, (x, y) = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.2), rng.uniform(-8, 8, 2)
        moved = (
            scale * np.cos(angle),
            -scale * np.sin(angle),
            x,
            scale * np.sin(angle),
            scale * np.cos(angle),
            y,
        )
        shown = np.asarray(
            Image.fromarray(image).transform(
                (96, 96), Image.Transform.AFFINE, moved, Image.Resampling.BICUBIC
            )
        )
        seen = shown.reshape(24, 4, 24, 4).mean(axis=(1, 3)) / 255
        assert np.abs(seen - coverage([box], moved, 96, 24)).mean() < 0.01


def test_a_box_that_was_moved_out_of_the_image_is_not_asked_for() -> None:
    supervision = _supervision({0: {3: [(0.0, 0.0, 100.0, 100.0)]}})
    assert supervision.covered(0, UNMOVED, 96, 6)[3].max() == 1
    away = (1.0, 0.0, 48.0, 0.0, 1.0, 48.0)
    assert not supervision.covered(0, away, 96, 6).any()
    assert not supervision.covered(1, UNMOVED, 96, 6).any()


def test_the_pointing_loss_asks_where_and_not_how_much() -> None:
    maps = torch.randn(3, 2, 3, 3, requires_grad=True)
    covered = torch.zeros(3, 2, 3, 3)
    covered[0, 0, 0, 0] = 1
    covered[1, 1] = 1
    loss = pointing_loss(maps, covered)
    # The second is boxed all over, so the first alone costs anything.
    first = -maps[0, 0].flatten().log_softmax(0)[0]
    torch.testing.assert_close(loss, first, atol=1e-4, rtol=0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert maps.grad is not None
    # A constant added to all cells, which is what moves a logit, is worth nothing.
    assert maps.grad.sum(dim=(2, 3)).abs().max() < 1e-5
    assert maps.grad[0, 0, 0, 0] < 0
    assert not maps.grad[2].any()


def test_the_usual_place_is_where_boxes_were_drawn_and_leaves_the_mean_alone() -> None:
    boxes = {row: {0: [LEFT_UPPER]} for row in range(12)}
    boxes[12] = {1: [LEFT_UPPER]}
    places = _supervision(boxes).usual_places(4)
    assert places.shape == (len(LABELS), 4, 4)
    assert places[0].argmax() in (0, 1, 4, 5)
    assert places[0].mean().abs() < 1e-6
    assert not places[1:].any()


def test_what_nobody_said_teaches_nothing() -> None:
    outputs = torch.randn(2, 4, requires_grad=True)
    targets = torch.tensor([[1.0, UNKNOWN, 0.0, 0.5], [UNKNOWN] * 3 + [float("nan")]])
    auxiliary_loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[0, [0, 2, 3]].abs().min() > 0
    assert not outputs.grad[0, 1]
    assert not outputs.grad[1].any()
