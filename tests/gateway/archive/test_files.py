"""The archive's folder: whole files under our own names, or none."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_gateway.archive import FileStore
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.ids import new_study_id
from cxr_serving.errors import Unavailable


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "archive")
    assert store.open()
    return store


def everything(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".in-use"
    )


def test_a_kept_file_lies_under_the_studys_id_and_nothing_is_left_of_its_way(
    files: FileStore, tmp_path: Path
) -> None:
    study_id = new_study_id()
    with files.begin() as incoming:
        incoming.write(b"radiograph")
        files.keep(incoming, study_id, "original.png")
    assert everything(tmp_path / "archive") == [f"studies/{study_id[-2:]}/{study_id}/original.png"]
    assert files.path(study_id, "original.png").read_bytes() == b"radiograph"


def test_an_incoming_file_that_is_not_kept_is_gone(files: FileStore, tmp_path: Path) -> None:
    with files.begin() as incoming:
        incoming.write(b"radiograph")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("study_id", ["../../../etc", "", "0" * 25 + "/", "0" * 27])
def test_no_path_is_made_of_anything_but_an_id(files: FileStore, study_id: str) -> None:
    with pytest.raises(ValueError, match="not a study id"):
        files.path(study_id, "original.png")


def test_writing_again_replaces_the_file_in_one_step(files: FileStore) -> None:
    study_id = new_study_id()
    files.write(study_id, "image.png", b"old")
    files.write(study_id, "image.png", b"new")
    assert files.read(study_id, "image.png") == b"new"


def test_a_sweep_empties_incoming_and_removes_the_named_studies(
    files: FileStore, tmp_path: Path
) -> None:
    kept, orphan = new_study_id(), new_study_id()
    files.write(kept, "original.png", b"kept")
    files.write(orphan, "original.png", b"orphan")
    (tmp_path / "archive/incoming/half.part").write_bytes(b"half")
    assert sorted(files.study_ids()) == sorted([kept, orphan])
    assert files.remove_incoming() == 1
    files.remove_study(orphan)
    assert everything(tmp_path / "archive") == [f"studies/{kept[-2:]}/{kept}/original.png"]


def test_a_second_user_of_the_folder_is_told_that_it_is_not_alone(
    files: FileStore, tmp_path: Path
) -> None:
    files.share()
    second = FileStore(tmp_path / "archive")
    assert not second.open()
    second.close()
    files.close()
    assert FileStore(tmp_path / "archive").open()


def test_a_folder_that_cannot_be_written_is_a_503(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file, not a folder")
    with pytest.raises(Unavailable, match="folder cannot be used"):
        FileStore(tmp_path / "archive").open()


_FILL = """
import resource, sys
from pathlib import Path
from cxr_gateway.archive import FileStore
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.errors import StorageFull
files = FileStore(Path(sys.argv[1]))
files.open()
sys.dont_write_bytecode = True  # it would be kept cut off at the limit, for every later process
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    files.write(new_study_id(), "original.png", bytes(10_000))
except StorageFull as error:
    print(error.detail)
"""


def test_a_file_that_does_not_fit_is_a_507_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own: the limit on file sizes holds for a whole process."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    environment = {"PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path / "archive")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert "no room left" in ended.stdout
    assert everything(tmp_path / "archive") == []
    assert StorageFull.status == 507
