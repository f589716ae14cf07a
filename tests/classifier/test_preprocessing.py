import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_classifier.preprocessing import normalise, preprocess, to_canonical, to_input_size
from cxr_contracts import InputSpec


def _spec(canonical_px: int | None = 128, size_px: int = 160) -> InputSpec:
    return InputSpec(
        width_px=size_px,
        height_px=size_px,
        channels=1,
        canonical_px=canonical_px,
        mean=0.5,
        std=0.25,
    )


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), grey=st.integers(0, 255))
def test_a_flat_image_of_any_shape_stays_flat_and_is_normalised(
    height: int, width: int, grey: int
) -> None:
    image = np.full((height, width), grey, dtype=np.uint8)
    result = preprocess(image, _spec())
    assert result.shape == (1, 160, 160)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (grey / 255 - 0.5) / 0.25, atol=1e-6)


def test_shrinking_a_fine_grating_gives_grey_rather_than_an_alias() -> None:
    grating = np.zeros((1024, 1024), dtype=np.uint8)
    grating[:, ::2] = 255
    canonical = to_canonical(grating, 128)
    assert np.abs(canonical[:, 2:-2].astype(int) - 127).max() <= 2


def test_the_canonical_image_is_blurrier_than_the_input_that_came_large() -> None:
    # The network may see no detail finer than the canonical size, however large the upload.
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    with_canonical = to_input_size(to_canonical(noise, 64), _spec(64, 256))
    without = to_input_size(to_canonical(noise, None), _spec(None, 256))
    assert np.diff(with_canonical.astype(float)).std() < np.diff(without.astype(float)).std() / 2


def test_an_image_that_is_not_square_is_stretched_over_the_whole_input() -> None:
    image = np.zeros((100, 200), dtype=np.uint8)
    image[:, 100:] = 255
    canonical = to_canonical(image, 128)
    assert canonical[:, :60].max() == 0
    assert canonical[:, 68:].min() == 255


def test_an_image_of_the_canonical_size_is_left_as_it_is() -> None:
    image = np.random.default_rng(1).integers(0, 256, (128, 128), dtype=np.uint8)
    spec = _spec(128, 128)
    np.testing.assert_array_equal(preprocess(image, spec), normalise(image, spec))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4, 3), dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
    ],
)
def test_anything_but_a_grey_eight_bit_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a grey uint8"):
        preprocess(image, _spec())
