"""Two releases at once on one database: the one before and this one, with uploads all the while.

The one before is what stood before the newest migration was added. It has to go on working on the
migrated database (expand), so what it needs may go with a later release only (contract).
"""

import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cxr_gateway.archive.schema import LATEST, OLDEST, REVISIONS, migrate
from support.databases import postgresql_database
from support.images import encoded, radiograph_like
from support.live_gateway import STUDIES, FakeServices, Gateway, Starter
from support.releases import MIGRATIONS, ROOT, commit_before


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of before the newest migration, in a folder."""
    try:
        names = ("services", "tests/support", "models/ood")
        command = ["git", "archive", commit_before(), *names]
        content = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout with its history")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def database() -> Iterator[str]:
    with postgresql_database() as url:
        yield url


def of(folder: Path) -> str:
    """A PYTHONPATH on which the packages of this checkout come first."""
    packages = sorted((folder / "services").iterdir())
    paths = [*packages, folder / "tests", *filter(None, map(Path, sys.path))]
    own = {ROOT / "tests", *(ROOT / "services").iterdir()}
    kept = [path for path in paths if folder == ROOT or path not in own]
    return os.pathsep.join(map(str, kept))


class Load:
    """Uploads, one after another, each another radiograph, to whichever gateway takes them."""

    def __init__(self, *gateways: Gateway) -> None:
        self.gateways = list(gateways)
        self.sent: dict[str, int] = {}
        self.refused: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            content = encoded(radiograph_like(seed=number))
            for gateway in self.gateways[number % len(self.gateways) :] + self.gateways:
                try:
                    answer = gateway.client.post(
                        STUDIES, files={"file": (f"{number}.png", content)}
                    )
                except httpx.TransportError as error:
                    self.refused.append(repr(error))
                    continue
                if answer.status_code == 201:
                    self.sent[answer.json()["id"]] = gateway.port
                    break
                self.refused.append(answer.text)

    def of(self, gateway: Gateway) -> int:
        return list(self.sent.values()).count(gateway.port)

    def wait_for(self, gateway: Gateway, more: int) -> None:
        """Return when `gateway` has taken so many more."""
        wanted = self.of(gateway) + more
        waiting = threading.Event()
        for _ in range(600):
            if self.of(gateway) >= wanted:
                return
            waiting.wait(0.1)
        raise AssertionError(f"no uploads any more: {self.refused[-3:]}")


def test_nothing_is_lost_while_one_release_takes_the_place_of_another(
    before: Path, database: str, services: FakeServices, start: Starter
) -> None:
    old_code = {"PYTHONPATH": of(before), "CXR_GATEWAY_DATABASE_URL": database}
    migrated = subprocess.run(
        [sys.executable, "-m", "cxr_gateway", "migrate"],
        env={
            "PATH": os.environ["PATH"],
            "CXR_GATEWAY_ARCHIVE_DIR": str(start.folder / "archive"),
            **old_code,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    newest_of_before = sorted(before.glob(f"{MIGRATIONS}/0*.py"))[-1].name[:4]
    assert f"to {newest_of_before}." in migrated.stdout
    old = start(**old_code)
    with Load(old) as load:
        load.wait_for(old, 2)
        migrate(database, 30.0)
        load.wait_for(old, 2)
        new = start(CXR_GATEWAY_DATABASE_URL=database)
        load.gateways = [old, new]
        load.wait_for(new, 2)
        load.wait_for(old, 2)
        load.gateways = [new]
        load.wait_for(new, 1)
        old.process.terminate()
        old.process.wait()
        load.wait_for(new, 2)
    assert load.refused == []
    assert new.total() == len(load.sent)
    for study_id in load.sent:
        stored = new.client.get(f"{STUDIES}/{study_id}")
        assert (stored.status_code, stored.json()["status"]) == (200, "complete")
        assert new.client.get(f"{STUDIES}/{study_id}/original").status_code == 200


def test_a_gateway_of_before_starts_on_a_schema_that_suits_it(tmp_path: Path) -> None:
    from sqlalchemy import create_engine, text

    from cxr_gateway.archive.schema import refuse_other
    from cxr_gateway.core.errors import SchemaMismatch

    url = f"sqlite:///{tmp_path / 'database'}"
    migrate(url, 5.0)
    engine = create_engine(url)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT revision FROM schema_floor")) == OLDEST
        # As a later release would leave it, once with what this one can work on.
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_floor SET revision = :now"), {"now": LATEST})
        refuse_other(connection)
    assert migrate(url, 5.0) == (LATEST, LATEST)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_floor SET revision = '9999'"))
        with pytest.raises(SchemaMismatch, match="a newer gateway"):
            refuse_other(connection)
    with pytest.raises(SchemaMismatch, match="a newer gateway"):
        migrate(url, 5.0)
    engine.dispose()
    assert OLDEST in REVISIONS
