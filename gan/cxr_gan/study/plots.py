"""Pictures of the effects. None of them shows a radiograph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_gan.study.effects import MEANS, Effect
from cxr_gan.study.outcome import Outcome
from cxr_gan.study.plan import Share
from cxr_gan.study.rows import ALL, RARE

_DPI = 110
_COLUMNS = 5


def draw_effects(outcome: Outcome, target: Path) -> None:
    """A panel for each arm: its gain over real images alone, label by label, rare labels first."""
    arms = [name for name in outcome.plan.arms if name != outcome.plan.reference]
    rare = outcome.rare.judged_rare
    others = [label for label in outcome.rare.judged if label not in rare]
    figures = [RARE, ALL, *(x.value for x in rare), *(x.value for x in others)]
    lines = -(-len(arms) // _COLUMNS)
    size = (3.0 * _COLUMNS, lines * (0.26 * len(figures) + 1.2))
    picture = Figure(figsize=size, layout="constrained")
    panels = picture.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, arms, strict=False):
        _draw_arm(panel, [outcome.effect(name, figure) for figure in figures], len(rare))
        panel.set_title(outcome.plan.arms[name].says, fontsize=8)
    for panel in panels[len(arms) :]:
        panel.axis("off")
    panels[0].set_yticks(range(len(figures)), [x.replace("_", " ") for x in figures], fontsize=7)
    panels[0].invert_yaxis()
    picture.supxlabel("gain in AUROC over real images alone, 95% intervals", fontsize=9)
    picture.savefig(target, dpi=_DPI)


def _draw_arm(panel: Axes, effects: Sequence[Effect], n_rare: int) -> None:
    for place, effect in enumerate(effects):
        if effect.gain is None:
            continue
        found = effect.gain.interval
        error = [[found.value - found.low], [found.high - found.value]]
        colour = "C3" if effect.figure == RARE or 2 <= place < 2 + n_rare else "C0"
        marker = "D" if effect.figure in MEANS else "o"
        panel.errorbar(found.value, place, xerr=error, fmt=marker, color=colour, markersize=4)
    panel.axvline(0, color="0.5", linewidth=0.8)
    panel.grid(axis="x", alpha=0.3)
    panel.tick_params(labelsize=7)


def draw_dose(outcome: Outcome, target: Path) -> None:
    """The effect over the number of added images; controls as marks beside."""
    picture = Figure(figsize=(8, 4.8), layout="constrained")
    panel = picture.subplots()
    # The second a little aside, or its bars would hide the first's.
    aside = max(outcome.rare.added(_share(outcome, name)) for name in outcome.plan.dose) / 100
    for figure, colour, by in ((RARE, "C3", 0.0), (ALL, "C0", aside)):
        shares = [(outcome.rare.added(_share(outcome, name)), name) for name in outcome.plan.dose]
        effects = [(n, outcome.effect(name, figure)) for n, name in sorted(shares)]
        places = [0, *(n for n, _ in effects)]
        found = [effect.gain.interval for _, effect in effects if effect.gain is not None]
        values = np.array([0.0, *(x.value for x in found)])
        low = values - np.array([0.0, *(x.low for x in found)])
        high = np.array([0.0, *(x.high for x in found)]) - values
        moved = np.array(places) + by
        panel.errorbar(moved, values, yerr=[low, high], fmt="o-", color=colour, label=figure)
    for name, marker in zip(_beside(outcome), "sX^v", strict=False):
        effect = outcome.effect(name, RARE)
        if effect.gain is not None:
            place = outcome.rare.added(_share(outcome, name))
            says = f"{outcome.plan.arms[name].says}, {RARE}"
            panel.plot(place, effect.gain.interval.value, marker, color="0.35", label=says)
    panel.axhline(0, color="0.5", linewidth=0.8)
    panel.set_xlabel(f"synthetic images added ({outcome.plan.dose_of})")
    panel.set_ylabel("gain in AUROC")
    picture.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    panel.grid(alpha=0.3)
    picture.savefig(target, dpi=_DPI)


def _share(outcome: Outcome, name: str) -> Share:
    return outcome.plan.arms[name].share or 0.0


def _beside(outcome: Outcome) -> list[str]:
    """Arms that add as many images in another way."""
    return [
        name for name, arm in outcome.plan.arms.items() if arm.shuffled or arm.kind == "oversampled"
    ]
