"""Fixtures that every kind of test may use, and how tests are spread over processes."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before PyTorch is imported: a process beside others has one core, not all of them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A worker process takes a second to start; what needs one says so.
os.environ.setdefault("CXR_GATEWAY_DECODERS", "in-process")

# The long ones first, so that no process is left with one of them at the end.
_SLOW = ("e2e", "integration")
_ORDER = (
    "e2e",
    "training",
    "integration",
    "contract",
    "dicom",
    "clients",
    "serving",
    "gan",
    "frontend",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by the time that each folder takes; what starts services or trains is `slow`."""
    for item in items:
        if _folder(item.path) in _SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _place(item.path))


def _folder(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def _place(path: Path) -> int:
    folder = _folder(path)
    return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The services run on asyncio, so the tests do."""
    return "asyncio"


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published classifier with random weights. Read only: copy it to change it."""
    from support.model_folders import write_classifier_folder

    return write_classifier_folder(tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published detector with random weights. Read only: copy it to change it."""
    from support.model_folders import write_detector_folder

    return write_detector_folder(tmp_path_factory.mktemp("models") / "detector")
