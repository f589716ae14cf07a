"""`python -m benchmarks.screening`: an archive by cxr-screen and by what one would do instead.

Side by side in one run, on the same images and as many cores:

- `networks`: the ONNX files alone and the decoding of PNG, in a process for each core; a ceiling.
- `cxr-screen`: start-up of Ray taken apart.
- `loop`: multiprocessing over the same engine, results kept in memory.
- `upload`: 8 clients to the running services.

Then memory over many small images, and how it scales when a network is replaced by its time. Of the
small images one in `_RADIOGRAPH_EVERY` is read whole and the others are rejected as no radiograph,
so that many go through in minutes.
"""

import argparse
import io
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
from PIL import Image
from rich.console import Console

from benchmarks.load import Target, send
from benchmarks.stack import ROOT, Stack
from cxr_contracts import MANIFEST_NAME
from cxr_detector.fused import MEMBERS_FILE
from cxr_gateway.core.schemas import StudyStatus
from cxr_screening.engine import Analysis, Engine, EngineConfig, available_cores, identify
from cxr_screening.output import Output, OutputState
from cxr_screening.private import PrivateFolder, key_id
from cxr_screening.progress import Progress
from cxr_screening.rows import SCHEMA_VERSION, RowWriter
from cxr_screening.run import RunOptions, run

_CLIENTS = 8
_IMAGES_OF_A_WORKER = 150
_RADIOGRAPH_EVERY = 50
_WORKERS = (1, 2, 4, 8, 16)
_EXAMPLES = ROOT / "frontend/public/examples"


@dataclass
class Measured:
    """Images a second of one way."""

    way: str
    images: int
    seconds: float
    start_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Without the start."""
        return self.images / self.seconds


def write_images(folder: Path, count: int, side_px: int) -> list[Path]:
    """Variants of the page's examples, none like another, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = [Image.open(path).convert("L") for path in sorted(_EXAMPLES.glob("*.png"))]
    paths = []
    for number in range(count):
        grey = np.asarray(examples[number % len(examples)].resize((side_px, side_px)))
        noise = np.random.default_rng(number).integers(-3, 4, grey.shape)
        path = folder / f"{number:06}.png"
        Image.fromarray(np.clip(grey + noise, 0, 255).astype(np.uint8)).save(path, compress_level=1)
        paths.append(path)
    return paths


