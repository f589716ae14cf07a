"""Random variations of a training image, above all of its sharpness.

Source size is a shortcut: in the part of ChestX-ray14 that this project trains on, Pneumonia
stands almost only on the images with the largest files. After `to_canonical` what is left of the
size is sharpness, so a random part of all images is brought down to the smallest source size and
through the serving preprocessing up again, others to a size between, and blur, noise and JPEG
rounds cover what the resampling of the sources may have left.
"""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_training.classifier.config import Augmentation

_FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)


def augmented(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    """A variation of a canonical image, of the same size; uint8 [S, S]."""
    if rng.random() < config.flip_share:
        image = image[:, ::-1]
    moved = _moved(image, config, rng)
    return _brightened(random_sharpness(moved, config, rng), config, rng)


def random_sharpness(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    """The image at a random effective resolution, perhaps blurred and re-encoded."""
    side = image.shape[0]
    draw = rng.random()
    if draw < config.coarsest_share:
        image = coarsened(image, min(config.coarsest_px, side), _FILTERS[rng.integers(3)])
    elif draw < config.coarsest_share + config.coarser_share:
        size = int(rng.integers(min(config.coarsest_px, side), side + 1))
        image = coarsened(image, size, _FILTERS[rng.integers(3)])
    if rng.random() < config.blur_share:
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.0)))
        image = np.asarray(Image.fromarray(image).filter(blur), dtype=np.uint8)
    if rng.random() < config.jpeg_share:
        image = _jpeg_round(image, int(rng.integers(50, 96)))
    return image


def coarsened(
    image: GreyImage, size_px: int, resampling: Image.Resampling = Image.Resampling.BILINEAR
) -> GreyImage:
    """What serving would see of the image, had it been stored at `size_px` a side."""
    side = image.shape[0]
    if size_px >= side:
        return image
    small = Image.fromarray(image).resize((size_px, size_px), resampling)
    return to_canonical(np.asarray(small, dtype=np.uint8), side)


def _jpeg_round(image: GreyImage, quality: int) -> GreyImage:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as decoded:
        return np.asarray(decoded.convert("L"), dtype=np.uint8)


def _moved(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    side = image.shape[0]
    angle = np.deg2rad(rng.uniform(-1, 1) * config.rotation_degrees)
    # Pillow maps output pixels to input pixels, so a scale above one shows less of the image.
    scale_x, scale_y = 1 / (1 + rng.uniform(-1, 1, 2) * config.scale)
    shift_x, shift_y = rng.uniform(-1, 1, 2) * config.translation * side
    cos, sin, centre = np.cos(angle), np.sin(angle), side / 2
    a, b, d, e = scale_x * cos, -scale_y * sin, scale_x * sin, scale_y * cos
    c = centre + shift_x - a * centre - b * centre
    f = centre + shift_y - d * centre - e * centre
    moved = Image.fromarray(image).transform(
        (side, side), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC
    )
    return np.asarray(moved, dtype=np.uint8)


def _brightened(image: GreyImage, config: Augmentation, rng: np.random.Generator) -> GreyImage:
    grey: npt.NDArray[np.float32] = image.astype(np.float32)
    mean = float(grey.mean())
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    grey = (grey - mean) * contrast + mean + rng.uniform(-1, 1) * config.brightness * 255
    noise_std = rng.uniform(0, config.noise_std)
    grey += rng.standard_normal(grey.shape, dtype=np.float32) * noise_std
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
