"""The README's moving picture, of the real page: pictures by a browser, joined to one WebP.

python -m deploy.moving_picture URL
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from deploy.version import ROOT

PICTURE = ROOT / "docs/moving-picture.webp"
# So that whoever opens the README does not wait for it.
MOST_BYTES = 1_500_000
_QUALITY = 80


def join(frames: list[Path], target: Path) -> int:
    """Write the frames, each named `NN-MILLISECONDS.png`, as an animated WebP; its bytes."""
    images = [Image.open(path).convert("RGB") for path in frames]
    durations = [int(path.stem.partition("-")[2]) for path in frames]
    images[0].save(
        target,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        quality=_QUALITY,
        method=6,
    )
    return target.stat().st_size


def main() -> int:
    """Take and write it; 1 if it became too large."""
    script = ROOT / "frontend/scripts/moving-picture.mjs"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["node", str(script), folder, sys.argv[1]],
            check=True,
            cwd=ROOT / "frontend",
            env=os.environ,
        )
        frames = sorted(Path(folder).glob("*.png"))
        n_bytes = join(frames, PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {len(frames)} pictures, {n_bytes / 1000:.0f} kB")
    return 0 if n_bytes <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