def write_small_images(folder: Path, count: int, side_px: int) -> None:
    """Fields of noise, and in between them radiographs."""
    write_images(folder, count // _RADIOGRAPH_EVERY, side_px)
    for number in range(count // _RADIOGRAPH_EVERY, count):
        noise = np.random.default_rng(number).integers(0, 256, (side_px, side_px), np.uint8)
        # Before the radiographs, between them and after them in the order of names.
        name = f"{number % (count // _RADIOGRAPH_EVERY):06}-{number}.png"
        Image.fromarray(noise).save(folder / name, compress_level=0)


def networks(config: EngineConfig) -> list[Path]:
    """The ONNX files that an analysis runs."""
    detector = Path(config.detector_dir)
    members = detector / MEMBERS_FILE
    folders = [Path(config.ood_dir), Path(config.classifier_dir)]
    if members.exists():
        names = [one["name"] for one in json.loads(members.read_text())["members"]]
        folders += [detector.parent / name for name in names]
    else:
        folders.append(detector)
    return [
        folder / json.loads((folder / MANIFEST_NAME).read_text())["onnx"]["path"]
        for folder in folders
    ]


class NetworksAlone:
    """The ONNX files on an image of nothing, after a PNG was decoded."""

    def __init__(self, paths: Sequence[Path]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._sessions = [onnxruntime.InferenceSession(str(path), options) for path in paths]
        self._inputs = []
        for session in self._sessions:
            [spec] = session.get_inputs()
            shape = [size if isinstance(size, int) else 1 for size in spec.shape]
            self._inputs.append({spec.name: np.zeros([1, *shape[1:]], np.float32)})

    def __call__(self, content: bytes) -> None:
        """Decode, run, and forget."""
        np.asarray(Image.open(io.BytesIO(content)))
        for session, inputs in zip(self._sessions, self._inputs, strict=True):
            session.run(None, inputs)


_work: Callable[[bytes], Any]


def _begin(make: Callable[[], Callable[[bytes], Any]], ready: Any) -> None:
    global _work  # noqa: PLW0603 (of a process of the pool)
    _work = make()
    ready.release()


def _one(path: Path) -> int:
    _work(path.read_bytes())
    return 1


def _analyse(config: EngineConfig) -> Callable[[bytes], Any]:
    return Engine(config).analyse


def pooled(way: str, make: Callable[[], Any], paths: Sequence[Path], workers: int) -> Measured:
    """A plain multiprocessing loop."""
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    started = time.perf_counter()
    with context.Pool(workers, _begin, (make, ready)) as pool:
        for _ in range(workers):
            ready.acquire()
        start_s = time.perf_counter() - started
        started = time.perf_counter()
        count = sum(pool.imap_unordered(_one, paths, chunksize=4))
        return Measured(way, count, time.perf_counter() - started, start_s)


def screened(folder: Path, out: Path, workers: int) -> Measured:
    """The command; from its first rows on, and how long it took until then."""
    command = [sys.executable, "-m", "cxr_screening", "run", str(folder), "--out", str(out)]
    started = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers), "--quiet"], cwd=ROOT, check=True)
    whole = time.perf_counter() - started
    output = Output(str(out))
    rows = output.dataset(output.existing_state().engine).to_table(["analysed_at", "timings_ms"])
    at = rows["analysed_at"].to_numpy().astype("datetime64[ms]").astype(np.int64) / 1000
    working = float(at.max() - at.min())
    return Measured("cxr-screen", len(rows), working, whole - working)


def uploaded(paths: Sequence[Path], folder: Path) -> Measured:
    """Eight clients to the services."""
    with Stack(folder) as stack:
        target = Target("upload", f"{stack.url}/api/v1/studies")
        contents = (path.read_bytes() for path in itertools.cycle(paths))
        result = send(target, contents, requests=len(paths), clients=_CLIENTS)
    return Measured("upload", len(paths), result.wall_s)


@dataclass(frozen=True)
class Sleeping:
    """An engine that takes as long as the real one, and no core."""

    seconds: float

    def analyse(self, content: bytes) -> Analysis:
        """Nothing, in time."""
        del content
        time.sleep(self.seconds)
        return Analysis(StudyStatus.REJECTED)


def scaled(room: Path, seconds: float) -> list[Measured]:
    """How it scales to more workers than there are cores, by an engine that only waits.

    Each worker gets as many images, so that its start weighs the same.
    """
    found = []
    config = EngineConfig.from_settings()
    engine = identify(config)
    for workers in _WORKERS:
        out, folder = room / f"scaled-{workers}", room / f"for-{workers}"
        write_images(folder, _IMAGES_OF_A_WORKER * workers, 64)
        private = PrivateFolder.beside(str(out), None)
        key = private.read_key(None, may_make=True)
        output = Output(str(out))
        with private.locked(), Progress(Console(stderr=True), quiet=True) as progress:
            output.begin(OutputState(SCHEMA_VERSION, key_id(key), False, engine.short), engine)
            run(
                RunOptions(str(folder), workers=workers, batch=8),
                output,
                private,
                rows=RowWriter(key, engine.fingerprint, False),
                engine=engine,
                config=config,
                progress=progress,
                load=lambda: Sleeping(seconds),
            )
        rows = output.dataset(engine.short).to_table(["analysed_at"])
        at = rows["analysed_at"].to_numpy().astype("datetime64[ms]").astype(np.int64) / 1000
        found.append(Measured(f"{workers} workers", len(rows), float(at.max() - at.min())))
    return found


