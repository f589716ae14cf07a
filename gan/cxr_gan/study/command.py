"""`cxr-gan study`."""

import argparse
from pathlib import Path

import torch

from cxr_gan.errors import GanError
from cxr_gan.sampling.asking import nih_of
from cxr_gan.study.plan import Plan, load_plan
from cxr_gan.study.preparing import Request, prepare, refuse_too_few_seeds
from cxr_gan.study.progress import progress_in
from cxr_gan.study.smoke import OVERRIDES, smoke_plan, stand_ins
from cxr_gan.study.study import run_study, write_results
from cxr_training.core.parallel import usable_cores
from cxr_training.core.runs import refuse_several_processes

_PLAN = Path("gan/configs/study/study.yaml")
_OUT = Path("runs/gan-study")
_GENERATORS = (Path("models/gan"), Path("runs/gan"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan study`."""
    parser.add_argument("--plan", type=Path, default=_PLAN, help="default: %(default)s")
    parser.add_argument("--data", type=Path, help="folder that holds nih/")
    parser.add_argument(
        "--manifest",
        type=Path,
        action="append",
        default=[],
        help="a CSV manifest of real images beside NIH, or instead of it; may be given again",
    )
    parser.add_argument(
        "--generators",
        type=Path,
        action="append",
        help="folder of generators by name; may be given again; default: "
        + " and ".join(map(str, _GENERATORS)),
    )
    parser.add_argument(
        "--out", type=Path, help=f"keeps the trainings; default: {_OUT}, or {_OUT}-smoke"
    )
    parser.add_argument(
        "--results", type=Path, help="for the page; default: docs/results, or in --out for a smoke"
    )
    parser.add_argument("--judged", type=Path, default=Path("docs/results/gan"))
    parser.add_argument("--seeds", help="e.g. 1,2,3; default: the plan's")
    parser.add_argument(
        "--jobs", type=int, help="trainings at once; default: one a core, on a GPU one"
    )
    parser.add_argument("--status", action="store_true", help="say what is done and left, no more")
    parser.add_argument("--smoke", action="store_true", help="the way through, in about a minute")


def run(options: argparse.Namespace) -> int:
    """Run what is left of the study and write its page; exit status 0."""
    refuse_several_processes("study")
    request = _request(options)
    if options.status:
        arms = list(request.plan.arms)
        print(progress_in(request.out, arms, request.seeds, request.jobs).table())
        return 0
    if request.nih is None and not request.manifests:
        raise GanError("--data, --manifest, or both are needed")
    results = options.results or (
        request.out / "results" if request.smoke else Path("docs/results")
    )
    results.mkdir(parents=True, exist_ok=True)
    prepared = prepare(request)
    run_study(prepared)
    print(f"Wrote {write_results(prepared, results, options.judged)}.")
    return 0


def _request(options: argparse.Namespace) -> Request:
    plan = load_plan(options.plan)
    out = options.out or (Path(f"{_OUT}-smoke") if options.smoke else _OUT)
    roots = tuple(options.generators or _GENERATORS)
    if options.smoke:
        plan = smoke_plan(plan)
    seeds = _seeds(options.seeds, plan)
    refuse_too_few_seeds(seeds)
    if options.smoke and not options.status:
        stand_ins(plan, roots, out / "generators")
        roots = (*roots, out / "generators")
    jobs, threads = _jobs(options.jobs)
    return Request(
        plan=plan,
        seeds=seeds,
        nih=None if options.data is None else nih_of(options.data),
        manifests=tuple(options.manifest),
        out=out,
        roots=roots,
        jobs=jobs,
        threads=threads,
        smoke=options.smoke,
        overrides=(*(OVERRIDES if options.smoke else ()), *workers_of(jobs)),
    )


def workers_of(jobs: int) -> tuple[str, ...]:
    """The override by which `jobs` trainings that share a GPU share the cores that load for it."""
    if jobs == 1 or not torch.cuda.is_available():
        return ()
    return (f"training.workers={max(0, usable_cores() // jobs - 1)}",)


def _seeds(text: str | None, plan: Plan) -> tuple[int, ...]:
    if text is None:
        return plan.gpu_seeds if torch.cuda.is_available() else plan.seeds
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise GanError(f"--seeds {text}: whole numbers, as in 1,2,3") from error
    if min(seeds) < 0:
        raise GanError(f"--seeds {text}: none below 0")
    return seeds


def _jobs(asked: int | None) -> tuple[int, int | None]:
    """How many trainings at once, and the threads of each; None leaves them to PyTorch."""
    if asked is not None and asked < 1:
        raise GanError(f"--jobs {asked}: at least one")
    if torch.cuda.is_available():
        return asked or 1, None
    cores = usable_cores()
    jobs = asked or cores
    return jobs, max(1, cores // jobs)
