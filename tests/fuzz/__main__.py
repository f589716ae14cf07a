"""Decode a given number of broken files; write what came of them to `docs/results/fuzz/`.

Goes on where it stopped. Exits with 1 if an input was neither read nor refused, ended its decoder,
or took more than `SLOWEST_S`.
"""

import argparse
import ctypes
import json
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging.decoders import WorkerDecoder
from fuzz.mutation import MUTATIONS, mutated
from support.surviving import survives

SLOWEST_S = 10.0
# So many inputs run in one process: a leak would show, and a process that ends costs little.
BLOCK = 5_000


@dataclass
class Block:
    """Inputs of one kind, `first` to `first + count - 1`, and what came of them."""

    kind: str
    first: int
    count: int
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0
    failures: list[str] = field(default_factory=list)


def _run(block: Block, at: "Synchronized[int]", answer: Connection) -> None:
    """In a process of its own, before a decoder process of its own: decode the inputs."""
    warnings.simplefilter("ignore")
    failed: list[int] = []
    settings = GatewaySettings()
    decoder = WorkerDecoder(
        1,
        memory_bytes=settings.decoder_memory_mb * 1_000_000,
        cpu_s=settings.decoder_cpu_s,
        on_failure=lambda: failed.append(at.value),
    )
    started = time.perf_counter()
    for seed in range(block.first, block.first + block.count):
        at.value = seed
        data = mutated(block.kind, seed)
        began = time.perf_counter()
        try:
            outcome = survives(data, decoder)
            block.outcomes[outcome] = block.outcomes.get(outcome, 0) + 1
        except BaseException:  # whatever it is, it is what is looked for
            block.failures.append(f"seed {seed}: {traceback.format_exc(limit=-3)}")
        took = time.perf_counter() - began
        block.slowest_s = max(block.slowest_s, took)
        if took > SLOWEST_S:
            block.failures.append(f"seed {seed}: took {took:.1f} s")
        [worker] = decoder.idle
        if worker.alive:
            block.peak_bytes = max(block.peak_bytes, _peak_bytes(worker.pid))
    block.failures += [f"seed {seed}: the decoder failed" for seed in failed]
    block.seconds = time.perf_counter() - started
    decoder.close()
    answer.send(block)


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def run_apart(block: Block) -> Block:
    """`block` with its results; a process that ended by itself is a failure of the input it had."""
    context = multiprocessing.get_context("fork")
    at = context.Value(ctypes.c_longlong, block.first)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(block, at, theirs))
    process.start()
    theirs.close()
    try:
        done: Block = ours.recv()
    except EOFError:
        process.join()
        block.failures.append(f"seed {at.value}: the process ended with {process.exitcode}")
        return block
    process.join()
    return done


def blocks(inputs: int, done: int) -> Iterator[Block]:
    """What is left of `inputs`, the kinds in turn, after the first `done` blocks."""
    each = -(-inputs // len(MUTATIONS))
    starts = [(kind, first) for first in range(0, each, BLOCK) for kind in MUTATIONS]
    for kind, first in starts[done:]:
        yield Block(kind, first, min(BLOCK, each - first))


def table(results: list[Block], command: str) -> str:
    """What came of all inputs, as Markdown."""
    lines = [
        "# Decoding what is broken",
        "",
        f"Made by `{command}`: real DICOM, PNG and JPEG files, broken in ways that get past check"
        " sums and length fields, given to a decoder process as it is deployed. An input is read as"
        " a sound image or refused with a sentence; anything else, a decoder that fails or is out"
        f" of memory, or more than {SLOWEST_S:.0f} s for one input is a failure. Memory is the"
        " decoder's, 85 MB of it before the first input.",
        "",
        "| inputs | number | read | refused: not an image | refused: not readable"
        " | refused: too large | failures | slowest, ms | most memory, MB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for kind in (*MUTATIONS, ""):
        of_kind = [block for block in results if kind in ("", block.kind)]
        outcomes: Counter[str] = Counter()
        for block in of_kind:
            outcomes.update(block.outcomes)
        numbers = [
            sum(block.count for block in of_kind),
            *(outcomes[name] for name in ("read", "UnsupportedMedia", "Unprocessable")),
            outcomes["PayloadTooLarge"],
            sum(len(block.failures) for block in of_kind),
            round(1000 * max((block.slowest_s for block in of_kind), default=0)),
            round(max((block.peak_bytes for block in of_kind), default=0) / 1e6),
        ]
        lines.append(f"| {kind or 'all'} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, required=True, help="how many, over all kinds")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--state", type=Path, required=True, help="where finished blocks are kept")
    parser.add_argument("--results", type=Path, help="folder of the table")
    arguments = parser.parse_args()
    results: list[Block] = []
    if arguments.state.exists():
        rows = [json.loads(line) for line in arguments.state.read_text().splitlines()]
        results = [Block(**row) for row in rows]
    left = list(blocks(arguments.inputs, len(results)))
    arguments.state.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.processes) as pool, arguments.state.open("a") as state:
        for block in pool.map(run_apart, left):
            results.append(block)
            state.write(json.dumps(asdict(block)) + "\n")
            state.flush()
            print(f"{block.kind} {block.first}: {block.outcomes}", *block.failures, sep="\n")
    text = table(results, f"make fuzz EXAMPLES={arguments.inputs}")
    print(text)
    if arguments.results:
        arguments.results.mkdir(parents=True, exist_ok=True)
        (arguments.results / "README.md").write_text(text)
    return int(any(block.failures for block in results))


if __name__ == "__main__":
    sys.exit(main())
