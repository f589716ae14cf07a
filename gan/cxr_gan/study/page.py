"""`gan-study.md`: question, method, answer, figures, limits; made from the outcome alone."""

from collections.abc import Mapping

from cxr_gan.judging.report import verdict
from cxr_gan.judging.rows import Row
from cxr_gan.study.answer import answer, signed
from cxr_gan.study.card import teacher_in_words
from cxr_gan.study.effects import Effect
from cxr_gan.study.generators import Generator
from cxr_gan.study.outcome import Outcome
from cxr_gan.study.rows import ALL, RARE
from cxr_training.data.collection import NIH_SOURCE
from cxr_training.report.tables import format_interval, markdown_table

_METHOD = """\
Every arm is the published classifier's recipe on a smaller budget: {steps} steps of the optimiser,
batch size and schedule the same in each, {seeds} seeds ({seed_list}), at {side} px. Arms differ in
the images alone. {sources}: {n_training:,} real images of training patients, judged on
{n_validation:,} real images of {n_patients:,} validation patients. Synthetic images only train.

**Rare** are the {n_rare} labels with the fewest positive training images, of those that are learned
from files of every size: {rare}. A label with fewer than {least} positive validation images is
not judged{unjudged}. *Balance*: each rare label has {balance_to} images, as many as the median
label among the others. An added synthetic image carries the findings of the real one that
oversampling repeats in its place, so both add the same labels.

**Intervals and p values** take patients ({resamples} resamples of the validation patients, the same
for all arms) and seeds as random, by the mixed model of multi-reader studies: they hold for other
patients of this kind and other trainings, not for another generator. p is two-sided and corrected
by Holm over all arms and both means. An arm wins with a corrected p below 0.05 in one mean and no
loss in the other."""
_LIMITS = """\
- Small by design: {side} px, one small network, {steps} steps. What needs fine detail is not there,
  and a longer training may use images otherwise.
- {n_seeds} seeds: a small effect may have been missed. The intervals say how large one could be.
- One set of weights of each generator: another training of it might do better or worse.
- The images stand for the generator's training radiographs, which the classifier sees as well. They
  bring no new patient.
- A network may tell synthetic from real and so learn that the one shows rare labels. All images
  have one size and one augmentation; the arm with shuffled labels shows what is left."""
_NIH_LIMIT = "- NIH's labels were mined from reports (about 90% right), of one hospital."


def page(
    outcome: Outcome, generators: Mapping[str, Generator], judged: list[Row], pictures: str
) -> str:
    """The page, in Markdown.

    Args:
        outcome: of the study.
        generators: by the plan's names.
        judged: rows of `cxr-gan judge`, of any generators.
        pictures: folder of CSV files and pictures, as the page links to it.
    """
    parts = [
        "# Do synthetic radiographs help the rare findings?",
        "Made by `make gan-study`; how: [gan-study.md](../gan-study.md)."
        + (" **A smoke run: its figures mean nothing.**" if outcome.smoke else ""),
        "## Question",
        "Does a classifier of chest radiographs find rare findings better when images from a DCGAN "
        "or a PGGAN are added to its training, than from real images alone or from the same real "
        "images oversampled?",
        "## Answer",
        " ".join(answer(outcome)),
        "## Method",
        _method(outcome),
        *_teacher(outcome, generators),
        "## Mean AUROC of each arm",
        _means_table(outcome),
        f"![Gain in AUROC of each arm, label by label, with 95% intervals]({pictures}/effects.png)",
        f"![Effect by the number of synthetic images]({pictures}/dose.png)",
        "## AUROC of each label",
        _labels_table(outcome),
        "## Are the generators' images copies?",
        *_memory(outcome, generators, judged),
        "## What follows for the published classifier",
        _consequence(outcome),
        "## Limits",
        _limits(outcome),
        "## Files",
        f"[{pictures}/runs.csv]({pictures}/runs.csv): a row for each arm, seed and label. "
        f"[{pictures}/effects.csv]({pictures}/effects.csv): the effects, with the standard errors "
        "that seeds and patients make.",
    ]
    return "\n\n".join(parts) + "\n"