def memory(folder: Path, out: Path, workers: int) -> list[tuple[float, float]]:
    """Seconds and megabytes of all processes, now and again, over a run."""
    command = [sys.executable, "-m", "cxr_screening", "run", str(folder), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", str(workers), "--quiet"], cwd=ROOT)
    samples: list[tuple[float, float]] = []
    stopped = threading.Event()

    def sample() -> None:
        started = time.monotonic()
        while not stopped.wait(5.0):
            family = [psutil.Process(process.pid)]
            family += family[0].children(recursive=True)
            samples.append((time.monotonic() - started, sum(map(_private_mb, family))))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    status = process.wait()
    stopped.set()
    thread.join()
    if status:
        raise RuntimeError(f"cxr-screen ended with {status}")
    return samples


def _private_mb(process: psutil.Process) -> float:
    try:
        # Shared pages would count once for each process.
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0


def main() -> None:
    """Measure and write docs/results/screening/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--side", type=int, default=1024, metavar="PX")
    parser.add_argument("--memory-images", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/screening")
    options = parser.parse_args()
    config = EngineConfig.from_settings()
    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "workers": options.workers,
        "side_px": options.side,
        "load": os.getloadavg()[0],
        "memory_images": options.memory_images,
        "engine": identify(config).parts["models"],
    }
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        paths = write_images(room / "in", options.images, options.side)
        ways = [
            pooled("networks", _NetworksOf(networks(config)), paths, options.workers),
            screened(room / "in", room / "out", options.workers),
            pooled("loop", _EngineOf(config), paths, options.workers),
            uploaded(paths, room),
        ]
        seconds = ways[1].seconds * options.workers / ways[1].images
        scaling = scaled(room, seconds)
        write_small_images(room / "small", options.memory_images, 64)
        samples = memory(room / "small", room / "small-out", options.workers)
    facts |= {
        "ways": [asdict(way) | {"per_second": way.per_second} for way in ways],
        "scaling": [asdict(one) | {"per_second": one.per_second} for one in scaling],
        "memory_mb": samples,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "screening.json").write_text(json.dumps(facts, indent=1) + "\n")
    (options.out / "README.md").write_text(_page(facts, ways, scaling))


@dataclass(frozen=True)
class _NetworksOf:
    paths: Sequence[Path]

    def __call__(self) -> Callable[[bytes], Any]:
        return NetworksAlone(self.paths)


@dataclass(frozen=True)
class _EngineOf:
    config: EngineConfig

    def __call__(self) -> Callable[[bytes], Any]:
        return _analyse(self.config)


def _page(facts: dict[str, Any], ways: Sequence[Measured], scaling: Sequence[Measured]) -> str:
    lines = [
        "# Screening an archive: speed and memory",
        "",
        f"Written by `make bench-screening`: {ways[0].images} PNG images of {facts['side_px']} px, "
        f"{facts['workers']} workers on {facts['cores']} cores, one way after the other. Of other "
        f"work the machine had a load of {facts['load']:.1f} at the start.",
        "",
        "| way | images/s | start, s |",
        "|---|---|---|",
        *(f"| {way.way} | {way.per_second:.2f} | {way.start_s:.1f} |" for way in ways),
        "",
        "With the engine replaced by its time (no core is used):",
        "",
        "| workers | images/s |",
        "|---|---|",
        *(f"| {one.way.split()[0]} | {one.per_second:.2f} |" for one in scaling),
        "",
    ]
    if samples := facts["memory_mb"]:
        third = max(1, len(samples) // 3)
        first = max(mb for _, mb in samples[:third])
        last = max(mb for _, mb in samples[-third:])
        lines += [
            f"Memory of all processes over {facts['memory_images']:,} small images: at most "
            f"{first:,.0f} MB in the first third, {last:,.0f} MB in the last.",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
