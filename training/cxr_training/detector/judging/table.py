"""What the CSVs say, as the page and the plots ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_contracts import MetricRow
from cxr_training.detector.judging.joined import JoinedRow
from cxr_training.report.tables import format_interval


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A line of `models.csv`; every cell is text."""

    model: str
    version: str
    default: str
    """`yes`, or nothing."""
    architecture: str
    input_px: str
    boxes: str
    """The sets that it learnt from, with a space between."""
    regions: str
    start: str
    trained_on: str
    """Radiographs."""
    members: str
    """Of a fused model, with a space between; else nothing."""
    parameters: str
    onnx_ms: str
    torch_ms: str
    weights: str
    """sha256, as the next two."""
    onnx: str
    split: str

    @property
    def n_regions(self) -> int:
        """How many kinds of region it knows."""
        return len(self.regions.split())


@dataclass(frozen=True, slots=True)
class Results:
    """All models."""

    models: Sequence[ModelLine]
    figures: Mapping[str, Sequence[MetricRow]]
    """By model."""
    joined: Sequence[JoinedRow]
    reference: str
    """The model over which the others' gains are."""

    def row(self, model: str, name: str, subset: str) -> MetricRow | None:
        """A figure of a model, or None."""
        for row in self.figures.get(model, ()):
            if (row.name, row.subset) == (name, subset):
                return row
        return None

    def cell(self, model: str, name: str, subset: str) -> str:
        """The figure with its interval, or a dash."""
        row = self.row(model, name, subset)
        return "-" if row is None else format_interval(row.result)
