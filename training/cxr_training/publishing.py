"""Writing a model folder: the parts that every role shares."""

import hashlib
from pathlib import Path

import numpy as np

from cxr_contracts import MANIFEST_NAME, Interval, MetricRow, ModelFile, ModelManifest

WEIGHTS_NAME = "weights.safetensors"
ONNX_NAME = "model.onnx"
CARD_NAME = "MODEL_CARD.md"
LICENCE = "AGPL-3.0-or-later"
# Two runtimes of one model may differ by this much and no more.
RUNTIME_TOLERANCE = 1e-3


class PublishError(RuntimeError):
    """The model is not fit to be published; the message says why."""


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_file(path: Path) -> ModelFile:
    """A file of a model folder as the manifest names it."""
    return ModelFile(path=path.name, sha256=sha256_of(path), bytes=path.stat().st_size)


def check_same_answers(
    name: str, torch_output: np.ndarray, onnx_output: np.ndarray, *, relative: bool = False
) -> None:
    """Raise PublishError where the ONNX file answers otherwise than the weights it came from.

    `relative`: to the largest figure of `torch_output`, where that is above 1. An activation map
    may reach hundreds of logits whose mean is small, and float32 rounds in proportion.
    """
    largest = float(np.abs(torch_output).max(initial=1.0)) if relative else 1.0
    same_shape = torch_output.shape == onnx_output.shape
    gap = float(np.abs(torch_output - onnx_output).max(initial=0.0)) if same_shape else np.inf
    if not (np.isfinite(gap) and gap <= RUNTIME_TOLERANCE * largest):
        raise PublishError(
            f"{name}: ONNX {onnx_output.shape} differs from PyTorch {torch_output.shape} by {gap}"
        )


def write_manifest(manifest: ModelManifest, folder: Path) -> Path:
    """Write `manifest.json` into a model folder."""
    path = folder / MANIFEST_NAME
    path.write_text(manifest.model_dump_json(indent=2) + "\n")
    return path


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of a model folder."""
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())


def metric_row(
    name: str,
    subset: str,
    result: Interval | float | None,
    *,
    n: int,
    n_positive: int | None,
    split: str = "validation",
) -> list[MetricRow]:
    """One row, or none where the figure is not defined; a bare figure is its own interval."""
    if result is None or (isinstance(result, float) and np.isnan(result)):
        return []
    interval = (
        result if isinstance(result, Interval) else Interval(value=result, low=result, high=result)
    )
    rounded = Interval(**{key: round(value, 4) for key, value in interval.model_dump().items()})
    return [
        MetricRow(name=name, subset=subset, split=split, result=rounded, n=n, n_positive=n_positive)
    ]


def differing_figures(
    published: list[MetricRow], measured: list[MetricRow], tolerance: float
) -> list[str]:
    """What was measured otherwise than it was published, a sentence each; empty if nothing was.

    Args:
        published: rows of a manifest.
        measured: the same figures, measured again.
        tolerance: the largest difference of a value or of an end of its interval that is let pass.
    """
    again = {(row.name, row.subset, row.split): row for row in measured}
    sentences = []
    for row in published:
        what = f"{row.name} of {row.subset}"
        found = again.pop((row.name, row.subset, row.split), None)
        if found is None:
            sentences.append(f"{what}: published, but not measured")
            continue
        gaps = [
            abs(getattr(row.result, end) - getattr(found.result, end))
            for end in ("value", "low", "high")
        ]
        if (row.n, row.n_positive) != (found.n, found.n_positive):
            sentences.append(
                f"{what}: published of {row.n} ({row.n_positive}), "
                f"measured of {found.n} ({found.n_positive})"
            )
        elif not max(gaps) <= tolerance:
            sentences.append(
                f"{what}: published {format_interval(row.result, 4)}, "
                f"measured {format_interval(found.result, 4)}"
            )
    sentences += [f"{name} of {subset}: measured, but not published" for name, subset, _ in again]
    return sentences


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_interval(result: Interval, digits: int = 3) -> str:
    """E.g. `0.812 (0.780 to 0.841)`; the figure alone where it carries no interval."""
    value = f"{result.value:.{digits}f}"
    if result.low == result.high:
        return value
    return f"{value} ({result.low:.{digits}f} to {result.high:.{digits}f})"
