"""What `make bench` sends and writes; the run itself takes long."""

import csv
import io
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from benchmarks.flame_graphs import draw, stacks_of
from benchmarks.images import large_dicoms
from benchmarks.load import Run
from benchmarks.measure import (
    BENTOML,
    EARLIER_PROCESS,
    IN_TURN,
    LITSERVE,
    ONE_PROCESS,
    OURS,
    OURS_DICOM,
    SIDE_BY_SIDE,
    Measurement,
    Samples,
    peers,
)
from benchmarks.networks_alone import NetworksAlone, timed
from benchmarks.report import write
from benchmarks.served import DETECTOR


def took(milliseconds: float) -> Run:
    return Run(np.full(4, milliseconds), 0.5, [])


def made_up(*further: str) -> Measurement:
    """Two rounds; every service takes longer than the one before."""
    names = (OURS, OURS_DICOM, ONE_PROCESS, LITSERVE, BENTOML, SIDE_BY_SIDE, IN_TURN, *further)
    services = {name: Samples() for name in names}
    for number, (name, samples) in enumerate(services.items(), start=1):
        loaded = name not in (OURS_DICOM, SIDE_BY_SIDE, IN_TURN)
        for _ in range(2):
            samples.record(took(100.0 * number), took(1.0) if loaded else None)
    return Measurement(services, 12.34, [(0, 900.0), (5000, 910.0)])


def row_of(report: str, figure: str) -> list[str]:
    (line,) = (line for line in report.splitlines() if line.startswith(f"| {figure} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_figure_stands_beside_its_target(tmp_path: Path) -> None:
    report = write(made_up(), tmp_path)
    measured = {
        "p50, 1024 px PNG": "100 ms",
        "p50, 3,000 x 2,500 DICOM": "200 ms",
        "p50 over one eager process with the same networks": "0.33 [0.33, 0.33]",
        "p50 over LitServe": "0.25 [0.25, 0.25]",
        "p50 over BentoML": "0.20 [0.20, 0.20]",
        "studies a second, 8 clients": "8.0",
        "what a client waits beyond the slower service, p50": "12.3 ms",
        f"p50 over {SIDE_BY_SIDE}": "0.17 [0.17, 0.17]",
    }
    for figure, value in measured.items():
        _, _, found, target = row_of(report, figure)
        assert found == value, figure
        assert target
    assert "910 MB (at the start: 900 MB)" in report
    assert {path.name for path in tmp_path.iterdir()} == {
        *("README.md", "memory.csv", "rounds.csv", "speed.png")
    }
    with (tmp_path / "rounds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["per_second_8_clients"] for row in rows if row["service"] == OURS] == ["8.00"] * 2
    assert {row["per_second_8_clients"] for row in rows if row["service"] == IN_TURN} == {""}


def test_an_earlier_detector_has_a_process_and_a_row_where_it_is_named(tmp_path: Path) -> None:
    figure = "p50 over one eager process with an earlier detector"
    assert figure not in write(made_up(), tmp_path)
    assert row_of(write(made_up(EARLIER_PROCESS), tmp_path), figure)[2] == "0.12 [0.12, 0.12]"
    assert EARLIER_PROCESS not in peers(tmp_path)
    assert str(DETECTOR) in peers(tmp_path, DETECTOR)[EARLIER_PROCESS].command


def test_dicom_uploads_are_large_and_each_is_a_file_of_its_own() -> None:
    files = [dcmread(io.BytesIO(content)) for content in islice(large_dicoms(), 2)]
    for file in files:
        assert file.pixel_array.shape == (3000, 2500)
        assert file.BitsStored == 16
        assert file.pixel_array.max() > 4095
    for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert files[0][tag].value != files[1][tag].value


@pytest.mark.slow
def test_the_networks_alone_are_run_in_turn_and_side_by_side() -> None:
    networks = NetworksAlone()
    for way in (networks.in_turn, networks.side_by_side):
        run = timed(way, 2)
        assert len(run.latencies_ms) == 2
        assert run.p50_ms > 0


SAMPLES = """\
process 7:"python -m cxr_gateway";thread (9): image_3;run (threading.py);check (cxr_gateway/ood/detector.py);resize (PIL/Image.py) 30
process 7:"python -m cxr_gateway";thread (9): image_0;run (threading.py);check (cxr_gateway/ood/detector.py) 10
process 7:"python -m cxr_gateway";thread (7): MainThread;main (cxr_gateway/cli/__init__.py);record (cxr_gateway/audit/log.py) 4
process 7:"python -m cxr_gateway";thread (8): archive_0;_worker (concurrent/futures/thread.py) 99
process 8:"python -m cxr_gateway.imaging.decoder_worker";thread (8): MainThread;main (cxr_gateway/imaging/decoder_worker.py);load (PIL/ImageFile.py) 80
"""  # noqa: E501  as py-spy writes it


def test_a_flame_graph_shows_the_time_of_our_own_functions_by_kind_of_thread(
    tmp_path: Path,
) -> None:
    stacks = stacks_of(SAMPLES.splitlines(), uploads=10)
    # 200 samples a second: each is 5 ms.
    assert stacks == {
        ("threads “image”", "check", "resize"): 15.0,
        ("threads “image”", "check"): 5.0,
        ("event loop", "record"): 2.0,
        ("decoding processes", "load"): 40.0,
    }
    draw({"before": stacks, "now": stacks}, tmp_path / "flames.png")
    assert (tmp_path / "flames.png").stat().st_size > 10_000
