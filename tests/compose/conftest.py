"""An engine and a running stack; without an engine these tests fail with a sentence."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from benchmarks.images import sample_png, unique_pngs
from support.compose_stack import SERVICES, ComposeStack, image_name

StackMaker = Callable[..., ComposeStack]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, which has this version's images."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.fail(f"No Docker engine answers; these tests need one: {error}", pytrace=False)
    for service in SERVICES:
        if not client.images.list(image_name(service)):
            pytest.fail(f"{image_name(service)} is not built; run `make images`.", pytrace=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    """The stack, up and ready; shared by the tests of one file."""
    made = ComposeStack(engine)
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def stack_of(engine: docker.DockerClient) -> Iterator[StackMaker]:
    """Makes stacks that are not started, and takes them down."""
    with ExitStack() as made:

        def make(**options: Any) -> ComposeStack:
            one = ComposeStack(engine, **options)
            made.callback(one.down)
            return one

        yield make


@pytest.fixture(scope="module")
def radiographs() -> Iterator[bytes]:
    """The public sample radiograph as PNG files, no two alike."""
    return unique_pngs(sample_png())


@pytest.fixture(scope="session")
def sample() -> bytes:
    """The public sample radiograph as DICOM."""
    from pydicom.data import get_testdata_file

    path = get_testdata_file("RG1_UNCI.dcm", download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()
