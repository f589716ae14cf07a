"""The study from its plan to its page; what is done already is not done again."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch

from cxr_gan.errors import GanError
from cxr_gan.study.page import Outcome, RunRow, rows_of, write_page, write_runs
from cxr_gan.study.plan import Arm, Plan, RareLabels, find_rare
from cxr_gan.study.statistics import ALL, RARE, draws_of, effects_of
from cxr_gan.study.synthetic import Generator, Wanted, find_generators
from cxr_gan.study.training import KEY, TEACHER, Predictions, Task, real_images, train_one
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.samples import Samples
from cxr_training.classifier.train import samples_of
from cxr_training.core.parallel import end_with_parent, usable_cores
from cxr_training.data.collection import describe_sources
from cxr_training.data.splits import Split, split_sha256


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    plan: Plan
    seeds: tuple[int, ...]
    nih: Path | None
    manifests: tuple[Path, ...]
    out: Path
    roots: tuple[Path, ...]
    """Where generators are looked for."""
    jobs: int
    threads: int | None
    smoke: bool
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """All trainings of a study, over or not."""

    request: Request
    samples: Samples
    rare: RareLabels
    generators: dict[str, Generator]
    tasks: tuple[Task, ...]
    """Seed by seed, so that a study that is stopped early has all arms of some seeds."""


def refuse_too_few_seeds(seeds: Sequence[int]) -> None:
    """Raise GanError where a training's luck could not be told from an effect."""
    if len(set(seeds)) < max(2, len(seeds)) or min(seeds) < 0:
        raise GanError(
            f"--seeds {','.join(map(str, seeds)) or 'none'}: an effect cannot be told from a "
            "training's luck by one seed, and no seed counts twice: run the study with two seeds "
            "or more, `--seeds 1,2,3`"
        )


def prepare(request: Request) -> Prepared:
    """The trainings of the study; everything that can be wrong is found before the first step.

    Raises:
        ConfigError, DataError, GanError, ModelFolderError: with a sentence on what to mend.
    """
    plan = request.plan
    refuse_too_few_seeds(request.seeds)
    generators = find_generators(plan, request.roots)
    config = plan.config(request.seeds[0], plan.steps, *request.overrides)
    samples = samples_of(config, request.nih, request.manifests)
    split = split_sha256(samples.patient_splits)
    for name, generator in generators.items():
        if generator.split_sha256 != split and not request.smoke:
            raise GanError(
                f"the generator {name} was trained on another data set or split, and may have been "
                f"shown validation patients: run `make train-gan GAN={name}` on this one first"
            )
    rare = find_rare(samples, plan.rare, config)
    for name, arm in plan.arms.items():
        if arm.share is not None and not rare.added(arm.share):
            raise GanError(f"arm {name} adds no image: its rare labels have as many already")
    prepared = Prepared(request, samples, rare, generators, ())
    tasks = [_task(prepared, name, seed) for seed in request.seeds for name in plan.arms]
    return replace(prepared, tasks=tuple(tasks))


def stages_of(
    plan: Plan, arm: Arm, seed: int, rare: RareLabels, overrides: Sequence[str] = ()
) -> tuple[ClassifierConfig, ...]:
    """What is trained one after the other, `plan.steps` steps in all."""
    if arm.kind == "pretrained":
        first = min(max(1, round(plan.steps * plan.pretraining.steps_share)), plan.steps - 1)
        return tuple(plan.config(seed, steps, *overrides) for steps in (first, plan.steps - first))
    if arm.kind == "oversampled":
        totals = {x.value: n for x, n in rare.totals(arm.share).items()}
        overrides = (*overrides, f"training.oversampled_to={json.dumps(totals)}")
    return (plan.config(seed, plan.steps, *overrides),)


def run_study(prepared: Prepared) -> None:
    """Train what is left. `runs.csv` in the study's folder has the rows of all that is over."""
    request = prepared.request
    left = [task for task in prepared.tasks if Predictions.read(task.folder) is None]
    _write_runs(prepared)
    print("\n".join(standing(request)), flush=True)
    if left:
        # Before any training starts: all of them read what is decoded here.
        real_images(left[0])
    for task in _run_all(left, request.jobs):
        rows = _write_runs(prepared)
        own = {x.label: x.auroc for x in rows if (x.arm, x.seed) == (task.name, task.wanted.seed)}
        print(
            f"{task.name}, seed {task.wanted.seed}: mean AUROC {own[ALL]:.3f}, of the rare labels "
            f"{own[RARE]:.3f}; {standing(request)[-1]}",
            flush=True,
        )


