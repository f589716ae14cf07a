"""From a plan to the trainings: everything that can be wrong is found before the first step."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.study.answers import read_answers
from cxr_gan.study.generators import Generator, find_generators, refuse_other_split
from cxr_gan.study.plan import BALANCE, Arm, Plan
from cxr_gan.study.progress import run_folder
from cxr_gan.study.rare import Counts, RareLabels, find_rare
from cxr_gan.study.synthetic import Wanted
from cxr_gan.study.training import KEY, TEACHER, Task
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.samples import Samples
from cxr_training.classifier.train import samples_of
from cxr_training.data.splits import split_sha256

FEWEST_SEEDS = 2


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

    @property
    def config(self) -> ClassifierConfig:
        """Of one training of the first seed."""
        return self.tasks[0].stages[-1]


def refuse_too_few_seeds(seeds: Sequence[int]) -> None:
    """Raise GanError where a training's luck could not be told from an effect."""
    if len(set(seeds)) < max(FEWEST_SEEDS, len(seeds)):
        named = ",".join(map(str, seeds)) or "none"
        raise GanError(
            f"--seeds {named}: an effect cannot be told from a training's luck by one seed, and "
            "no seed counts twice: run the study with two seeds or more, `--seeds 1,2,3`"
        )


def prepare(request: Request) -> Prepared:
    """The trainings of the study.

    Raises:
        ConfigError, DataError, GanError, ModelFolderError: with a sentence on what to mend.
    """
    plan = request.plan
    refuse_too_few_seeds(request.seeds)
    generators = find_generators(plan, request.roots)
    config = plan.config(request.seeds[0], plan.steps, *request.overrides)
    samples = samples_of(config, request.nih, request.manifests)
    split = split_sha256(samples.patient_splits)
    if not request.smoke:
        refuse_other_split(generators, split)
    rare = find_rare(samples, plan.rare, config)
    _refuse_empty_arms(plan, rare)
    prepared = Prepared(request, samples, rare, generators, ())
    tasks = [_task(prepared, name, seed) for seed in request.seeds for name in plan.arms]
    for task in tasks:
        _refuse_other_study(task)
    return replace(prepared, tasks=tuple(tasks))


def _refuse_empty_arms(plan: Plan, rare: RareLabels) -> None:
    for name, arm in plan.arms.items():
        if arm.share is not None and not rare.added(arm.share):
            raise GanError(f"arm {name} adds no image: its rare labels have as many already")


def _task(prepared: Prepared, name: str, seed: int) -> Task:
    request, samples, rare = prepared.request, prepared.samples, prepared.rare
    plan, out = request.plan, request.out
    arm = plan.arms[name]
    generator = None if arm.generator is None else prepared.generators[arm.generator]
    stages = stages_of(plan, arm, seed, rare, request.overrides)
    wanted = Wanted(arm, seed, rare, plan.pretraining.images, plan.pool)
    key = _key(wanted, stages, samples, generator)
    teacher = None
    if generator is not None and not generator.has_labels:
        teacher = run_folder(out, plan.reference, seed) / TEACHER
    return Task(
        name=name,
        wanted=wanted,
        stages=stages,
        samples=samples,
        cache=out / "cache",
        folder=run_folder(out, name, seed),
        synthetic=out / "synthetic" / name / f"seed-{seed}-{key[:8]}",
        generator=generator,
        teacher=teacher,
        key=key,
        threads=request.threads,
    )


def stages_of(
    plan: Plan, arm: Arm, seed: int, rare: RareLabels, overrides: Sequence[str] = ()
) -> tuple[ClassifierConfig, ...]:
    """What is trained one after the other, `plan.steps` steps in all."""
    if arm.kind == "pretrained":
        first = min(max(1, round(plan.steps * plan.pretraining.steps_share)), plan.steps - 1)
        return tuple(plan.config(seed, steps, *overrides) for steps in (first, plan.steps - first))
    if arm.kind == "oversampled":
        totals = rare.totals(arm.share or BALANCE)
        overrides = (*overrides, oversampling_override(totals))
    return (plan.config(seed, plan.steps, *overrides),)


def oversampling_override(totals: Counts) -> str:
    """As `--set` of the classifier's recipe takes it."""
    return f"training.oversampled_to={json.dumps({x.value: n for x, n in totals.items()})}"


def _key(
    wanted: Wanted,
    stages: Sequence[ClassifierConfig],
    samples: Samples,
    generator: Generator | None,
) -> str:
    """Another one wherever a training would come out otherwise."""
    arm, guessed = wanted.arm, generator is not None and not generator.has_labels
    totals = wanted.rare.totals(arm.share or BALANCE)
    said = {
        "arm": arm.model_dump(mode="json", exclude={"says"}),
        "totals": None if arm.kind == "real" else {x.value: n for x, n in totals.items()},
        "pretraining_images": wanted.pretraining_images if arm.kind == "pretrained" else None,
        "pool": wanted.pool if guessed else None,
        # How many load does not change what is learnt.
        "stages": [
            config.model_dump(mode="json", exclude={"training": {"workers"}}) for config in stages
        ],
        "generator": None if generator is None else generator.identity.sha256,
        "names": [path.name for path in samples.paths],
        "split": split_sha256(samples.patient_splits),
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    digest.update(samples.targets.tobytes())
    return digest.hexdigest()


def _refuse_other_study(task: Task) -> None:
    """Raise GanError where the folder holds a training of another plan, generator or data set."""
    answers, begun = read_answers(task.folder), task.folder / KEY
    found = answers.key if answers is not None else None
    if found is None and begun.exists():
        found = begun.read_text().strip()
    if found not in (None, task.key):
        raise GanError(
            f"{task.folder} holds a training of another plan, generator or data set: remove it, to "
            "train it again, or choose another --out"
        )
