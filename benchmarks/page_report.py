"""Turns a run of `benchmarks.page` into `docs/results/page/`, and says if the limits are met."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_FIRST_VIEW_JS_BYTES = 150_000
# Of the frames of a screen of 60 Hz.
MIN_IN_TIME = 0.95
# What the gateway says of 10,000 studies, kept to be scrolled back to.
MAX_LIST_MB = 50
_SOURCES = re.compile(r'(?:src|href)="(/assets/[^"]+\.js)"')
# What a module asks for at once, and what it asks for when it runs.
_IMPORTS = re.compile(r'from\s*"(\./[^"]+\.js)"|import\s*"(\./[^"]+\.js)"')
_HOW = (
    "Times to paint are medians of fresh browser profiles. Pointer work is the processor time of "
    "the page's main thread between two frames, from the browser's own trace: scripts, style, "
    "layout and paint together. Memory is that of the page's scripts after garbage was collected. "
    "Scripts are measured as `gzip` compresses them.",
)
_ENTRANCE = re.compile(r"Entrance-[\w-]+\.js")


def first_view_scripts(page_dir: Path) -> dict[str, int]:
    """The scripts of the first view in English, by name, with their sizes under gzip in bytes.

    What `index.html` names, the part behind the entrance, and all that those import at once.
    """
    assets = page_dir / "assets"
    named = _SOURCES.findall((page_dir / "index.html").read_text())
    entrances = [path for path in assets.iterdir() if _ENTRANCE.fullmatch(path.name)]
    waiting = [*(page_dir / name.lstrip("/") for name in named), *entrances]
    sizes: dict[str, int] = {}
    while waiting:
        path = waiting.pop().resolve()
        if path.name in sizes:
            continue
        text = path.read_text()
        sizes[path.name] = len(gzip.compress(text.encode(), mtime=0))
        for groups in _IMPORTS.findall(text):
            waiting += [assets / one for one in groups if one]
    return sizes


def write(measured: Mapping[str, Any], studies: int, page_dir: Path, folder: Path) -> bool:
    """Write `README.md` and `page.json`; whether every limit is met."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts = first_view_scripts(page_dir)
    rows = list(_rows(measured, sum(scripts.values())))
    lines = [
        "# The page in a real browser",
        "",
        f"`make bench-page`, {studies:,} studies in the archive, Chromium {measured['browser']} "
        f"without a graphics card, {measured['cores']} core(s), all on one machine.",
        "",
        "| what | limit | measured | met |",
        "|---|---|---|---|",
        *(
            f"| {what} | {limit} | {told} | {'yes' if met else '**no**'} |"
            for what, limit, told, met in rows
        ),
        "",
        *_HOW,
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))
    kept = {**measured, "studies": studies, "first_view_scripts_gzip_bytes": scripts}
    (folder / "page.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return all(met for *_, met in rows)


def _rows(measured: Mapping[str, Any], script_bytes: int) -> Iterator[tuple[str, str, str, bool]]:
    start, heap = measured["start"], measured["heap"]
    for what, limit_ms, found in (
        ("First paint of the list", 500, start["first_paint_ms"]),
        ("The list can be used", 1000, start["interactive_ms"]),
        ("Next image, fetched before, p95", 100, measured["next_image_ms"]["p95"]),
    ):
        yield what, f"{limit_ms} ms", f"{found:.0f} ms", found < limit_ms
    yield (
        "Scripts of the first view",
        f"{MAX_FIRST_VIEW_JS_BYTES // 1000} kB",
        f"{script_bytes / 1000:.0f} kB",
        script_bytes <= MAX_FIRST_VIEW_JS_BYTES,
    )
    for what, found in measured["pointer_ms"].items():
        yield (
            f"Pointer work a frame, p95: {what}",
            "8 ms",
            f"{found['p95']:.1f} ms",
            found["p95"] <= 8,
        )
    yield from _list_rows(measured["list"])
    first, last = heap[0], heap[-1]
    grown = last["mb"] / first["mb"] - 1
    yield (
        f"Memory, from {first['opened']} to {last['opened']} studies opened",
        "no growth (5%)",
        f"{first['mb']:.1f} to {last['mb']:.1f} MB, {first['nodes']} to {last['nodes']} nodes",
        grown < 0.05,
    )


def _list_rows(scrolled: Mapping[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """The whole list scrolled through twice; the first time its rows are read on the way."""
    for what in ("first", "second"):
        found = scrolled[what]
        yield (
            f"Frames in time at 60 a second: the whole list is scrolled through, the {what} time",
            f"{MIN_IN_TIME:.0%}",
            f"{found['in_time']:.1%} of {found['n']:,}; p95 {found['p95']:.1f} ms",
            found["in_time"] >= MIN_IN_TIME,
        )
    before, read, after = scrolled["before"], scrolled["read"], scrolled["after"]
    yield (
        "Memory, the list read to its end",
        f"{MAX_LIST_MB} MB more",
        f"{before['mb']:.1f} to {read['mb']:.1f} MB, {before['nodes']} to {read['nodes']} nodes",
        read["mb"] - before["mb"] <= MAX_LIST_MB,
    )
    yield (
        "Memory, the list scrolled through once more",
        "no growth (5%)",
        f"{read['mb']:.1f} to {after['mb']:.1f} MB, {read['nodes']} to {after['nodes']} nodes",
        after["mb"] / read["mb"] - 1 < 0.05,
    )
