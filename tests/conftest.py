"""Fixtures that every kind of test may use."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The services run on asyncio, so the tests do."""
    return "asyncio"


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published classifier with random weights. Read only: copy it to change it."""
    from model_folders import write_classifier_folder

    return write_classifier_folder(tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published detector with random weights. Read only: copy it to change it."""
    from model_folders import write_detector_folder

    return write_detector_folder(tmp_path_factory.mktemp("models") / "detector")
