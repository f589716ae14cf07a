"""Two versions side by side: what an upload takes now, and took at an earlier commit.

python -m benchmarks.versions COMMIT [--images 80]

Both systems run at once and get each radiograph in turn, with a pause before each, so that nothing
of one is measured with the other. Writes docs/results/versions/.
"""

import argparse
import io
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.images import sample_png, unique_dicoms
from benchmarks.stack import ROOT, Stack

_PAUSE_S = 0.5
_FIRST = 4  # of each system, not counted
_DICOM_SIDE_PX = 1900
_RESAMPLED = 2000
_OUT = Path("docs/results/versions/README.md")
Times = NDArray[np.float64]


def main() -> None:
    """Measure both versions, write the table, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the earlier one")
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument(
        "--classifier", default="lite0-nih14", help="of models/classifier, in both versions"
    )
    options = parser.parse_args()
    commit = _git("rev-parse", "--short", options.commit)
    with (
        tree_of(commit) as tree,
        tempfile.TemporaryDirectory() as name,
        system(tree, Path(name, "before"), options.classifier) as before,
        system(ROOT, Path(name, "now"), options.classifier) as now,
    ):
        measured = {
            kind: _compared(before.url, now.url, make, options.images)
            for kind, make in _KINDS.items()
        }
    table = _report(measured, commit, options.images, options.classifier)
    _OUT.parent.mkdir(parents=True, exist_ok=True)
    _OUT.write_text(table)
    print(table)


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder that is there until the end of the block."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name, "tree")
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return told.stdout.strip()


def system(root: Path, folder: Path, classifier: str) -> Stack:
    """The services of the tree `root` with this classifier of its own; not begun yet.

    Args:
        root: whose code and models.
        folder: for archive and logs; it is made.
        classifier: of its models/classifier.
    """
    folder.mkdir()
    model = root / "models" / "classifier" / classifier
    stack = Stack(folder, {"CXR_CLASSIFIER_MODEL_DIR": str(model)}, root=root)
    # An earlier version may have no node, and uploads do not pass it.
    stack.services.pop("dicom", None)
    return stack


def _compared(before: str, now: str, make: Callable[[int], bytes], images: int) -> Times:
    """[images, 2]: milliseconds of an upload before and now."""
    times = []
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        for number in range(_FIRST + images):
            content, pair = make(number), [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                time.sleep(_PAUSE_S)
                started = time.perf_counter()
                url = f"{(before, now)[which]}/api/v1/studies"
                client.post(url, files={"file": content}).raise_for_status()
                pair[which] = (time.perf_counter() - started) * 1e3
            times.append(pair)
    return np.array(times[_FIRST:])


def _noisy(side_px: int, number: int) -> NDArray[np.float64]:
    """The public sample at this size, with noise of its own: 0 to 255."""
    image = Image.open(io.BytesIO(sample_png())).resize((side_px, side_px))
    noise = np.random.default_rng(number).integers(-3, 4, (side_px, side_px))
    clipped: NDArray[np.float64] = np.clip(np.asarray(image) + noise, 0, 255).astype(float)
    return clipped


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(_noisy(1024, number).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _dicom(number: int) -> bytes:
    values = (_noisy(_DICOM_SIDE_PX, number) * 16).astype(np.uint16)
    return next(unique_dicoms(values, bits=12))


_KINDS: Mapping[str, Callable[[int], bytes]] = {
    "PNG of 1024 x 1024 pixels": _png,
    "uncompressed DICOM of 1900 x 1900 pixels, 7 MB": _dicom,
}


def _report(measured: Mapping[str, Times], commit: str, images: int, classifier: str) -> str:
    rows = []
    for kind, times in measured.items():
        before, now = np.median(times, axis=0)
        picked = np.random.default_rng(0).integers(0, len(times), (_RESAMPLED, len(times)))
        medians = np.median(times[picked], axis=1)
        low, high = np.percentile(medians[:, 1] / medians[:, 0], (2.5, 97.5))
        rows.append(
            f"| {kind} | {before:.0f} ms | {now:.0f} ms | {now / before:.2f} ({low:.2f} to "
            f"{high:.2f}) |"
        )
    return "\n".join(
        [
            "# Two versions side by side",
            "",
            f"An upload to the whole system, at commit {commit} and now, both with the classifier "
            f"`{classifier}`: {images} images each, in turn, medians; in brackets the 95% interval "
            "of the ratio by resampling images. Two cores without a GPU.",
            "",
            f"Made by `python -m benchmarks.versions {commit} --images {images}`.",
            "",
            "| upload | before | now | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
