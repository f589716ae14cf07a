"""The study from its plan to its page; what is done already is not done again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.folders import data_of
from cxr_gan.generator import open_generator
from cxr_gan.study.page import (
    FOLDER_NAME,
    PAGE_NAME,
    RunRow,
    page,
    rows_of,
    write_effects,
    write_runs,
)
from cxr_gan.study.plan import Plan, RareLabels, find_rare
from cxr_gan.study.statistics import ALL, RARE, draws_of, effects_of
from cxr_gan.study.training import KEY, Predictions, Task, train_one
from cxr_training.classifier.config import SMOKE_OVERRIDES, ClassifierConfig
from cxr_training.classifier.samples import Samples
from cxr_training.classifier.train import samples_of
from cxr_training.data.collection import describe_sources
from cxr_training.data.splits import Split, split_sha256

SMOKE = (
    *SMOKE_OVERRIDES,
    "architecture.name=test_efficientnet",
    "architecture.arguments={in_chans: 1}",
    "pretrained=null",
    "input.width_px=32",
    "input.height_px=32",
    "input.canonical_px=32",
    "augmentation.coarsest_px=16",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    plan: Plan
    seeds: tuple[int, ...]
    nih: Path | None
    manifests: tuple[Path, ...]
    out: Path
    roots: tuple[Path, ...]
    """Folders of published models and of runs; the first that holds a generator's name is taken."""
    smoke: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """All trainings of a study, over or not."""

    request: Request
    samples: Samples
    rare: RareLabels
    tasks: tuple[Task, ...]
    """Seed by seed, so that a study that is stopped early has all arms of some seeds."""


def smoke_plan(plan: Plan) -> Plan:
    """The whole way in about a minute: a tiny network, a handful of steps, two seeds."""
    rare = plan.rare.model_copy(update={"least_validation": 1})
    small = {"steps": 4, "seeds": (1, 2), "rare": rare, "budget": (*plan.budget, *SMOKE)}
    return plan.model_copy(update=small)


def prepare(request: Request) -> Prepared:
    """The trainings of the study; everything that can be wrong is found before the first step.

    Raises:
        ConfigError, DataError, GanError, ModelFolderError: with a sentence on what to mend.
    """
    plan, seeds = request.plan, request.seeds
    if len(set(seeds)) < max(2, len(seeds)):
        raise GanError(
            f"--seeds {','.join(map(str, seeds)) or 'none'}: an effect cannot be told from a "
            "training's luck by one seed, and no seed counts twice: run the study with two seeds "
            "or more, `--seeds 1,2,3`"
        )
    folders = {
        arm.generator: _generator(name, arm.generator, request.roots)
        for name, arm in plan.arms.items()
        if arm.generator is not None
    }
    config = plan.config(seeds[0], plan.arms[plan.reference])
    samples = samples_of(config, request.nih, request.manifests)
    split = split_sha256(samples.patient_splits)
    for name, folder in folders.items():
        if data_of(folder).split_sha256 != split and not request.smoke:
            raise GanError(
                f"the generator {name} was trained on another data set or split, and may have been "
                f"shown validation patients: run `make train-gan GAN={name}` on this one first"
            )
    rare = find_rare(samples, plan.rare, config)
    for name, arm in plan.arms.items():
        if arm.share is not None and not rare.added(arm.share):
            raise GanError(f"arm {name} adds no image: its rare labels have as many already")
    prepared = Prepared(request, samples, rare, ())
    tasks = [_task(prepared, name, seed, folders) for seed in seeds for name in plan.arms]
    return replace(prepared, tasks=tuple(tasks))


def run_study(prepared: Prepared) -> None:
    """Train what is left. `runs.csv` in the study's folder has the rows of all that is over.

    Raises:
        GanError: a training failed; others that had begun go on where they were, the next time.
    """
    request = prepared.request
    left = [task for task in prepared.tasks if Predictions.read(task.folder) is None]
    write_runs(_rows(prepared), request.out)
    print("\n".join(standing(request)), flush=True)
    for task in left:
        _report(prepared, train_one(task))


