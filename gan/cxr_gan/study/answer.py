"""The answer in three sentences, by rule from the figures, whichever way it falls."""

from collections.abc import Sequence

from cxr_gan.study.effects import Effect
from cxr_gan.study.outcome import Outcome
from cxr_gan.study.rows import ALL, RARE
from cxr_gan.study.statistics import Estimate

NO_DIFFERENCE = "no difference beyond chance"


def answer(outcome: Outcome) -> list[str]:
    """Three sentences: the rare labels; all labels and oversampling; the labels and the dose."""
    return [_on_the_rare(outcome), _on_all(outcome), _on_labels_and_dose(outcome)]


def signed(estimate: Estimate) -> str:
    """E.g. `+0.012 (-0.004 to +0.028)`."""
    found = estimate.interval
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _on_the_rare(outcome: Outcome) -> str:
    effects = [outcome.effect(name, RARE) for name in outcome.synthetic]
    if not effects:
        return "**No arm of this plan has synthetic radiographs**, so nothing is said of them."
    best, worst = _extremes(effects)
    winners, losers = _counts(effects)
    n = len(effects)
    if winners and losers:
        return (
            f"**It depends on the images**: of {n} arms with synthetic radiographs {winners} "
            f"{_verb(winners, 'gain')} and {losers} {_verb(losers, 'lose')} on the rare labels, "
            f"from {_said(outcome, worst)} to {_said(outcome, best)}."
        )
    if winners:
        return (
            f"**Yes, synthetic radiographs help the rare labels here**: {winners} of {n} arms with "
            f"them {_verb(winners, 'gain')} mean AUROC over real images alone, most "
            f"{_said(outcome, best)}."
        )
    if losers:
        return (
            f"**No, synthetic radiographs harm the rare labels here**: {losers} of {n} arms with "
            f"them {_verb(losers, 'lose')} mean AUROC against real images alone, most "
            f"{_said(outcome, worst)}, and none gains."
        )
    return (
        f"**No, nothing shows that synthetic radiographs help the rare labels here**: of {n} arms "
        "with them none differs from real images alone beyond chance, and the highest is "
        f"{_said(outcome, best)}."
    )


def _on_all(outcome: Outcome) -> str:
    effects = [outcome.effect(name, ALL) for name in outcome.synthetic]
    winners, losers = _counts(effects)
    if not effects:
        said = "nothing was tried with synthetic radiographs"
    elif winners or losers:
        said = (
            f"{winners} of them {_verb(winners, 'gain')} and {losers} {_verb(losers, 'lose')}, "
            f"from {_range(outcome, effects)}"
        )
    else:
        said = f"none of them makes a difference beyond chance, from {_range(outcome, effects)}"
    oversampled = [
        outcome.effect(name, RARE)
        for name, arm in outcome.plan.candidates.items()
        if arm.kind == "oversampled"
    ]
    also = "".join(
        f"; oversampling the same labels from real images makes {_verdict(effect)} on the rare "
        f"ones, {_figures(effect)}"
        for effect in oversampled
    )
    return f"Over all {len(outcome.rare.judged)} labels {said}{also}."


def _on_labels_and_dose(outcome: Outcome) -> str:
    parts = []
    for effect in outcome.label_effects(RARE):
        if effect.gain is None:
            continue
        found = effect.gain.interval
        matters = found.low > 0 or found.high < 0
        way = "for the better" if found.value > 0 else "for the worse"
        verdict = f"matter {way}" if matters else "make no difference beyond chance"
        parts.append(f"the labels of the images {verdict} (right less shuffled: {_number(effect)})")
    dose = [outcome.effect(name, RARE) for name in outcome.plan.dose]
    if len(dose) > 1:
        dose.sort(key=lambda effect: outcome.rare.added(outcome.plan.arms[effect.arm].share or 0))
        values = ", ".join(
            f"{effect.gain.interval.value:+.3f}" for effect in dose if effect.gain is not None
        )
        parts.append(f"from the fewest images to the most the effect is {values}")
    if not parts:
        return "No arm tells what the labels or the number of images do."
    return f"On the rare labels {', and '.join(parts)}."


def _extremes(effects: Sequence[Effect]) -> tuple[Effect, Effect]:
    """The best and the worst: of those beyond chance where there are any."""

    def value(effect: Effect) -> float:
        return effect.gain.interval.value if effect.gain else 0.0

    winners, losers = [x for x in effects if x.wins], [x for x in effects if x.loses]
    return max(winners or effects, key=value), min(losers or effects, key=value)


def _range(outcome: Outcome, effects: Sequence[Effect]) -> str:
    best, worst = _extremes(effects)
    return f"{_said(outcome, worst)} to {_said(outcome, best)}"


def _counts(effects: Sequence[Effect]) -> tuple[int, int]:
    return sum(x.wins for x in effects), sum(x.loses for x in effects)


def _said(outcome: Outcome, effect: Effect) -> str:
    return f"{_figures(effect)} by {outcome.plan.arms[effect.arm].says}"


def _figures(effect: Effect) -> str:
    p = "" if effect.p_holm is None else f", corrected p {effect.p_holm:.3f}"
    return f"{_number(effect)}{p}"


def _number(effect: Effect) -> str:
    return "–" if effect.gain is None else signed(effect.gain)


def _verdict(effect: Effect) -> str:
    if effect.wins:
        return "a gain"
    return "a loss" if effect.loses else NO_DIFFERENCE


def _verb(n: int, plural: str) -> str:
    return f"{plural}s" if n == 1 else plural
