"""What is listed of a source, and that what is fetched is what lies there."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_screening.errors import ScreeningError
from cxr_screening.sources import Fetcher, FetchError, Item, Listing, list_source, pack, unpack
from support.images import png
from support.s3_server import BUCKET, S3Server, free_port

FILES = {f"{number}.png": png(40, 36, seed=number) for number in range(3)}


def fetched(source: "Path | str", listing: Listing | None = None) -> list[bytes]:
    """The content of everything in a source, in its order."""
    fetcher = Fetcher(max_bytes=1_000_000)
    items = list(list_source(str(source), listing or Listing()))
    assert unpack(pack(items)) == items
    assert len({item.locator for item in items}) == len(items)
    return [fetcher.fetch(item) for item in items]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    (made / "below").mkdir(parents=True)
    for name, content in FILES.items():
        (made / ("below" if name.startswith("2") else "") / name).write_bytes(content)
    return made


def test_a_folder_gives_its_images_and_counts_the_rest(folder: Path) -> None:
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "1.2.840.10008.77").write_bytes(b"a DICOM file is often called by its UID")
    listing = Listing()
    found = fetched(folder, listing)
    assert len(found) == 4
    assert set(FILES.values()) < set(found)
    assert listing.skipped == 1


def test_a_glob_gives_what_fits(folder: Path) -> None:
    assert fetched(f"{folder}/**/[12].png") == [FILES["1.png"], FILES["2.png"]]


def test_a_csv_names_places(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "wanted.csv"
    table.write_text(f"patient,path\n1,{folder}/1.png\n2,in/0.png\n3,\n")
    assert fetched(table) == [FILES["1.png"], FILES["0.png"]]
    table.write_text("patient,file\n1,x.png\n")
    with pytest.raises(ScreeningError, match="no column called path"):
        fetched(table)


def test_members_of_a_zip_are_images_of_their_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as members:
        for name, content in FILES.items():
            members.writestr(f"a/{name}", content)
        members.writestr("README", "")
    assert fetched(tmp_path) == [*FILES.values()]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_members_of_a_tar_are_fetched_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all.{suffix}"
    mode: Any = f"w:{suffix.partition('.')[2]}"
    with tarfile.open(path, mode) as members:
        for name, content in [*FILES.items(), ("0.png", png(50, 40))]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            members.addfile(info, io.BytesIO(content))
    items = list(list_source(str(tmp_path), Listing()))
    fetcher = Fetcher(max_bytes=1_000_000)
    backward = [fetcher.fetch(item) for item in reversed(items)]
    assert backward[::-1] == [*FILES.values(), png(50, 40)]


def test_what_cannot_be_fetched_says_why_without_its_name(tmp_path: Path) -> None:
    fetcher = Fetcher(max_bytes=100)
    with pytest.raises(FetchError, match="not there any more") as missing:
        fetcher.fetch(Item("file", str(tmp_path / "SMITH.dcm")))
    assert "SMITH" not in str(missing.value)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(FetchError, match="damaged"):
        fetcher.fetch(Item("zip", str(tmp_path / "cut.zip"), "a.png", size=10))
    # Of a large file only so much is read that the engine sees that it is too large.
    (tmp_path / "large.png").write_bytes(bytes(5000))
    assert len(fetcher.fetch(Item("file", str(tmp_path / "large.png")))) == 101


def test_a_broken_archive_file_is_an_image_that_fails(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "cut.tar").write_bytes(b"junk" * 1000)
    items = list(list_source(str(tmp_path), Listing()))
    assert [(item.kind, Path(item.location).name) for item in items] == [
        ("file", "cut.tar"),
        ("file", "cut.zip"),
    ]


def test_a_source_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScreeningError, match="There is no "):
        fetched(tmp_path / "nowhere")
    with pytest.raises(ScreeningError, match="does not answer"):
        fetched(f"dicomweb+http://127.0.0.1:{free_port()}/dicom-web")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server(free_port())
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key-of-no-value")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-key-of-no-value")  # pragma: allowlist secret
    yield server
    server.stop()


@pytest.mark.slow
def test_a_bucket_is_listed_and_read(bucket: S3Server) -> None:
    for name, content in FILES.items():
        bucket.client().put_object(Bucket=BUCKET, Key=f"cxr/deep/{name}", Body=content)
    assert fetched(f"s3://{BUCKET}/cxr") == [*FILES.values()]
