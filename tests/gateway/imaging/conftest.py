"""The table of how far rendering differs from other toolkits, written where it is asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.differences import Differences


@pytest.fixture(scope="session")
def differences() -> Iterator[Differences]:
    """Collects; CXR_IMAGE_RESULTS names the folder of the page."""
    collected = Differences()
    yield collected
    folder = os.environ.get("CXR_IMAGE_RESULTS")
    if folder and collected.levels:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "README.md").write_text(collected.page())
