"""Scenes for the faults, and their table.

`--chaos-results FOLDER` writes the table of all faults there if every one of them passed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.chaos_report import write_report
from support.chaos_scene import ROW, Scene, SceneMaker
from support.databases import database_url
from support.live_gateway import FakeServices, Starter, services

__all__ = ["database_url", "services"]


@pytest.fixture
def scene_of(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> Iterator[SceneMaker]:
    """Makes scenes over `tmp_path`; their gateways are killed at the end."""
    with ExitStack() as stack:

        def make(ports: Mapping[str, int], url: str | None = None, **environment: object) -> Scene:
            if url is not None:
                environment |= {
                    "CXR_GATEWAY_DATABASE_URL": url,
                    "CXR_GATEWAY_MIGRATE_AT_START": "true",
                }
            name = "SQLite" if url is None else "PostgreSQL"
            return Scene(Starter(ports, tmp_path, stack), name, record_property, environment)

        yield make


@pytest.fixture
def scene(services: FakeServices, database_url: str | None, scene_of: SceneMaker) -> Scene:
    """A scene with fake services, once over SQLite and once over PostgreSQL."""
    return scene_of(services.ports, database_url)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--chaos-results`; of the DICOM node `--flood-images`, `-intake` and `-results`."""
    parser.addoption("--chaos-results", type=Path, help="folder for the table of all faults")
    parser.addoption("--flood-images", type=int, default=80, help="through the DICOM node")
    parser.addoption("--flood-intake", type=int, default=80, help="into the DICOM node alone")
    parser.addoption("--flood-results", type=Path, help="folder for the table of the node's intake")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the rows that the tests note."""
    config.pluginmanager.register(_Rows(config.getoption("--chaos-results")))


class _Rows:
    """The rows of all tests; written at the end."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's rows, which reach this process from a worker, too."""
        if report.when == "teardown":
            found = (str(value) for name, value in report.user_properties if name == ROW)
            self._rows += [json.loads(value) for value in found]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the table, if everything passed: half a table would look like a whole one."""
        if self._folder is not None and exitstatus == pytest.ExitCode.OK:
            write_report(self._rows, self._folder)
