"""Who may import whom: packages, the gateway's folders, and libraries that have one home."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    path.name: path
    for parent in (
        *sorted((ROOT / "services").iterdir()),
        ROOT / "training",
        ROOT / "gan",
        ROOT / "screening",
        *sorted((ROOT / "clients").iterdir()),
    )
    for path in parent.glob("cxr_*")
    if path.is_dir() and (path / "__init__.py").is_file()
}
SERVING = {"cxr_contracts", "cxr_serving", "cxr_gateway", "cxr_classifier", "cxr_detector"}
# A service imports what the services share, and no other service; training is above them all.
ALLOWED = {
    "cxr_contracts": set[str](),
    "cxr_serving": {"cxr_contracts"},
    "cxr_launcher": set[str](),
    # Others install it alone.
    "cxr_client": set[str](),
    "cxr_gateway": {"cxr_contracts", "cxr_serving"},
    "cxr_classifier": {"cxr_contracts", "cxr_serving"},
    "cxr_detector": {"cxr_contracts", "cxr_serving"},
    "cxr_dicom": {"cxr_serving"},
    # `cxr serve` is the launcher.
    "cxr_training": SERVING | {"cxr_launcher"},
    "cxr_gan": SERVING | {"cxr_training"},
    "cxr_screening": SERVING,
}
HEAVY = {"torch", "torchvision", "timm", "ultralytics", "onnx", "sklearn", "matplotlib", "tqdm"}
GATEWAY = PACKAGES["cxr_gateway"]
# These put the folders together.
TOP = {"app", "__main__", "__init__"}
# The exceptions are stated in ADR 0024 (the OpenID provider's client) and 0047 (webhooks).
HTTP_CLIENTS = {"inference/clients.py", "access/oidc.py", "webhooks/sending.py"}


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if "." in node.module:
                yield node.module
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


def folder_of(path: Path) -> str:
    parts = path.relative_to(GATEWAY).parts
    return parts[0] if len(parts) > 1 else path.stem


def folder_imports() -> dict[str, set[str]]:
    """The gateway's folders, and the siblings that each imports."""
    edges: dict[str, set[str]] = {}
    for path in GATEWAY.rglob("*.py"):
        own = folder_of(path)
        named = (name.split(".") for name in imported_modules(path))
        siblings = {parts[1] for parts in named if parts[0] == "cxr_gateway" and len(parts) > 1}
        edges.setdefault(own, set()).update(siblings - {own})
    return edges


def importers(package: str) -> set[str]:
    """The gateway's files that import a package."""
    return {
        str(path.relative_to(GATEWAY))
        for path in GATEWAY.rglob("*.py")
        if package in imported_packages(path)
    }


def test_every_package_has_an_import_rule() -> None:
    assert set(PACKAGES) == set(ALLOWED)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_the_packages_below_it(package: str) -> None:
    for path in PACKAGES[package].rglob("*.py"):
        own = {name for name in imported_packages(path) if name.startswith("cxr_")} - {package}
        assert own <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {own}"


def test_the_contracts_import_pydantic_and_the_standard_library_only() -> None:
    for path in PACKAGES["cxr_contracts"].rglob("*.py"):
        foreign = imported_packages(path) - set(sys.stdlib_module_names)
        assert foreign <= {"pydantic", "cxr_contracts"}, f"{path.relative_to(ROOT)}: {foreign}"


@pytest.mark.parametrize("package", sorted(SERVING | {"cxr_launcher", "cxr_dicom"}))
def test_no_serving_module_but_the_network_ones_needs_pytorch(package: str) -> None:
    for path in PACKAGES[package].rglob("*.py"):
        if path.name in {"network.py", "trunk.py", "backbone.py", "torch_runtime.py"}:
            continue
        assert not HEAVY & imported_packages(path), path.relative_to(ROOT)


def test_the_gateways_folders_form_no_cycle() -> None:
    edges = folder_imports()
    below = {name: found for name, found in edges.items() if name not in TOP}
    try:
        TopologicalSorter({name: found - TOP for name, found in below.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"folders of the gateway import each other: {' <- '.join(error.args[1])}")


def test_only_the_programs_import_the_app() -> None:
    edges = folder_imports()
    assert {name for name, found in edges.items() if "app" in found} <= {"cli", "__main__"}


def test_core_imports_no_sibling() -> None:
    assert folder_imports()["core"] == set()


def test_analysis_knows_nothing_of_what_observes_or_keeps_it() -> None:
    foreign = {"shadow", "drift", "audit", "backup", "retention", "api", "middleware"}
    assert not folder_imports()["analysis"] & foreign


def test_files_of_others_are_decoded_by_way_of_a_decoder_alone() -> None:
    in_process = {
        "read_upload", "read_stored", "read_frame", "first_frame", "decode_dicom", "decode_stored",
        "decode_file",
    }  # fmt: skip
    defined, found = set[str](), dict[str, set[str]]()
    for path in GATEWAY.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if folder_of(path) == "imaging":
            defined |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            continue
        named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named |= {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        found[str(path.relative_to(GATEWAY))] = in_process & named
    assert in_process - defined == {"decode_file"}  # of cxr_serving
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("package", ["sqlalchemy", "alembic", "psycopg", "boto3", "botocore"])
def test_the_archive_alone_knows_its_database_and_its_storage(package: str) -> None:
    assert {name.split("/")[0] for name in importers(package)} <= {"archive"}


def test_the_inference_openid_and_webhook_clients_alone_speak_http() -> None:
    assert importers("httpx") == HTTP_CLIENTS