def standing(request: Request) -> list[str]:
    """A line for each arm (minutes of each seed, `begun`, or a dot), and what is left."""
    lines, seconds = [], []
    for arm in request.plan.arms:
        cells = []
        for seed in request.seeds:
            folder = run_folder(request.out, arm, seed)
            over, begun = Predictions.read(folder), (folder / KEY).exists()
            seconds += [over.seconds] if over else []
            cells.append(f"{over.seconds / 60:.1f} min" if over else "begun" if begun else ".")
        lines.append(f"{arm:<20}" + "".join(f"{cell:>10}" for cell in cells))
    total = len(request.plan.arms) * len(request.seeds)
    left = total - len(seconds)
    when = f", about {mean(seconds) * left / 60:.0f} min" if seconds and left else ""
    return [*lines, f"{len(seconds)} of {total} trainings done, {left} left{when}"]


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Of one training."""
    return out / "trainings" / arm / f"seed-{seed}"


def write_results(prepared: Prepared, results: Path) -> Path:
    """The page and its CSV files under `results`, of finished trainings; the page."""
    request, samples, rare = prepared.request, prepared.samples, prepared.rare
    found = {(task.name, task.seed): Predictions.read(task.folder) for task in prepared.tasks}
    over = {key: predictions for key, predictions in found.items() if predictions is not None}
    if len(over) < len(found):
        raise GanError("not all trainings are over: run `make gan-study` first")
    config = prepared.tasks[0].config
    draws = {
        name: draws_of([over[name, x] for x in request.seeds], rare, config.evaluation.resamples)
        for name in request.plan.arms
    }
    effects = effects_of(request.plan, draws, rare)
    write_runs(_rows(prepared), results / FOLDER_NAME)
    write_effects(effects, results / FOLDER_NAME)
    n_training, n_validation = (len(samples.rows(x)) for x in (Split.TRAIN, Split.VALIDATION))
    data = (
        f"{'; '.join(describe_sources(request.nih, request.manifests))}. {n_training:,} real "
        f"training images, {n_validation:,} real validation images, at {config.input.width_px} px; "
        f"{request.plan.steps} steps, seeds {', '.join(map(str, request.seeds))}."
    )
    target = results / PAGE_NAME
    text = page(request.plan, rare, effects, data, smoke=request.smoke)
    target.write_text(text, encoding="utf-8")
    return target


def _generator(arm: str, name: str, roots: Sequence[Path]) -> Path:
    """The folder of an arm's generator, which must take the study's labels."""
    folder = next((root / name for root in roots if (root / name).is_dir()), None)
    if folder is None:
        raise GanError(
            f"arm {arm} needs the generator {name}, and there is none under "
            f"{' or '.join(map(str, roots))}: run `make train-gan GAN={name}` first"
        )
    differ = sorted(set(open_generator(folder).spec.labels) ^ set(Finding))
    if differ:
        raise GanError(
            f"arm {arm}: the generator {name} has other labels than the study's (they differ in "
            f"{', '.join(differ)}): train it with `labels: all` in its recipe"
        )
    return folder


def _task(prepared: Prepared, name: str, seed: int, generators: dict[str, Path]) -> Task:
    request, samples, rare = prepared.request, prepared.samples, prepared.rare
    arm = request.plan.arms[name]
    generator = None if arm.generator is None else generators[arm.generator]
    config = request.plan.config(seed, arm, rare)
    key, folder = _key(prepared, name, config, generator), run_folder(request.out, name, seed)
    if (folder / KEY).exists() and (folder / KEY).read_text().strip() != key:
        raise GanError(
            f"{folder} holds a training of another plan, generator or data set: remove it, to "
            "train it again, or choose another --out"
        )
    return Task(
        name=name,
        arm=arm,
        seed=seed,
        rare=rare,
        config=config,
        samples=samples,
        cache=request.out / "cache",
        folder=folder,
        synthetic=request.out / "synthetic" / name / f"seed-{seed}-{key[:8]}",
        generator=generator,
        key=key,
    )


def _key(prepared: Prepared, name: str, config: ClassifierConfig, generator: Path | None) -> str:
    """Another one wherever a training would come out otherwise."""
    arm, samples = prepared.request.plan.arms[name], prepared.samples
    described = {
        "arm": arm.model_dump(mode="json", exclude={"title"}),
        "totals": {x.value: n for x, n in prepared.rare.totals(arm.share).items()},
        # How many load does not change what is learnt.
        "config": config.model_dump(mode="json", exclude={"training": {"workers"}}),
        "generator": None if generator is None else open_generator(generator).identity.sha256,
        "names": [path.name for path in samples.paths],
        "split": split_sha256(samples.patient_splits),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(samples.targets.tobytes())
    return digest.hexdigest()


def _rows(prepared: Prepared) -> list[RunRow]:
    over = [(task, Predictions.read(task.folder)) for task in prepared.tasks]
    return [
        row
        for task, predictions in over
        if predictions is not None
        for row in rows_of(task.name, task.seed, predictions, prepared.rare)
    ]


def _report(prepared: Prepared, task: Task) -> None:
    rows = _rows(prepared)
    write_runs(rows, prepared.request.out)
    own = {row.label: row.auroc for row in rows if (row.arm, row.seed) == (task.name, task.seed)}
    print(
        f"{task.name}, seed {task.seed}: mean AUROC {own[ALL]:.3f}, of the rare labels "
        f"{own[RARE]:.3f}; {standing(prepared.request)[-1]}",
        flush=True,
    )