def _method(outcome: Outcome) -> str:
    rare, plan = outcome.rare, outcome.plan
    left_out = [x for x in rare.training if x not in rare.judged]
    counts = ", ".join(
        f"{_shown(x)} ({rare.training[x]} training, {rare.validation[x]} validation)"
        for x in rare.labels
    )
    return _METHOD.format(
        steps=plan.steps,
        seeds=len(outcome.seeds),
        seed_list=", ".join(map(str, outcome.seeds)),
        side=outcome.side_px,
        sources="; ".join(outcome.sources),
        n_training=outcome.n_training,
        n_validation=outcome.n_validation,
        n_patients=outcome.n_patients,
        n_rare=len(rare.labels),
        rare=counts,
        least=plan.rare.least_validation,
        unjudged=f" ({', '.join(map(_shown, left_out))})" if left_out else "",
        balance_to=rare.balance_to,
        resamples=outcome.resamples,
    )


def _teacher(outcome: Outcome, generators: Mapping[str, Generator]) -> list[str]:
    return [
        f"**{arm.says}.** {teacher_in_words(arm, outcome.rare, outcome.plan.pool)}"
        for arm in outcome.synthetic.values()
        if arm.generator is not None
        and arm.generator in generators
        and not generators[arm.generator].has_labels
    ]


def _means_table(outcome: Outcome) -> str:
    header = ["arm", "images added", "mean of the rare", "gain", "corrected p"]
    header += ["mean of all", "gain", "corrected p"]
    lines = []
    for name, arm in outcome.plan.arms.items():
        line = [arm.says, _added(outcome, name)]
        for figure in (RARE, ALL):
            effect = outcome.effect(name, figure)
            line += [format_interval(effect.auroc), *_gain_cells(effect)]
        lines.append(line)
    return markdown_table(header, lines)


def _added(outcome: Outcome, name: str) -> str:
    arm = outcome.plan.arms[name]
    if arm.share is not None:
        return f"{outcome.rare.added(arm.share):,}"
    if arm.kind == "pretrained":
        return f"{outcome.plan.pretraining.images:,} before"
    return "–"


def _gain_cells(effect: Effect) -> list[str]:
    if effect.gain is None or effect.p_holm is None:
        return ["–", "–"]
    mark = "**" if effect.wins or effect.loses else ""
    return [f"{mark}{signed(effect.gain)}{mark}", f"{effect.p_holm:.3f}"]


def _labels_table(outcome: Outcome) -> str:
    arms = list(outcome.plan.arms)
    header = ["label", "positives", outcome.plan.reference]
    header += [x for x in arms if x != outcome.plan.reference]
    lines = []
    for label in outcome.rare.judged:
        name = f"**{_shown(label)}**" if label in outcome.rare.labels else _shown(label)
        line = [name, str(outcome.rare.validation[label])]
        for arm in header[2:]:
            effect = outcome.effect(arm, label.value)
            gain = effect.gain
            line.append(format_interval(effect.auroc) if gain is None else signed(gain))
        lines.append(line)
    note = (
        "AUROC from real images alone, and what each arm gains over it; the rare labels are bold. "
        "Single labels are not corrected for their number: read them as hints."
    )
    return f"{note}\n\n{markdown_table(header, lines)}"


def _memory(outcome: Outcome, generators: Mapping[str, Generator], judged: list[Row]) -> list[str]:
    """For each generator, whether it remembers, beside what its images do."""
    said = []
    for name, generator in generators.items():
        weights = generator.identity.sha256[:12]
        figures = [row.judged_figure() for row in judged if row.weights == weights]
        remembered = (
            verdict(name, figures)
            if figures
            else f"**{name}** was not judged: `./cxr-gan judge` tells."
        )
        effects = "; ".join(
            f"{arm.says} {signed(gain)}"
            for arm_name, arm in outcome.synthetic.items()
            if arm.generator == name and (gain := outcome.effect(arm_name, RARE).gain) is not None
        )
        said.append(f"{remembered} Its effect on the rare labels: {effects}.")
    return said or ["No arm uses a generator."]


def _consequence(outcome: Outcome) -> str:
    if not outcome.winners:
        return (
            "**None: no arm wins with a corrected p below 0.05.** The published classifier stays "
            "as it is, and is not trained again."
        )
    parts = [
        f"**{outcome.plan.arms[name].says}** wins with a corrected p below 0.05. The recipe is "
        "trained again with it, and republished only if its mean AUROC on validation patients is "
        f"above the published one's:\n\n```\n{outcome.retrain[name]}\n```"
        for name in outcome.winners
    ]
    return "\n\n".join(parts)


def _limits(outcome: Outcome) -> str:
    limits = _LIMITS.format(
        side=outcome.side_px, steps=outcome.plan.steps, n_seeds=len(outcome.seeds)
    )
    return f"{limits}\n{_NIH_LIMIT}" if NIH_SOURCE in outcome.sources else limits


def _shown(label: str) -> str:
    return label.replace("_", " ")
