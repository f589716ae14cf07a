"""The gate's results as one picture: what is refused, and how far the scores stand apart."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from cxr_training.gate.evaluation import Outcome, ResultRow


def draw_results(
    rows: Sequence[ResultRow], outcomes: Sequence[Outcome], threshold: float, path: Path
) -> None:
    """Write the plot as PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.auroc is not None and row.kind != "all"]
    shown = [row for row in rows if row.auroc is None and "=" not in row.kind] + shown
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 0.2 * len(shown) + 1.5), width_ratios=(3, 2), layout="constrained"
    )
    sources = list({row.source: None for row in shown})
    for i, row in enumerate(shown):
        colour = f"C{sources.index(row.source)}"
        left.plot([row.refused.low, row.refused.high], [i, i], color=colour, lw=3, alpha=0.4)
        left.plot(row.refused.value, i, "o", color=colour, ms=4)
    left.set_yticks(range(len(shown)), [f"{row.kind} ({row.n})" for row in shown], fontsize=7)
    left.invert_yaxis()
    left.set(xlabel="share refused, with 95% interval", xlim=(-0.02, 1.02))
    left.grid(axis="x", alpha=0.3)
    for source in sources:
        scores = [outcome.score for outcome in outcomes if outcome.source == source]
        colour = f"C{sources.index(source)}"
        right.hist(
            scores,
            bins=np.linspace(0, 1, 41).tolist(),
            density=True,
            histtype="step",
            lw=1.5,
            color=colour,
            label=source,
        )
    right.axvline(threshold, color="black", ls="--", lw=1)
    right.set(xlabel="score", ylabel="density (log)", yscale="log")
    right.legend(fontsize=8, loc="upper center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