def standing(request: Request) -> list[str]:
    """A line for each arm (minutes of each seed, `begun`, or a dot), and what is left."""
    lines, seconds = [], []
    for arm in request.plan.arms:
        cells = []
        for seed in request.seeds:
            folder = run_folder(request.out, arm, seed)
            over = Predictions.read(folder)
            seconds += [] if over is None else [over.seconds]
            waiting = "begun" if (folder / KEY).exists() else "."
            cells.append(waiting if over is None else f"{over.seconds / 60:.1f} min")
        lines.append(f"{arm:<20}" + "".join(f"{cell:>10}" for cell in cells))
    total = len(request.plan.arms) * len(request.seeds)
    left = total - len(seconds)
    minutes = mean(seconds) * left / request.jobs / 60 if seconds and left else None
    when = "" if minutes is None else f", about {minutes:.0f} min"
    return [*lines, f"{len(seconds)} of {total} trainings done, {left} left{when}"]


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Of one training."""
    return out / "trainings" / arm / f"seed-{seed}"


def threads_of(jobs: int | None) -> tuple[int, int | None, tuple[str, ...]]:
    """How many trainings at once, the threads of each (None leaves them to PyTorch), overrides.

    Two networks on a core each train at nearly twice the pace of one on both. Trainings that
    share a GPU share the cores that load for it.
    """
    if jobs is not None and jobs < 1:
        raise GanError(f"--jobs {jobs}: at least one")
    cores = usable_cores()
    if not torch.cuda.is_available():
        jobs = jobs or cores
        return jobs, max(1, cores // jobs), ()
    if jobs in (None, 1):
        return 1, None, ()
    return jobs, None, (f"training.workers={max(0, cores // jobs - 1)}",)


def write_results(prepared: Prepared, results: Path) -> Path:
    """The page, the CSV files and the plot under `results`; the page. All trainings must be over."""
    request, samples, rare = prepared.request, prepared.samples, prepared.rare
    over = {(task.name, task.wanted.seed): Predictions.read(task.folder) for task in prepared.tasks}
    predictions = {key: one for key, one in over.items() if one is not None}
    if len(predictions) < len(over):
        raise GanError("not all trainings are over: run `make gan-study` first")
    config = prepared.tasks[0].stages[-1]
    resamples = config.evaluation.resamples
    draws = {
        name: draws_of([predictions[name, seed] for seed in request.seeds], rare, resamples)
        for name in request.plan.arms
    }
    outcome = Outcome(
        plan=request.plan,
        seeds=request.seeds,
        rare=rare,
        effects=tuple(effects_of(request.plan, draws, rare)),
        side_px=config.input.width_px,
        n_training=len(samples.rows(Split.TRAIN)),
        n_validation=len(samples.rows(Split.VALIDATION)),
        sources=tuple(describe_sources(request.nih, request.manifests)),
        smoke=request.smoke,
    )
    return write_page(outcome, _rows(prepared), results)


def _task(prepared: Prepared, name: str, seed: int) -> Task:
    request, samples, rare = prepared.request, prepared.samples, prepared.rare
    plan, arm = request.plan, request.plan.arms[name]
    generator = None if arm.generator is None else prepared.generators[arm.generator]
    stages = stages_of(plan, arm, seed, rare, request.overrides)
    wanted = Wanted(arm, seed, rare, plan.pretraining.images, plan.pool)
    key, folder = _key(wanted, stages, samples, generator), run_folder(request.out, name, seed)
    over, begun = Predictions.read(folder), folder / KEY
    found = over.key if over else begun.read_text().strip() if begun.exists() else key
    if found != key:
        raise GanError(
            f"{folder} holds a training of another plan, generator or data set: remove it, to "
            "train it again, or choose another --out"
        )
    return Task(
        name=name,
        wanted=wanted,
        stages=stages,
        samples=samples,
        cache=request.out / "cache",
        folder=folder,
        synthetic=request.out / "synthetic" / name / f"seed-{seed}-{key[:8]}",
        generator=generator,
        teacher=run_folder(request.out, plan.reference, seed) / TEACHER,
        key=key,
        threads=request.threads,
    )


def _key(
    wanted: Wanted,
    stages: Sequence[ClassifierConfig],
    samples: Samples,
    generator: Generator | None,
) -> str:
    """Another one wherever a training would come out otherwise."""
    arm = wanted.arm
    described = {
        "arm": arm.model_dump(mode="json", exclude={"title"}),
        "totals": arm.kind == "real" or {x.value: n for x, n in wanted.rare.totals(arm.share).items()},
        "pretraining_images": wanted.pretraining_images if arm.kind == "pretrained" else None,
        "pool": None if generator is None or generator.has_labels else wanted.pool,
        # How many load does not change what is learnt.
        "stages": [x.model_dump(mode="json", exclude={"training": {"workers"}}) for x in stages],
        "generator": None if generator is None else generator.identity.sha256,
        "names": [path.name for path in samples.paths],
        "split": split_sha256(samples.patient_splits),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(samples.targets.tobytes())
    return digest.hexdigest()


def _run_all(tasks: Sequence[Task], jobs: int) -> Iterator[Task]:
    """Train, some at once, each as soon as what it needs is there; each task when it is over.

    Raises:
        GanError: a training failed; others that had begun go on where they were, the next time.
    """
    left, under_way = list(tasks), set[Future[Task]]()
    if jobs == 1:
        while left:
            yield train_one(left.pop(_ready(left, waiting=False)))
        return
    # Not forked: a copy of a process with threads, PyTorch's or tqdm's, may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent)
    try:
        while left or under_way:
            while left and len(under_way) < jobs:
                if (place := _ready(left, waiting=bool(under_way))) is None:
                    break
                under_way.add(pool.submit(train_one, left.pop(place)))
            over, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in over:
                yield future.result()
    except BrokenProcessPool as error:
        raise GanError(
            "a training's process was ended from outside, for want of memory perhaps: the same "
            "command goes on where it was"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ready(left: Sequence[Task], *, waiting: bool) -> int | None:
    """The first task that has its teacher; None where each waits for one that is under way."""
    ready = next((place for place, task in enumerate(left) if not task.waits), None)
    if ready is None and not waiting:
        raise GanError(f"{left[0].teacher} is missing: remove {left[0].folder.parent.parent}")
    return ready


def _rows(prepared: Prepared) -> list[RunRow]:
    over = [(task, Predictions.read(task.folder)) for task in prepared.tasks]
    return [
        row
        for task, one in over
        if one is not None
        for row in rows_of(task.name, task.wanted.seed, one, prepared.rare)
    ]


def _write_runs(prepared: Prepared) -> list[RunRow]:
    rows = _rows(prepared)
    write_runs(rows, prepared.request.out)
    return rows
