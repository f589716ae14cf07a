"""From one release to the next and back by tags and the lines of docs/operations.md, under load.

The release before is what stood before the newest migration (`support/releases.py`), the next one
what is committed here; their images are built before, and from then on nothing is. Figures are
printed (`-rP` shows them).
"""

import os
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import httpx
import pytest
from docker.models.containers import Container

from support.compose_stack import (
    PASSWORD,
    ROLES,
    ROOT,
    SERVICES,
    ComposeStack,
    asked_inside,
    compose_command,
    eventually,
    image_name,
)
from support.documented import tried_block
from support.releases import MIGRATIONS, commit_before, git

StackMaker = Callable[..., ComposeStack]
OLD, NEW = "8.0.0", "8.1.0"
STUDIES = "/api/v1/studies"
_OF_COMMIT = "org.opencontainers.image.revision"
# Its image is PostgreSQL's with the roles' script, which is the same in both.
_BUILT = tuple(name for name in SERVICES if name != "database")
# As docs/operations.md calls the two.
_WRITTEN = {"0.1.0": OLD, "0.2.0": NEW}
_PAUSE_S = 0.25
_PATIENCE_S = 600
_CREATED = re.compile(
    r'^cxr_http_requests_total\{[^}]*method="POST"[^}]*route="/api/v1/studies"[^}]*status="201"[^}]*\}'
    r" ([0-9.]+)$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def releases(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the tags of two releases, whose images the engine has."""
    folder = tmp_path_factory.mktemp("releases") / "cxr"
    try:
        before, now = commit_before(), git("rev-parse", "HEAD")
        git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout with its history")
    for version, commit in ((OLD, before), (NEW, now)):
        git("tag", f"v{version}", commit, folder=folder)
    git("checkout", "--quiet", f"v{OLD}", folder=folder)
    built = engine.images.list(tagged("gateway", OLD))
    if not built or built[0].labels[_OF_COMMIT] != before:
        build(folder, before)
    engine.images.get(image_name("database")).tag(tagged("database", OLD))
    for service in SERVICES:
        engine.images.get(image_name(service)).tag(tagged(service, NEW))
    return folder


def tagged(service: str, version: str) -> str:
    return f"{image_name(service).rpartition(':')[0]}:{version}"


def build(folder: Path, commit: str) -> None:
    secrets = {f"CXR_DATABASE_{role}PASSWORD": PASSWORD for role in ROLES}
    built = subprocess.run(
        [*compose_command(), "build", *_BUILT],
        cwd=folder,
        env={
            **os.environ,
            **secrets,
            "CXR_SERVICE_TOKEN": PASSWORD,
            "CXR_VERSION": OLD,
            "CXR_REVISION": commit,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]


class Operator:
    """Somebody with a checkout and docs/operations.md: runs its blocks, and nothing else.

    Args:
        checkout: the folder with the tags.
        stack: what runs there; its port and project are the operator's.
        folder: for backups.
    """

    def __init__(self, checkout: Path, stack: ComposeStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        stack.root = checkout
        (checkout / ".env").unlink(missing_ok=True)
        self.backups = folder / "backups"
        self.backups.mkdir()
        # The user of the containers writes there, whoever runs this.
        self.backups.chmod(0o777)
        self.keys = folder / "keys"
        self.keys.mkdir(mode=0o755)
        (self.keys / "backup").write_text("k" * 64)
        self._path = os.environ["PATH"]
        if compose_command() == ["docker-compose"]:
            self._path = f"{self._older_compose()}:{self._path}"
        git("checkout", "--quiet", f"v{OLD}", folder=checkout)
        self.run(tried_block("operations.md", "secrets"))
        self.run(tried_block("operations.md", "back", _WRITTEN))
        eventually(lambda: stack.health("frontend") == ["healthy"], stack.told(), _PATIENCE_S)

    def run(self, script: str) -> str:
        """Run lines of the page; what they print."""
        given = {name: text for name, text in os.environ.items() if not name.startswith("CXR_")}
        project = {"COMPOSE_PROJECT_NAME": self._stack.project, "CXR_PORT": str(self._stack.port)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._stack.root,
            env=given | project | {"PATH": self._path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def goes(self, block: str) -> float:
        """Run a block of the page, until the front door leads to a ready gateway; in seconds."""
        started = time.monotonic()
        places: dict[str, str | Path] = {
            **_WRITTEN,
            "/srv/cxr-backups": self.backups,
            "/srv/cxr-keys": self.keys,
        }
        self.run(tried_block("operations.md", block, places))
        healthy = self._stack.health
        eventually(lambda: healthy("frontend") == ["healthy"], self._stack.told(), _PATIENCE_S)
        return time.monotonic() - started

    def _older_compose(self) -> Path:
        folder = self._folder / "bin"
        folder.mkdir()
        older = 'if [ "$1" = compose ]; then shift; exec docker-compose "$@"; fi'
        rest = f'exec {shutil.which("docker")} "$@"'
        (folder / "docker").write_text(f"#!/bin/sh\n{older}\n{rest}\n")
        (folder / "docker").chmod(0o755)
        return folder


class Load:
    """Uploads and lists through the front door, one after another, with a look at each answer."""

    def __init__(self, stack: ComposeStack, radiographs: Iterator[bytes]) -> None:
        self._stack = stack
        self._radiographs = radiographs
        self.sent: dict[str, bytes] = {}
        self.answers: Counter[str] = Counter()
        self.refused: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(2)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, which: int) -> None:
        while not self._over.wait(_PAUSE_S):
            try:
                if which:
                    said = self._note(self._stack.get(STUDIES))
                else:
                    content = next(self._radiographs)
                    answer = self._stack.post(content)
                    said = self._note(answer)
                    if answer.status_code == httpx.codes.CREATED:
                        assert answer.json()["status"] in ("complete", "partial")
                        self.sent[answer.json()["id"]] = content
            except httpx.TransportError as error:
                said = type(error).__name__
                self.refused.append((time.monotonic(), said))
            self.answers[said] += 1

    def _note(self, answer: httpx.Response) -> str:
        if not answer.is_success:
            self.refused.append((time.monotonic(), answer.text))
        return str(answer.status_code)

    def wait_for(self, more: int) -> None:
        """Return once so many more studies were sent."""
        wanted = len(self.sent) + more
        said = f"no uploads any more: {self.refused[-3:]}"
        eventually(lambda: len(self.sent) >= wanted, said, _PATIENCE_S)

    def said_since(self, started: float) -> str:
        """The refusals since a time, in words."""
        times = [at for at, _ in self.refused if at >= started]
        if not times:
            return "none refused"
        return f"{len(times)} refused within {times[-1] - times[0]:.1f} s"


def version_of(container: Container) -> str:
    return str(container.attrs["Config"]["Image"]).rpartition(":")[2]


def schema_of(stack: ComposeStack) -> str:
    select = "SELECT version_num FROM alembic_version"
    asked = ("exec", "-T", "database", "psql", "-U", "cxr", "-d", "cxr", "-Atc", select)
    return stack.compose(*asked).stdout.strip()


def check_whole(stack: ComposeStack, load: Load) -> None:
    """Each study that was answered is there, with its file."""
    assert stack.get(STUDIES).json()["total"] >= len(load.sent)
    for study_id, content in load.sent.items():
        assert stack.get(f"{STUDIES}/{study_id}").json()["status"] in ("complete", "partial")
        assert stack.get(f"{STUDIES}/{study_id}/original").content == content


def test_an_operator_goes_to_the_next_release_and_back_by_the_page_and_loses_nothing(
    releases: Path, stack_of: StackMaker, radiographs: Iterator[bytes], tmp_path: Path
) -> None:
    stack = stack_of()
    operator = Operator(releases, stack, tmp_path)
    schema = schema_of(stack)
    newest = sorted((ROOT / MIGRATIONS).glob("0*.py"))[-1].name[:4]
    with Load(stack, radiographs) as load:
        load.wait_for(3)
        assert load.refused == []
        for block, version in (("upgrade", NEW), ("back", OLD), ("upgrade", NEW)):
            started = time.monotonic()
            took = operator.goes(block)
            load.wait_for(3)
            print(f"to {version}: {took:.1f} s, {load.said_since(started)}")
            for service in SERVICES:
                assert version_of(stack.container(service)) == version
            # It stays the newer one's; the gateway of before works on it.
            assert schema_of(stack) == newest >= schema
        quiet = len(load.refused)
        load.wait_for(3)
        assert len(load.refused) == quiet
    print(dict(load.answers))
    assert len(list(operator.backups.glob("*.zip"))) == 2
    # While it is away it says so, or its front door is closed; nothing fails.
    assert set(filter(str.isdigit, load.answers)) <= {"200", "201", "503"}
    check_whole(stack, load)


def test_two_releases_work_at_once_and_no_request_is_refused_while_one_takes_over(
    releases: Path, stack_of: StackMaker, radiographs: Iterator[bytes], tmp_path: Path
) -> None:
    stack = stack_of()
    operator = Operator(releases, stack, tmp_path)
    old = stack.container("gateway")
    lines = tried_block("operations.md", "beside", _WRITTEN)
    # The page says to go on when both are healthy.
    first, look, last = re.split(r"^(docker compose ps gateway .*)$", lines, flags=re.MULTILINE)
    with Load(stack, radiographs) as load:
        load.wait_for(3)
        started = time.monotonic()
        operator.run(first + look)
        stack.wait_healthy("gateway", 2)
        versions = {version_of(one) for one in stack.containers("gateway")}
        assert versions == {OLD, NEW}
        [new] = [one for one in stack.containers("gateway") if one.id != old.id]
        eventually(lambda: created_by(new) > 0, "the new one gets nothing", _PATIENCE_S)
        load.wait_for(6)
        shares = created_by(old), created_by(new)
        operator.run(f"old={old.id}\n{last}")
        load.wait_for(6)
        took = time.monotonic() - started
        print(f"{took:.1f} s, {shares[0]} and {shares[1]} studies, {load.said_since(started)}")
        assert all(shares)
        assert load.refused == []
    assert [version_of(one) for one in stack.containers("gateway")] == [NEW]
    print(dict(load.answers))
    check_whole(stack, load)


def created_by(container: Container) -> int:
    """How many studies a gateway has taken, by its own metrics."""
    metrics = asked_inside(container, "http://127.0.0.1:8000/metrics")
    return round(sum(float(count) for count in _CREATED.findall(metrics)))
