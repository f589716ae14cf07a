"""Images for tests: made, not taken."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "frontend/public/examples"


def example_image(of: str) -> npt.NDArray[np.uint8]:
    """One of the page's example radiographs, uint8 [512, 512], made by a published generator."""
    return np.asarray(Image.open(EXAMPLES / f"synthetic-{of}.png").convert("L"))


def bright() -> npt.NDArray[np.uint8]:
    """What can be read, and is too bright for `fake_gateway.RuleOodDetector` to be a radiograph."""
    return np.random.default_rng(0).integers(225, 250, (90, 90), dtype=np.uint8)


def radiograph_like(width: int = 120, height: int = 100, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A smooth grey image [H, W] with two dark fields in it and a little noise."""
    rows, columns = np.mgrid[0:height, 0:width]
    x, y = columns / width, rows / height
    grey = 190 - 90 * sum(
        np.exp(-(((x - centre) / 0.12) ** 2) - ((y - 0.45) / 0.28) ** 2) for centre in (0.3, 0.7)
    )
    noise = np.random.default_rng(seed).normal(0, 3, (height, width))
    return np.asarray(np.clip(grey + noise, 0, 255), dtype=np.uint8)


def encoded(content: Image.Image | npt.NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file of `kind`."""
    image = content if isinstance(content, Image.Image) else Image.fromarray(content)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int = 120, height: int = 100, seed: int = 0) -> bytes:
    """A grey PNG."""
    return encoded(radiograph_like(width, height, seed))


def png_header_of(width: int, height: int) -> bytes:
    """A PNG whose header claims this size and that holds hardly any data: a bomb's shape."""
    data = bytearray(png(64, 64))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    crc = zlib.crc32(data[12:29])
    data[29:33] = crc.to_bytes(4, "big")
    return bytes(data)
