import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_contracts import InputSpec
from cxr_detector.network import prepare_ultralytics
from cxr_detector.placement import place, stretched
from cxr_detector.preprocessing import PADDING_GREY, fit, preprocess

SPEC = InputSpec(width_px=320, height_px=320, channels=3, canonical_px=None, mean=0.0, std=1.0)
SIDE = st.integers(min_value=1, max_value=3000)


def smooth_image(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    return (127 + 60 * np.sin(x) + 60 * np.cos(y)).astype(np.uint8)


def ultralytics_letterbox(image: np.ndarray) -> np.ndarray:
    prepare_ultralytics()
    from ultralytics.data.augment import LetterBox

    return LetterBox((320, 320), auto=False)(image=cv2.merge([image] * 3))[..., 0]


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (200, 301), (319, 57), (320, 320)])
def test_an_enlarged_image_is_the_letterbox_of_ultralytics_to_one_grey_level(
    size: tuple[int, int],
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    ours, _ = fit(noise, SPEC)
    assert np.abs(ours.astype(int) - ultralytics_letterbox(noise)).max() <= 1


@pytest.mark.parametrize("size", [(384, 384), (1024, 1024), (2500, 2048), (1841, 1955)])
def test_a_shrunk_smooth_image_lies_where_ultralytics_puts_it(size: tuple[int, int]) -> None:
    image = smooth_image(*size)
    ours, _ = fit(image, SPEC)
    assert np.abs(ours.astype(int) - ultralytics_letterbox(image)).max() <= 3


def test_shrinking_averages_fine_stripes_instead_of_sampling_them() -> None:
    stripes = np.zeros((1024, 1024), dtype=np.uint8)
    stripes[:, ::2] = 255
    ours, _ = fit(stripes, SPEC)
    assert ours.std() < 15 < ultralytics_letterbox(stripes).std()


@given(SIDE, SIDE)
@settings(max_examples=200, deadline=None)
def test_boxes_go_back_as_ultralytics_scales_them(width: int, height: int) -> None:
    prepare_ultralytics()
    from ultralytics.utils.ops import scale_boxes

    boxes = np.array([[10, 20, 300, 310], [-5, 0, 330, 100], [150, 150, 170, 180]], np.float32)
    expected = scale_boxes((320, 320), boxes.copy(), (height, width))
    got = place(width, height, SPEC).to_image(boxes)
    np.testing.assert_allclose(got, expected, atol=0.05, rtol=1e-4)


@given(SIDE, SIDE)
@settings(max_examples=100, deadline=None)
def test_the_whole_image_comes_back_as_itself(width: int, height: int) -> None:
    placed = place(width, height, SPEC)
    assert placed.left >= 0
    assert placed.top >= 0
    corners = [placed.left, placed.top]
    corners += [placed.left + placed.scaled_width, placed.top + placed.scaled_height]
    back = placed.to_image(np.array([corners], np.float32))[0]
    np.testing.assert_allclose(back, [0, 0, width, height], rtol=1e-5)


def test_the_input_has_three_equal_planes_between_0_and_1_with_grey_padding() -> None:
    image = np.full((100, 200), 255, dtype=np.uint8)
    tensor, placed = preprocess(image, SPEC)
    assert tensor.shape == (3, 320, 320)
    assert tensor.dtype == np.float32
    assert placed.top == 80
    assert (tensor[0] == tensor[2]).all()
    assert tensor[1, 160, 160] == pytest.approx(1.0)
    assert tensor[1, 0, 0] == pytest.approx(PADDING_GREY / 255)


def test_mean_and_std_of_the_manifest_are_obeyed() -> None:
    spec = SPEC.model_copy(update={"mean": 0.5, "std": 0.25})
    tensor, _ = preprocess(np.full((320, 320), 255, dtype=np.uint8), spec)
    assert tensor[0, 0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((3, 4), np.float32),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_what_is_no_grey_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a grey uint8 image"):
        preprocess(bad, SPEC)


def test_a_stretched_radiograph_fills_the_input_without_padding() -> None:
    image = np.full((100, 300), 255, dtype=np.uint8)
    tensor, placed = preprocess(image, SPEC, "stretch")
    assert (tensor == 1.0).all()
    assert (placed.left, placed.top, placed.scaled_width, placed.scaled_height) == (0, 0, 320, 320)


def test_a_square_radiograph_is_the_same_letterboxed_and_stretched() -> None:
    image = smooth_image(256, 256)
    (one, _), (other, _) = fit(image, SPEC, "letterbox"), fit(image, SPEC, "stretch")
    assert (one == other).all()


def test_a_bright_box_on_a_wide_radiograph_comes_back_from_the_stretched_input_where_it_was() -> (
    None
):
    image = np.zeros((200, 800), dtype=np.uint8)
    image[50:150, 200:400] = 255
    canvas, placed = fit(image, SPEC, "stretch")
    rows, columns = np.nonzero(canvas > 127)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    back = placed.to_image(np.array([corners], np.float32))[0]
    # A pixel of the input is 2.5 pixels of the image wide and 0.6 high.
    np.testing.assert_allclose(back, [200, 50, 400, 150], atol=2.5)


@given(SIDE, SIDE)
@settings(max_examples=100, deadline=None)
def test_a_box_goes_to_the_stretched_input_and_back_exactly(width: int, height: int) -> None:
    placed = stretched(width, height, SPEC)
    box = np.array([[0.1 * width, 0.2 * height, 0.7 * width, 0.9 * height]])
    there = box * (np.array([320, 320, 320, 320]) / np.array([width, height, width, height]))
    back = placed.to_image(there.astype(np.float32))
    np.testing.assert_allclose(back, box, rtol=1e-5)
