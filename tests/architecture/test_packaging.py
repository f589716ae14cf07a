"""Each package can be installed, names what it imports, and is of one version; lists are locked."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_serving.product import VERSION

ROOT = Path(__file__).parents[2]
PLACES = ("services/*", "clients/*", "*")
MANIFESTS = sorted(path for place in PLACES for path in ROOT.glob(f"{place}/pyproject.toml"))
COMMANDS = {"cxr", "cxr-gateway", "cxr-dicom", "cxr-gan", "cxr-screen"}
# Of names that several distributions share.
DISTRIBUTIONS = {"opentelemetry": "opentelemetry-sdk"}


def project(manifest: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(manifest.read_text())["project"]
    return found


def name_of(requirement: str) -> str:
    """`psycopg[binary]>=3` is psycopg."""
    return re.split(r"[\[<>=~ ;]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def declared(manifest: Path) -> set[str]:
    described = project(manifest)
    extras = described.get("optional-dependencies", {}).values()
    lists = [described["dependencies"], *extras]
    return {name_of(requirement) for one in lists for requirement in one} | {described["name"]}


def imported(folder: Path) -> Iterator[str]:
    for path in folder.glob("cxr_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.split(".")[0]


@pytest.fixture(scope="module")
def distributions() -> dict[str, list[str]]:
    """The installed distributions that bring a top-level name."""
    return {
        name: sorted({one.lower().replace("_", "-").replace(".", "-") for one in found})
        for name, found in importlib.metadata.packages_distributions().items()
    }


def test_every_package_has_a_manifest() -> None:
    folders = {path.parent for place in PLACES for path in ROOT.glob(f"{place}/cxr_*")}
    assert folders == {manifest.parent for manifest in MANIFESTS}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_package_depends_on_what_it_imports(
    manifest: Path, distributions: dict[str, list[str]]
) -> None:
    given = declared(manifest)
    foreign = set(imported(manifest.parent)) - set(sys.stdlib_module_names)
    missing = {
        name
        for name in foreign
        if not given & {DISTRIBUTIONS.get(name, ""), *distributions.get(name, [name])}
        and name.replace("_", "-") not in given
    }
    assert missing == set()


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_package_says_its_licence_and_takes_the_one_version(manifest: Path) -> None:
    described = project(manifest)
    assert described["license"] == "AGPL-3.0-or-later"
    assert described["requires-python"] == ">=3.11"
    assert described["dynamic"] == ["version"]
    version = tomllib.loads(manifest.read_text())["tool"]["hatch"]["version"]
    found = re.search(version["pattern"], (manifest.parent / version["path"]).read_text())
    assert found is not None
    assert found["version"] == VERSION


def test_the_page_is_of_the_same_version() -> None:
    assert json.loads((ROOT / "frontend/package.json").read_text())["version"] == VERSION


def test_every_command_starts_from_any_folder(tmp_path: Path) -> None:
    scripts = {name for manifest in MANIFESTS for name in project(manifest).get("scripts", {})}
    assert scripts == COMMANDS
    for name in COMMANDS:
        command = Path(sys.executable).with_name(name)
        said = subprocess.run(
            [command, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert said.stdout.startswith(f"usage: {name} ")


def test_lock_files_carry_hashes_and_no_address() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert {lock.stem for lock in locks} == {
        *("uv", "build", "inference", "serving", "training", "screening", "cuda", "dev", "bench"),
    }
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text, lock
        pinned = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE)
        assert pinned
        assert text.count("\\\n    --hash=sha256:") >= len(pinned)
    packages = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert all("sha512-" in package["integrity"] for package in installed.values())
    assert not any("resolved" in package for package in installed.values())


def test_every_peer_of_the_benchmark_runs_on_the_same_pytorch() -> None:
    names = ("torch", "torchvision", "timm", "ultralytics-opencv-headless", "numpy", "pillow")
    bench, dev = ((ROOT / f"requirements/{name}.txt").read_text() for name in ("bench", "dev"))
    for name in names:
        versions = [re.findall(rf"^{name}==(\S+)", text, re.MULTILINE) for text in (bench, dev)]
        assert versions[0] == versions[1] != [], name


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("inference", ("contracts", "serving", "classifier", "detector")),
        (
            "serving",
            ("contracts", "serving", "classifier", "detector", "gateway", "dicom", "launcher"),
        ),
    ],
)
def test_a_lock_holds_what_its_packages_depend_on(name: str, packages: tuple[str, ...]) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    locked = {name_of(line) for line in re.findall(r"^[a-z0-9]\S*==", text, re.MULTILINE)}
    for package in packages:
        needed = project(ROOT / f"services/{package}/pyproject.toml")["dependencies"]
        assert {name_of(one) for one in needed if not one.startswith("cxr-")} <= locked
