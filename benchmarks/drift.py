"""`python -m benchmarks.drift`: a load of images through a running system, for the drift page.

Without a folder the images are the public sample radiograph, each cut, brightened and shrunk by
other amounts: all of one patient, so nearly everything is said to have drifted. With `--folder`
they are the PNG files of a data set, in a random order and as dark as `--gamma` makes them: 1 is as
they are, more is a room in which the exposure was turned down.
"""

import argparse
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.images import sample_png
from benchmarks.load import Target, send
from benchmarks.stack import ROOT, Stack

_CLIENTS = 4
_SIDES_PX = (128, 256, 384)


def varied_samples(seed: int = 0) -> Iterator[bytes]:
    """PNG files of the sample without end, no two alike."""
    generator = np.random.default_rng(seed)
    image = Image.open(io.BytesIO(sample_png()))
    width, height = image.size
    while True:
        side = int(generator.choice(_SIDES_PX))
        left, top = generator.uniform(0, 0.1, 2)
        right, bottom = generator.uniform(0.9, 1, 2)
        edges = (int(left * width), int(top * height), int(right * width), int(bottom * height))
        yield _darkened(image.crop(edges).resize((side, side)), generator.uniform(0.7, 1.4))


def images_of(folder: Path, gamma: float, seed: int = 0) -> Iterator[bytes]:
    """The PNG files of a folder, each once, all as dark as `gamma` makes them."""
    paths = sorted(folder.glob("*.png"))
    np.random.default_rng(seed).shuffle(paths)
    for path in paths:
        yield _darkened(Image.open(path).convert("L"), gamma)


def _darkened(image: Image.Image, gamma: float) -> bytes:
    grey = (np.asarray(image, np.float32) / 255) ** gamma
    stream = io.BytesIO()
    Image.fromarray((grey * 255).round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def main() -> None:
    """Send the images, print what the drift page says, and take its image if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--images", type=int, default=330, help="300 of them are compared")
    parser.add_argument("--folder", type=Path, help="of PNG files; default: the sample, varied")
    parser.add_argument("--gamma", type=float, default=1.0, help="of the folder's images")
    parser.add_argument("--url", help="of a running system; without it one is started")
    parser.add_argument("--screenshot", type=Path, help="the PNG file to write")
    options = parser.parse_args()
    if options.url:
        _run(options.url, options)
        return
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        _run(stack.url, options)


def _run(url: str, options: argparse.Namespace) -> None:
    target = Target("gateway", f"{url}/api/v1/studies")
    images = images_of(options.folder, options.gamma) if options.folder else varied_samples()
    run = send(target, images, requests=options.images, clients=_CLIENTS)
    print(f"{options.images} images, {run.per_second:.1f} a second")
    report = httpx.get(f"{url}/api/v1/drift", timeout=30, trust_env=False).raise_for_status()
    print(report.json()["summary"])
    if options.screenshot is not None:
        subprocess.run(
            ["node", "scripts/drift-screenshot.mjs"],
            cwd=ROOT / "frontend",
            env={
                **os.environ,
                "CXR_BASE_URL": url,
                "CXR_SCREENSHOT": str(options.screenshot.resolve()),
            },
            check=True,
        )


if __name__ == "__main__":
    main()
