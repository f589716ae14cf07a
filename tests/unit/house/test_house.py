"""The walls of the house: who may import whom, how large a file may grow, what is never in it."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_gan.marking import read_mark
from cxr_serving.product import VERSION

ROOT = Path(__file__).parents[3]
PACKAGES = {
    path.name: path
    for parent in (*sorted((ROOT / "services").iterdir()), ROOT / "training", ROOT / "gan")
    for path in parent.glob("cxr_*")
    if path.is_dir()
}
SERVICES = {"cxr_gateway", "cxr_classifier", "cxr_detector", "cxr_launcher"}
SERVING = {"cxr_contracts", "cxr_serving", "cxr_gateway", "cxr_classifier", "cxr_detector"}
ALLOWED = {
    "cxr_contracts": set[str](),
    "cxr_serving": {"cxr_contracts"},
    "cxr_launcher": set[str](),
    "cxr_gateway": {"cxr_contracts", "cxr_serving"},
    "cxr_classifier": {"cxr_contracts", "cxr_serving"},
    "cxr_detector": {"cxr_contracts", "cxr_serving"},
    "cxr_training": SERVING,
    "cxr_gan": SERVING | {"cxr_training"},
}
HEAVY = {"torch", "torchvision", "timm", "ultralytics", "onnx", "sklearn", "matplotlib", "tqdm"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
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


def imported(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.iter_child_nodes(tree) if at_import_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_package_has_its_import_rule() -> None:
    assert set(PACKAGES) == set(ALLOWED)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_the_rooms_below_it(package: str) -> None:
    for path in PACKAGES[package].rglob("*.py"):
        own = {name for name in imported(path) if name.startswith("cxr_")} - {package}
        assert own <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {own}"


def test_the_contracts_import_pydantic_and_the_standard_library_only() -> None:
    for path in PACKAGES["cxr_contracts"].rglob("*.py"):
        foreign = set(imported(path)) - set(sys.stdlib_module_names)
        assert foreign <= {"pydantic", "cxr_contracts"}, f"{path.relative_to(ROOT)}: {foreign}"


@pytest.mark.parametrize("package", sorted(SERVING | {"cxr_launcher"}))
def test_no_serving_module_but_the_network_ones_needs_pytorch(package: str) -> None:
    for path in PACKAGES[package].rglob("*.py"):
        if path.name in {"network.py", "backbone.py", "torch_runtime.py"}:
            continue
        assert not HEAVY & set(imported(path)), path.relative_to(ROOT)


def test_only_the_clients_of_readers_and_of_the_openid_provider_speak_http() -> None:
    users = {
        path.name for path in PACKAGES["cxr_gateway"].rglob("*.py") if "httpx" in imported(path)
    }
    assert users == {"readers.py", "provider.py"}


def test_no_file_is_longer_than_the_limit() -> None:
    generated = {"schema.d.ts"}
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py", "*.ts", "*.tsx", "*.css", "Makefile")
        if path.name not in generated
        and (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_the_limit() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length
        for path in tracked("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


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
