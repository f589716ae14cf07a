"""Resolution and tone augmentation: neither may tell the network where an image came from.

File size is a confounder: the large files are the diseased ones. So a large image is brought down
to a random side and up again; a small one is already soft, and stays.
"""

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cxr_training.detector.config import AugmentationConfig

GreyImage = npt.NDArray[np.uint8]


def vary_resolution(
    grey: GreyImage, config: AugmentationConfig, generator: np.random.Generator
) -> GreyImage:
    """One training image [H, W] with random softness, blur, JPEG traces and tone; same size."""
    image = Image.fromarray(grey)
    if generator.random() < config.soften:
        image = _soften(image, config.soften_min_px, generator)
    if generator.random() < config.blur:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.5)))
    if generator.random() < config.jpeg:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(generator.integers(40, 96)))
        image = Image.open(buffer)
    return np.array(_with_tone(image, config, generator))


def _soften(image: Image.Image, min_px: int, generator: np.random.Generator) -> Image.Image:
    side = max(image.size)
    if side <= min_px:
        return image
    # Log-uniform: 64 to 128 px is as likely as 160 to 320.
    target = math.exp(generator.uniform(math.log(min_px), math.log(side)))
    width, height = (max(round(length * target / side), 1) for length in image.size)
    small = (width, height)
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)


def _with_tone(
    image: Image.Image, config: AugmentationConfig, generator: np.random.Generator
) -> Image.Image:
    """Gamma and brightness by one table."""
    span = math.log(1 / (1 - config.gamma))
    exponent = math.exp(generator.uniform(-span, span))
    gain = generator.uniform(1 - config.brightness, 1 + config.brightness)
    table = np.clip(np.round(255 * gain * (np.arange(256) / 255) ** exponent), 0, 255)
    return image.point(table.astype(int).tolist())
