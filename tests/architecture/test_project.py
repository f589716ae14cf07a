"""What holds for the project as a whole: lock files, tracked images, sizes and versions."""

import json
import subprocess
import tomllib
from pathlib import Path

from cxr_gan.sampling.marking import read_mark
from cxr_serving.product import VERSION

ROOT = Path(__file__).parents[2]
# Six detectors in two files each are the larger part: docs/adr/0020.
MAX_MODELS_BYTES = 160 * 2**20


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [path for name in names if (path := ROOT / name).is_file()]


def test_lock_files_carry_hashes_and_no_address() -> None:
    locks = tracked("requirements/*.txt")
    assert len(locks) == 6
    for lock in locks:
        assert "://" not in lock.read_text(), lock
        assert "--hash=sha256:" in lock.read_text(), lock
    packages = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert all("sha512-" in package["integrity"] for package in installed.values())
    assert not any("resolved" in package for package in installed.values())


def test_the_published_models_stay_small() -> None:
    assert sum(path.stat().st_size for path in tracked("models/**")) < MAX_MODELS_BYTES


def test_no_image_of_a_data_set_is_tracked() -> None:
    pictures = tracked("*.png", "*.jpg", "*.dcm")
    generated = ("models/gan/*/gallery.png", "frontend/public/examples/*.png")
    synthetic = {path for path in pictures if any(map(path.match, generated))}
    for path in synthetic:
        assert read_mark(path) is not None, f"{path} does not say that it is synthetic"
    elsewhere = {path.relative_to(ROOT).parts[0] for path in pictures if path not in synthetic}
    assert elsewhere <= {"docs"}


def test_the_services_say_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = json.loads((ROOT / "frontend/package.json").read_text())
    assert project["version"] == page["version"] == VERSION
