"""Many radiographs at eight associations while node, gateway and database are killed in turn.

`--flood-images` sets how many go through all three, `--flood-intake` how many into the node alone;
`--flood-results` writes the table, with DCMTK's and Orthanc's own intake beside it (`make
bench-dicom`).
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from support.databases import own_postgresql
from support.dicom_flood import Flood, peak_memory, uid_of, write_radiographs
from support.dicom_node import AE_TITLE, Node, NodeStarter, program
from support.fake_gateway import FakeService
from support.live_gateway import STUDIES, FakeServices, Gateway, Starter
from support.pacs import ORTHANC, running_orthanc
from support.waiting import free_port

# Nobody listens there.
AWAY = "http://127.0.0.1:9"
_KILLS = ("node", "gateway", "database")
# One of each a hundred seconds or so at 20 a second, and each at least once.
_IMAGES_A_KILL = 600


@dataclass(frozen=True)
class Row:
    """A line of the table; None is what was not tried."""

    what: str
    images: int
    a_second: float
    peak_mb: int
    killed: int | None = None
    sent_again: int | None = None
    lost: int | None = None
    doubled: int | None = None
    analysed_after_s: int | None = None


def at_once(service: FakeService) -> None:
    """Have a service answer without looking at the image: the node is what is measured."""

    async def answer(request: Request) -> Response:
        await request.body()
        return JSONResponse(service.body(160, 160, request))

    service.answer = answer


def test_none_acknowledged_is_lost_and_none_is_doubled(
    services: FakeServices, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = int(request.config.getoption("--flood-images"))
    paths = write_radiographs(tmp_path / "radiographs", count)
    for service in (services.classifier, services.detector):
        at_once(service)
    with ExitStack() as stack:
        database = stack.enter_context(own_postgresql())
        start = Starter(services.ports, tmp_path, stack)
        environment: dict[str, Any] = {
            "CXR_GATEWAY_PORT": free_port(),
            "CXR_GATEWAY_DATABASE_URL": database.url,
            "CXR_GATEWAY_MIGRATE_AT_START": "true",
            "CXR_GATEWAY_DATABASE_TIMEOUT_S": 10,
        }
        gateway = start(**environment)
        url = str(gateway.client.base_url)
        start_node = NodeStarter(tmp_path / "node", stack)
        settings: dict[str, Any] = {
            "dicom_port": free_port(), "port": free_port(), "forward_workers": 4,
            "max_waiting": 1_000_000,
        }  # fmt: skip
        node = start_node(url, **settings)
        flood = Flood(node.dicom_port, AE_TITLE, paths)
        began = time.monotonic()
        kills = 0
        step = max(1, min(_IMAGES_A_KILL, count // (len(_KILLS) + 1)))
        with peak_memory(lambda: psutil.Process(node.process.pid)) as peak_mb:
            flood.start()
            # What is acknowledged soon is still on its way to the gateway.
            while not flood.is_done or kills < len(_KILLS):
                if len(flood.acknowledged) >= min(step * (kills + 1), count):
                    victim = _KILLS[kills % len(_KILLS)]
                    if victim == "node":
                        node.kill()
                        node = start_node(url, **settings)
                    elif victim == "gateway":
                        gateway.kill()
                        gateway = start(**environment)
                    else:
                        database.crash_and_start()
                    kills += 1
                time.sleep(0.05)
            flood.join()
            ended_by = time.monotonic() + 60 + count / 2
            while node.count("instances", "analysed") != count:
                assert time.monotonic() < ended_by, node.counts()
                time.sleep(1.0)
        seconds = time.monotonic() - began
        assert kills >= len(_KILLS)
        assert node.counts() == {("instances", "analysed"): count}
        kept = list(_kept(gateway))
        assert len(kept) == count, "doubled or lost"
        assert set(kept) == {uid_of(number) for number in range(count)}
        gateway.kill()
        node.kill()
    noted(
        request,
        Row(
            "node, gateway and PostgreSQL, each killed in turn",
            images=count,
            a_second=round(count / flood.seconds, 1),
            peak_mb=round(peak_mb()),
            killed=kills,
            sent_again=flood.again,
            lost=count - len(set(kept)),
            doubled=len(kept) - len(set(kept)),
            analysed_after_s=round(seconds),
        ),
    )


def test_the_node_alone_keeps_what_it_acknowledged(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Its gateway is away, so that intake is all that it does; it is killed again and again."""
    count = int(request.config.getoption("--flood-intake"))
    paths = write_radiographs(tmp_path / "radiographs", count)
    with ExitStack() as stack:
        start_node = NodeStarter(tmp_path / "node", stack)
        settings: dict[str, Any] = {
            "dicom_port": free_port(), "port": free_port(), "max_waiting": 1_000_000,
        }  # fmt: skip
        node = start_node(AWAY, **settings)
        flood = Flood(node.dicom_port, AE_TITLE, paths)
        kills = 0
        with peak_memory(lambda: psutil.Process(node.process.pid)) as peak_mb:
            flood.start()
            while not flood.is_done:
                if len(flood.acknowledged) >= (kills + 1) * max(1, count // 5):
                    node.kill()
                    node = start_node(AWAY, **settings)
                    kills += 1
                time.sleep(0.05)
            flood.join()
        assert kills >= 3
        assert node.counts() == {("instances", "waiting"): count}
        node.kill()
        waiting = list((node.spool / "waiting").iterdir())
        kept = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in waiting]
    assert sorted(kept) == [uid_of(number) for number in range(count)]
    noted(
        request,
        Row(
            "node alone (gateway away), killed",
            images=count,
            a_second=round(count / flood.seconds, 1),
            peak_mb=round(peak_mb()),
            killed=kills,
            sent_again=flood.again,
            lost=count - len(set(kept)),
            doubled=len(kept) - len(set(kept)),
        ),
    )


