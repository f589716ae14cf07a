"""The study from its first training to its page; what is done already is not done again."""

from collections.abc import Mapping
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.judging.rows import read_rows as read_judged
from cxr_gan.sampling.writing import MANIFEST_CSV
from cxr_gan.study.answers import Answers, read_answers
from cxr_gan.study.effects import draws_of, effects_of, write_effects
from cxr_gan.study.outcome import Outcome
from cxr_gan.study.page import page
from cxr_gan.study.plan import BALANCE
from cxr_gan.study.plots import draw_dose, draw_effects
from cxr_gan.study.preparing import Prepared, oversampling_override
from cxr_gan.study.progress import Run, progress_in
from cxr_gan.study.rows import ALL, RARE, RunRow, append_rows, rows_of, write_rows
from cxr_gan.study.running import run_all
from cxr_gan.study.training import Task, real_images
from cxr_training.data.collection import describe_sources
from cxr_training.data.splits import Split

PAGE_NAME, FOLDER_NAME = "gan-study.md", "gan-study"


def run_study(prepared: Prepared) -> None:
    """Train what is left. `runs.csv` in the study's folder has the rows of all that is over."""
    request, rare = prepared.request, prepared.rare
    over: list[RunRow] = []
    left: list[Task] = []
    for task in prepared.tasks:
        answers = read_answers(task.folder)
        if answers is None:
            left.append(task)
        else:
            over += rows_of(task.name, task.seed, answers, rare)
    # Anew from the trainings themselves: one that was killed before its last row has all of them.
    write_rows(over, request.out)
    arms = list(request.plan.arms)
    print(progress_in(request.out, arms, request.seeds, request.jobs).table(), flush=True)
    if left:
        # Before any training starts: all of them read what is decoded here.
        real_images(left[0])
    for task in run_all(left, request.jobs):
        rows = rows_of(task.name, task.seed, _answers(task), rare)
        append_rows(rows, request.out)
        means = {row.label: row.auroc for row in rows if row.auroc is not None}
        standing = progress_in(request.out, arms, request.seeds, request.jobs).standing()
        print(
            f"{task.name}, seed {task.seed}: mean AUROC {means[ALL]:.3f}, of the rare labels "
            f"{means[RARE]:.3f}; {standing}",
            flush=True,
        )


def write_results(prepared: Prepared, results: Path, judged: Path) -> Path:
    """The page, the CSV files and the pictures under `results`; the page.

    Args:
        prepared: a study whose trainings are over.
        results: folder of all results.
        judged: results of `cxr-gan judge`, for what the generators remember.

    Raises:
        GanError: a training is not over; the folder cannot be written.
    """
    answers = {(task.name, task.seed): _answers(task) for task in prepared.tasks}
    outcome = outcome_of(prepared, answers)
    rows = [
        row
        for (name, seed), one in answers.items()
        for row in rows_of(name, seed, one, prepared.rare)
    ]
    folder, target = results / FOLDER_NAME, results / PAGE_NAME
    try:
        write_rows(rows, folder)
        write_effects(outcome.effects, folder)
        draw_effects(outcome, folder / "effects.png")
        draw_dose(outcome, folder / "dose.png")
        text = page(outcome, prepared.generators, read_judged(judged), FOLDER_NAME)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GanError(f"{results} cannot be written: {error.strerror or error}") from error
    return target


def outcome_of(prepared: Prepared, answers: Mapping[Run, Answers]) -> Outcome:
    """The effects, and what the page says beside them."""
    request, samples = prepared.request, prepared.samples
    resamples = prepared.config.evaluation.resamples
    draws = {
        name: draws_of([answers[name, seed] for seed in request.seeds], prepared.rare, resamples)
        for name in request.plan.arms
    }
    validation = samples.rows(Split.VALIDATION)
    return Outcome(
        plan=request.plan,
        seeds=request.seeds,
        rare=prepared.rare,
        effects=tuple(effects_of(request.plan, draws, prepared.rare)),
        side_px=prepared.config.input.width_px,
        n_training=len(samples.rows(Split.TRAIN)),
        n_validation=len(validation),
        n_patients=len(set(samples.patients[validation].tolist())),
        resamples=resamples,
        sources=tuple(describe_sources(request.nih, request.manifests)),
        retrain={
            task.name: retraining(task)
            for task in prepared.tasks
            if task.seed == request.seeds[0] and task.name in request.plan.candidates
        },
        smoke=request.smoke,
    )


def retraining(task: Task) -> str:
    """The commands that train the published recipe as the arm was; `$STUDY` is the study's folder.

    `$TRAIN` and `$DATA` as in docs/training.md.
    """
    arm, out = task.wanted.arm, f"runs/classifier-{task.name}"
    train = "$TRAIN train --config training/configs/classifier.yaml --data $DATA"
    evaluate = f"$TRAIN evaluate --data $DATA --out {out}"
    manifest = f"--manifest $STUDY/synthetic/{task.name}/{task.synthetic.name}/{MANIFEST_CSV}"
    if arm.kind == "oversampled":
        override = oversampling_override(task.wanted.rare.totals(arm.share or BALANCE))
        return f"{train} --set '{override}' --out {out}\n{evaluate}"
    if arm.kind == "pretrained":
        first = (
            f"{train} {manifest} --set members=1 --set training.shown=synthetic --out {out}-start"
        )
        return f"{first}\n{train} --start {out}-start/last.pt --out {out}\n{evaluate}"
    return f"{train} {manifest} --out {out}\n{evaluate} {manifest}"


def _answers(task: Task) -> Answers:
    answers = read_answers(task.folder)
    if answers is None:
        raise GanError(f"{task.name}, seed {task.seed} is not over: run `make gan-study` first")
    return answers
