"""What holds for the project as a whole: tracked images and sizes."""

import subprocess
from pathlib import Path

from cxr_gan.marking import read_mark

ROOT = Path(__file__).parents[2]
# Six detectors in two files each are the larger part: docs/adr/0020.
MAX_MODELS_BYTES = 190_000_000


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [path for name in names if (path := ROOT / name).is_file()]


def test_the_published_models_stay_small() -> None:
    assert sum(path.stat().st_size for path in tracked("models/**")) < MAX_MODELS_BYTES


def test_no_image_of_a_data_set_is_tracked() -> None:
    images = tracked("*.png", "*.jpg", "*.dcm")
    generated = ("models/gan/*/gallery.png", "frontend/public/examples/*.png")
    synthetic = {path for path in images if any(map(path.match, generated))}
    for path in synthetic:
        assert read_mark(path) is not None, f"{path} does not say that it is synthetic"
    elsewhere = {path.relative_to(ROOT).parts[0] for path in images if path not in synthetic}
    assert elsewhere <= {"docs"}