@pytest.mark.parametrize("peer", ["node", "storescp", "orthanc"])
def test_intake_beside_others(peer: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is killed, nothing else is done."""
    count = min(int(request.config.getoption("--flood-intake")), 2000)
    paths = write_radiographs(tmp_path / "radiographs", count)
    noted(request, {"node": alone, "storescp": dcmtk, "orthanc": orthanc}[peer](paths, tmp_path))


def _kept(gateway: Gateway) -> Iterator[str]:
    """The SOP Instance UID of every study, page by page."""
    cursor = None
    while True:
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = gateway.client.get(STUDIES, params=query).json()
        for item in page["items"]:
            yield item["patient"]["sop_instance_uid"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def flooded(name: str, port: int, called: str, paths: list[Path], pid: int) -> Row:
    """Intake with nothing killed."""
    flood = Flood(port, called, paths)
    with peak_memory(lambda: psutil.Process(pid)) as peak_mb:
        flood.start()
        flood.join()
    a_second = round(len(paths) / flood.seconds, 1)
    return Row(name, images=len(paths), a_second=a_second, peak_mb=round(peak_mb()))


def alone(paths: list[Path], folder: Path) -> Row:
    """The node's own intake: its gateway is away, so nothing else is done meanwhile."""
    with ExitStack() as stack:
        node: Node = NodeStarter(folder / "alone", stack)(AWAY, max_waiting=1_000_000)
        name = "node alone (gateway away)"
        return flooded(name, node.dicom_port, AE_TITLE, paths, node.process.pid)


def dcmtk(paths: list[Path], folder: Path) -> Row:
    """DCMTK's storescp, a process for each association."""
    port = free_port()
    out = folder / "storescp"
    out.mkdir()
    with _running([program("storescp"), "--fork", "-od", str(out), str(port)]) as process:
        time.sleep(1.0)
        row = flooded("DCMTK storescp --fork", port, "STORESCP", paths, process.pid)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    assert len(list(out.iterdir())) == len(paths)
    return row


def orthanc(paths: list[Path], folder: Path) -> Row:
    """Orthanc with its SQLite index, as Debian ships it."""
    with running_orthanc(folder / "orthanc", 9) as archive:
        row = flooded("Orthanc", archive.dicom_port, ORTHANC, paths, archive.pid)
        found = archive.http.get("/statistics").json()["CountInstances"]
    assert found == len(paths)
    return row


@contextmanager
def _running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def noted(request: pytest.FixtureRequest, row: Row) -> None:
    """Put a row into `intake.json`, in place of an earlier one, and write the page anew."""
    folder: Path | None = request.config.getoption("--flood-results")
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "intake.json"
    rows = [Row(**one) for one in json.loads(path.read_text())] if path.exists() else []
    rows = [one for one in rows if one.what != row.what] + [row]
    path.write_text(json.dumps([asdict(one) for one in rows], indent=2) + "\n")
    (folder / "README.md").write_text(page(rows))


def page(rows: list[Row]) -> str:
    """The table."""
    names = ("", "radiographs", "acknowledged a second", "memory of the process, at most, MB",
             "kills", "sent again", "lost", "doubled")  # fmt: skip
    head = f"| {' | '.join(names)} |"
    lines = "\n".join(
        f"| {one.what} | {one.images:,} | {one.a_second} | {one.peak_mb} | {_or_none(one.killed)} |"
        f" {_or_none(one.sent_again)} | {_or_none(one.lost)} | {_or_none(one.doubled)} |"
        for one in rows
    )
    return f"""\
# Radiographs through the DICOM node

Made by `make bench-dicom`: files of 51 KB, one study each, sent by DCMTK's `storescu` on eight
associations at once, on the same machine, beside whatever else it does. What was not acknowledged
is sent again. Gateway and PostgreSQL are real; the two inference services are replaced by ones that
answer at once, because the node is what is measured. *Lost* is what was acknowledged and not kept
at the end, *doubled* what was kept twice. The node syncs each file, its folder and its row before
it answers; storescp and Orthanc leave that to the operating system.

{head}
|---|--:|--:|--:|--:|--:|--:|--:|
{lines}
"""


def _or_none(value: int | None) -> str:
    return "" if value is None else str(value)
