"""`cxr-gan`: generative models of radiographs. Research, in no service."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_gan.errors import GanError
from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.errors import UserError
from cxr_training.core.runs import refuse_several_processes

if TYPE_CHECKING:
    from cxr_gan.evaluation.results import Evaluation

RESULTS, MODELS, RUNS = Path("docs/results/gan"), Path("models/gan"), Path("runs/gan")
STUDY, PLAN = Path("runs/gan-study"), Path("gan/configs/study.yaml")
PAGE_EXAMPLES = Path("frontend/public/examples")
CLASSIFIER = "models/classifier/lite0-nih14"
SERVED = Path("models/classifier")
_LAST = Path("last.pt")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 2 with a sentence on stderr for what the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (UserError, ModelFolderError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 2
    except OSError as error:
        where = error.filename2 or error.filename or getattr(options, "out", "")
        sys.stderr.write(f"{options.command}: {where}: {error.strerror or error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr-gan", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: object, says: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=says, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        added.set_defaults(run=run)
        return added

    train = command("train", _train, "train a network into a run directory")
    sample = command("sample", _sample, "make images, with a manifest that training reads")
    examples = command("examples", _examples, "make the page's example images")
    evaluate = command("evaluate", _evaluate, "measure how near to real a generator's images are")
    verify = command("verify", _verify, "measure published figures again; status 1 if they differ")
    publish = command("publish", _publish, "write the model folder of an evaluated run")
    study = command("study", _study, "learn whether synthetic images help rare findings")

    train.add_argument("--config", type=Path, required=True, help="the recipe, YAML")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    resume = "go on from the run's last.pt, or from this checkpoint"
    train.add_argument("--resume", type=Path, nargs="?", const=_LAST, help=resume)
    train.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")

    sample.add_argument("--n", type=int, required=True, help="images, of each --label")
    asked = "what to ask for, e.g. Pneumonia, 'Mass|Effusion' or 'No Finding'; may be given again"
    sample.add_argument("--label", action="append", help=asked)
    like = "instead: labels as frequent as on the training radiographs there"
    sample.add_argument("--labels-like", type=Path, metavar="DATA", help=like)
    shuffle = "the manifest gives each image another's labels: a control"
    sample.add_argument("--shuffle-labels", action="store_true", help=shuffle)
    state = "for a generator without labels: what its images are of"
    sample.add_argument("--state", metavar="LABEL", help=state)
    sample.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    examples.add_argument("--out", type=Path, default=PAGE_EXAMPLES, help="their folder")
    _add_choice_options(examples)
    for some in (sample, examples):
        some.add_argument("--seed", type=int, default=1, help="of the first image")

    features = "whose features distances are taken in: a classifier's folder, or `pixels`"
    cache = "keeps the resized radiographs and their features"
    for some in (evaluate, verify):
        some.add_argument("--features", default=CLASSIFIER, help=features)
        some.add_argument("--n", type=int, default=2000, help="samples")
        some.add_argument("--cache", type=Path, default=Path("runs/cache"), help=cache)
    for some in (sample, examples, evaluate, verify):
        some.add_argument("--model", type=Path, required=True, help="a published folder, or a run")
        some.add_argument("--truncation", type=float, help="keep the latent's numbers within this")
        some.add_argument("--device", default="cpu")

    publish.add_argument("--run", type=Path, required=True, dest="of", help="evaluated")
    publish.add_argument("--models", type=Path, default=MODELS, help="where its folder goes")
    publish.add_argument("--name", help="instead of the run directory's")
    publish.add_argument("--version", required=True)
    publish.add_argument("--replace", action="store_true", help="let one of that name give way")
    for some in (evaluate, publish):
        some.add_argument("--results", type=Path, default=RESULTS, help="figures and their page")

    _add_study_options(study)
    manifest = "CSV manifest of images beside NIH, or instead of it; may be given again"
    for some in (train, study):
        some.add_argument("--manifest", type=Path, action="append", default=[], help=manifest)
        some.add_argument("--data", type=Path, help="folder that holds nih/")
    for some in (evaluate, verify):
        some.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    return parser


def _add_choice_options(examples: argparse.ArgumentParser) -> None:
    chooses = "a running system that nobody works with, e.g. http://localhost:8000: chooses them"
    examples.add_argument("--system", metavar="URL", help=chooses)
    made = "made for each example, with --system; the classifier alone ranks them"
    examples.add_argument("--candidates", type=int, default=2000, help=made)
    read = "of these, the best, that the whole system reads"
    examples.add_argument("--read", type=int, default=40, help=read)
    ranks = "ranks them: the one that the system serves"
    examples.add_argument("--classifier", type=Path, default=SERVED, help=ranks)
    again = "choose the example of this finding anew and leave the others; may be given again"
    examples.add_argument("--only", action="append", default=[], metavar="FINDING", help=again)
    looked = "a seed that a person looked at and does not want; may be given again"
    examples.add_argument("--refuse", type=int, action="append", default=[], help=looked)


def _add_study_options(study: argparse.ArgumentParser) -> None:
    study.add_argument("--plan", type=Path, default=PLAN, help="the arms, YAML")
    generators = f"folder of generators by name; may be given again; else {MODELS} and {RUNS}"
    study.add_argument("--generators", type=Path, action="append", help=generators)
    study.add_argument("--out", type=Path, help=f"keeps the trainings; else {STUDY}")
    study.add_argument("--results", type=Path, help="for the page; else docs/results")
    study.add_argument("--seeds", help="e.g. 1,2,3; else the plan's")
    study.add_argument("--status", action="store_true", help="say what is done and left, no more")
    study.add_argument("--smoke", action="store_true", help="the way through, in about a minute")


# Each command imports what it needs: PyTorch takes seconds.


def _train(options: argparse.Namespace) -> int:
    from cxr_gan.training.config import load_config
    from cxr_gan.training.run import train

    _refuse_no_data(options)
    resume = options.out / _LAST if options.resume == _LAST else options.resume
    config = load_config(options.config, tuple(options.set))
    train(config, options.data, options.out, manifests=options.manifest, resume=resume)
    return 0


def _sample(options: argparse.Namespace) -> int:
    from cxr_gan.generator import open_generator
    from cxr_gan.radiographs import training_findings
    from cxr_gan.sampling import drawn_like, findings_named, shuffled, write_samples

    if options.n < 1:
        raise GanError(f"--n {options.n}: at least one image")
    if options.label and options.labels_like:
        raise GanError("--label and --labels-like: one of them, not both")
    generator = open_generator(options.model, options.device)
    labels, name, stated = generator.spec.labels, generator.identity.name, None
    named = [findings_named(label) for label in options.label or ["No Finding"]]
    asked = [findings for findings in named for _ in range(options.n)]
    if options.labels_like:
        known = training_findings(options.labels_like, labels)
        asked = drawn_like(known, options.n, options.seed)
    if labels and options.state:
        raise GanError(f"--state: {name} takes labels: ask for them with --label")
    if labels:
        stated = shuffled(asked, options.seed) if options.shuffle_labels else None
    elif options.shuffle_labels or options.labels_like:
        raise GanError(f"{name} takes no labels, so there are none to draw or to shuffle")
    elif not options.state:
        # An image of anything, written down as healthy, would teach a classifier a falsehood.
        raise GanError(f"{name} takes no labels: say with --state LABEL what its images are of")
    else:
        stated = [findings_named(options.state)] * len(asked)
    seeds = range(options.seed, options.seed + len(asked))
    manifest = write_samples(
        generator, seeds, asked, options.out, truncation=options.truncation, stated=stated
    )
    print(f"Wrote {len(asked)} synthetic images and {manifest}.")
    return 0


def _examples(options: argparse.Namespace) -> int:
    from cxr_gan.choosing import Choosing, Ranking, RunningSystem
    from cxr_gan.examples import write_examples

    if options.only and not options.system:
        raise GanError("--only: examples are chosen by a running system: name it with --system")
    with ExitStack() as stack:
        choosing = None
        if options.system:
            choosing = Choosing(
                system=stack.enter_context(RunningSystem(options.system)),
                ranking=Ranking(options.classifier),
                candidates=options.candidates,
                read=options.read,
                refused=frozenset(options.refuse),
            )
        examples = write_examples(
            options.model,
            options.out,
            first_seed=options.seed,
            truncation=options.truncation,
            choosing=choosing,
            only=options.only,
        )
    print(f"Wrote into {options.out}: {', '.join(example['file'] for example in examples)}.")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from cxr_gan.evaluation.memorisation import verdict
    from cxr_gan.evaluation.results import write_results

    evaluation = _measured(options)
    write_results(evaluation, options.results)
    print(verdict(evaluation.model, evaluation.figures))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from cxr_gan.evaluation.results import differing
    from cxr_gan.folders import GeneratorManifest
    from cxr_serving.model_folder import manifest_in

    published = manifest_in(options.model, GeneratorManifest)
    sentences = differing(published.figures, _measured(options).figures)
    for sentence in sentences:
        sys.stderr.write(f"verify: {sentence}\n")
    if not sentences:
        print(f"{published.name}: every figure as published.")
    return 1 if sentences else 0


def _measured(options: argparse.Namespace) -> "Evaluation":
    from cxr_gan.evaluation.evaluate import Request, evaluate
    from cxr_gan.evaluation.features import extractor_named
    from cxr_gan.generator import open_generator

    request = Request(options.data, options.cache, samples=options.n, truncation=options.truncation)
    generator = open_generator(options.model, options.device)
    return evaluate(generator, extractor_named(options.features, options.device), request)


def _publish(options: argparse.Namespace) -> int:
    from cxr_gan.publishing import publish

    name = options.name or options.of.resolve().name
    folder = publish(
        options.of,
        options.models,
        options.results,
        name=name,
        version=options.version,
        replace=options.replace,
    )
    print(f"Wrote {folder}.")
    return 0


def _study(options: argparse.Namespace) -> int:
    from cxr_gan.radiographs import nih_of
    from cxr_gan.study.plan import load_plan
    from cxr_gan.study.run import (
        Request,
        prepare,
        run_study,
        smoke_plan,
        standing,
        write_results,
    )

    refuse_several_processes("study")
    plan = smoke_plan(load_plan(options.plan)) if options.smoke else load_plan(options.plan)
    seeds, out = plan.seeds, options.out or (Path(f"{STUDY}-smoke") if options.smoke else STUDY)
    if options.seeds is not None:
        parts = options.seeds.split(",")
        if not all(part.isdecimal() for part in parts):
            raise GanError(f"--seeds {options.seeds}: whole numbers, as in 1,2,3")
        seeds = tuple(map(int, parts))
    request = Request(
        plan=plan,
        seeds=seeds,
        nih=nih_of(options.data),
        manifests=tuple(options.manifest),
        out=out,
        roots=tuple(options.generators or (MODELS, RUNS)),
        smoke=options.smoke,
    )
    if options.status:
        print("\n".join(standing(request)))
        return 0
    _refuse_no_data(options)
    prepared = prepare(request)
    run_study(prepared)
    results = options.results or (out / "results" if options.smoke else Path("docs/results"))
    print(f"Wrote {write_results(prepared, results)}.")
    return 0


def _refuse_no_data(options: argparse.Namespace) -> None:
    if not (options.data or options.manifest):
        raise GanError("--data, --manifest, or both are needed")
