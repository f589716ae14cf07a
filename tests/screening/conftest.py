"""Fixtures of the tests of screening, all with the published models."""

import contextlib
import logging
import os
from collections.abc import Iterator

import pytest

from support.screenings import InProcess, Screener

_OBJECT_STORE_BYTES = 100_000_000
# Ray gives up a start after half a minute, which two processes of tests on two cores can take, so
# these run before the others, by themselves.
collect_ignore = (
    []
    if os.environ.get("CXR_SCREENING_ON_RAY")
    else ["test_runs.py", "test_killed.py", "test_equal_to_the_service.py"]
)


@pytest.fixture(scope="session")
def screener() -> Screener:
    """The command as a process, which starts a Ray of its own."""
    return Screener()


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A small Ray for all tests of a process: starting one takes seconds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    def started() -> bool:
        with contextlib.suppress(Exception):  # that it took too long is a bare one
            ray.init(
                "local",
                num_cpus=2,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        if not ray.is_initialized():
            ray.shutdown()
        return ray.is_initialized()

    assert any(started() for _ in range(3)), "Ray did not start"
    yield
    ray.shutdown()


@pytest.fixture
def screen(
    cluster: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> InProcess:
    """The command in this process, on the small cluster."""
    return InProcess(monkeypatch, capfd)
