"""`python -m benchmarks.drift`: a load of films through a running system, for the drift page.

The films are the public sample radiograph, each cut, brightened and shrunk by other amounts, so
that their distributions have a width. Every one comes from one film, so what the page says of
them is true: that they are not as the validation patients' films are.
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

from benchmarks.load import Target, send
from benchmarks.pictures import sample_png
from benchmarks.stack import ROOT, Stack

_CLIENTS = 4
_SIDES_PX = (128, 256, 384)


def varied_films(seed: int = 0) -> Iterator[bytes]:
    """PNG files without end, no two alike."""
    generator = np.random.default_rng(seed)
    film = Image.open(io.BytesIO(sample_png()))
    while True:
        side = int(generator.choice(_SIDES_PX))
        left, top = generator.uniform(0, 0.1, 2)
        right, bottom = generator.uniform(0.9, 1, 2)
        width, height = film.size
        cut = film.crop(
            (int(left * width), int(top * height), int(right * width), int(bottom * height))
        )
        grey = np.asarray(cut.resize((side, side)), np.float32) / 255
        grey = np.clip(grey ** generator.uniform(0.7, 1.4), 0, 1) * generator.uniform(0.85, 1)
        grey += generator.normal(0, generator.uniform(0, 0.02), grey.shape).astype(np.float32)
        stream = io.BytesIO()
        Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(stream, "PNG")
        yield stream.getvalue()


def main() -> None:
    """Send the films, print what the drift page says, and take its picture if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--films", type=int, default=330, help="300 of them are judged")
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
    run = send(target, varied_films(), requests=options.films, clients=_CLIENTS)
    print(f"{options.films} films, {run.per_second:.1f} a second")
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
