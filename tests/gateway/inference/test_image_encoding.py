"""The image as it goes to the services."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxr_gateway.inference.image_encoding import stored_png


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_a_png_decoder_finds_the_very_pixels(width: int, height: int, seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    image = Image.open(io.BytesIO(stored_png(grey)))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (width, height))
    assert np.array_equal(np.asarray(image), grey)


@pytest.mark.parametrize("shape", [(1024, 1024), (2048, 33)])
def test_it_is_hardly_larger_than_the_pixels(shape: tuple[int, int]) -> None:
    grey = np.zeros(shape, np.uint8)
    assert grey.size < len(stored_png(grey)) < grey.size * 1.01 + shape[0] + 200
    # A view that is not contiguous has the same pixels.
    assert stored_png(grey[:, ::-1]) == stored_png(grey)
