"""Where a gateway's time goes, reading one upload after the other, now and at an earlier commit.

python -m benchmarks.flame_graphs COMMIT [--seconds 40]

py-spy looks at the gateway, and at the processes that decode for it, 200 times a second; threads
that wait are left out. Frames of libraries are left out but the innermost one. Writes
docs/results/speed/flame-graphs.png and .csv.
"""

import argparse
import csv
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend is chosen first
from matplotlib.axes import Axes

from benchmarks.images import sample_png, unique_pngs
from benchmarks.stack import ROOT, Stack
from benchmarks.versions import system, tree_of

PY_SPY = ROOT / ".venv-dev" / "bin" / "py-spy"
_RATE_HZ = 200
_FIRST = 10  # uploads that are not looked at
_OUT = Path("docs/results/speed")
# A thread that waits for work, in its innermost frame.
_WAITS = re.compile(
    r"(^(wait|_worker|select|accept|recv_into|poll) |^Runner\.run |^Condition\.wait |^serve )"
)
_OURS = re.compile(r"\((cxr_[^:)]*)")
# What every stack of a process begins with.
_OUTERMOST = frozenset({"<module>", "main", "serve"})
_LEAST_DRAWN_MS = 0.2
_FONT_PT, _WIDTH_IN = 6.5, 16.0
Stacks = Mapping[tuple[str, ...], float]


@dataclass
class Frame:
    """A function, and the milliseconds of an upload within it."""

    ms: float = 0.0
    inner: dict[str, "Frame"] = field(default_factory=dict)


def main() -> None:
    """Measure both, write the picture and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the earlier one")
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument(
        "--classifier", default="lite0-nih14", help="of models/classifier, in both versions"
    )
    options = parser.parse_args()
    measured = {}
    with tree_of(options.commit) as tree, tempfile.TemporaryDirectory() as name:
        for title, root in ((f"at {options.commit}", tree), ("now", ROOT)):
            with system(root, Path(name, title), options.classifier) as stack:
                measured[title] = sampled(stack, options.seconds)
    _OUT.mkdir(parents=True, exist_ok=True)
    draw(measured, _OUT / "flame-graphs.png")
    with (_OUT / "flame-graphs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["version", "stack", "ms_per_upload"])
        for title, stacks in measured.items():
            for stack_, ms in sorted(stacks.items(), key=lambda one: -one[1]):
                writer.writerow([title, ";".join(stack_), f"{ms:.2f}"])


def sampled(stack: Stack, seconds: int) -> Stacks:
    """Milliseconds of an upload by the stack of frames in which they pass, outermost first."""
    files, url = unique_pngs(sample_png()), f"{stack.url}/api/v1/studies"
    with (
        tempfile.TemporaryDirectory() as folder,
        httpx.Client(timeout=60.0, trust_env=False) as client,
    ):
        for _ in range(_FIRST):
            client.post(url, files={"file": next(files)}).raise_for_status()
        raw, uploads = Path(folder, "raw"), 0
        watched = [
            *("--pid", str(stack.pid("gateway")), "--subprocesses", "--threads", "--nonblocking"),
            *("--rate", str(_RATE_HZ), "--duration", str(seconds)),
            *("--format", "raw", "--function", "--output", str(raw)),
        ]
        spy = subprocess.Popen([str(PY_SPY), "record", *watched], stderr=subprocess.DEVNULL)
        while spy.poll() is None:
            client.post(url, files={"file": next(files)}).raise_for_status()
            uploads += 1
        if spy.returncode:
            raise RuntimeError(f"py-spy ended with {spy.returncode}: may it look at processes?")
        return stacks_of(raw.read_text().splitlines(), uploads)


def stacks_of(lines: Iterable[str], uploads: int) -> Stacks:
    """The milliseconds of an upload by stack, of py-spy's raw format: `frame;frame;... samples`."""
    found: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        frames, count = line.rsplit(" ", 1)
        thread, stack = _split(frames.split(";"))
        if stack and not _WAITS.search(stack[-1]):
            found[(thread, *_kept(stack))] += int(count)
    return {stack: count * 1000 / _RATE_HZ / uploads for stack, count in found.items()}


def _split(frames: Sequence[str]) -> tuple[str, list[str]]:
    """Which kind of thread of which process it is, and the frames within."""
    process = thread = ""
    within = list(frames)
    while within and within[0].startswith(("process ", "thread ")):
        head = within.pop(0)
        if head.startswith("process "):
            process = head
        else:
            thread = head
    if "decoder" in process or any("decoder_worker" in frame for frame in within):
        return "decoding processes", within
    kind = re.sub(r"(_\d+)?$", "", re.sub(r"^thread \(.*?\): ?", "", thread).strip('"'))
    return ("event loop" if kind in ("", "MainThread") else f"threads “{kind}”"), within


def _kept(stack: Sequence[str]) -> Iterator[str]:
    """The project's own functions, and the innermost one of a library."""
    for place, frame in enumerate(stack):
        name = re.sub(r" \(.*\)$", "", frame).replace(".<locals>", "")
        if (_OURS.search(frame) and name not in _OUTERMOST) or place == len(stack) - 1:
            yield name


def draw(measured: Mapping[str, Stacks], path: Path) -> None:
    """A flame graph for each version, one above the other, on one scale."""
    trees = {title: _tree(stacks) for title, stacks in measured.items()}
    heights = [_depth(tree) for tree in trees.values()]
    widest = max(tree.ms for tree in trees.values())
    figure, panels = plt.subplots(
        len(trees), 1, figsize=(_WIDTH_IN, 0.24 * sum(heights) + 1.6), layout="constrained",
        height_ratios=heights, sharex=True, squeeze=False,
    )  # fmt: skip
    for axes, (title, tree) in zip(panels[:, 0], trees.items(), strict=True):
        _draw_frames(axes, tree, 0.0, 0, widest * _FONT_PT / 72 * 0.6 / _WIDTH_IN)
        axes.set(title=f"{title}: {tree.ms:.0f} ms", yticks=[], ylim=(0, _depth(tree)))
        axes.spines[["left", "right", "top"]].set_visible(False)
    panels[-1, 0].set_xlim(0, widest)
    panels[-1, 0].set_xlabel("milliseconds of an upload, added up over threads and processes")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _tree(stacks: Stacks) -> Frame:
    root = Frame()
    for stack, ms in stacks.items():
        root.ms += ms
        frame = root
        for name in stack:
            frame = frame.inner.setdefault(name, Frame())
            frame.ms += ms
    return root


def _depth(frame: Frame) -> int:
    drawn = (1 + _depth(one) for one in frame.inner.values() if one.ms >= _LEAST_DRAWN_MS)
    return max(drawn, default=0)


def _draw_frames(axes: Axes, frame: Frame, left: float, level: int, letter_ms: float) -> None:
    """Draw what is within `frame`; a letter is so many milliseconds wide."""
    for name, one in sorted(frame.inner.items(), key=lambda item: -item[1].ms):
        if one.ms >= _LEAST_DRAWN_MS:
            # The same function has the same colour wherever it stands.
            colour = plt.get_cmap("YlOrRd")(0.2 + 0.4 * (sum(map(ord, name)) % 64) / 64)
            axes.barh(level + 0.5, one.ms, 0.92, left, color=colour)
            label = f"{one.ms:.1f} {name}"[: int(one.ms / letter_ms)]
            axes.text(left, level + 0.5, label, va="center", fontsize=_FONT_PT)
            _draw_frames(axes, one, left, level + 1, letter_ms)
            left += one.ms


if __name__ == "__main__":
    main()
