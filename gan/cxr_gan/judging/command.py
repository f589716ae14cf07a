"""`cxr-gan judge`."""

import argparse
import sys
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.judging.extractor import extractor_named
from cxr_gan.judging.judge import SAMPLES, SEED, Judged, Request, judge
from cxr_gan.judging.report import verdict
from cxr_gan.judging.results import write_results
from cxr_gan.judging.rows import Row, differing, read_rows
from cxr_gan.published import Synthesizer, open_generator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan judge`."""
    parser.add_argument("--model", type=Path, required=True, help="a published folder, or a run")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    parser.add_argument("--results", type=Path, default=Path("docs/results/gan"))
    parser.add_argument(
        "--features",
        default="models/classifier/lite0-nih14",
        help="in which distances are taken: a published classifier's folder, or `pixels`; "
        "default: %(default)s",
    )
    parser.add_argument("--n", type=int, default=SAMPLES, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--truncation", type=float, help="as for `sample`; default: none")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("runs/cache"),
        help="keeps the resized radiographs, as training does, and their features; "
        "default: %(default)s",
    )
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare with what stands there"
    )


def run(options: argparse.Namespace) -> int:
    """Judge and write, or check; exit status 1 where a check finds other figures."""
    synthesizer = open_generator(options.model, options.device)
    if options.check:
        _published_rows(options, synthesizer)
    extractor = extractor_named(options.features, options.device)
    request = Request(
        data=options.data,
        cache=options.cache,
        samples=options.n,
        seed=options.seed,
        truncation=options.truncation,
    )
    judged = judge(synthesizer, extractor, request)
    if options.check:
        return _check(options, synthesizer, judged)
    write_results(judged.rows, options.results, judged.nearness)
    name = synthesizer.identity.name
    print(verdict(name, [row.judged_figure() for row in judged.rows]))
    return 0


def _check(options: argparse.Namespace, synthesizer: Synthesizer, judged: Judged) -> int:
    sentences = differing(_published_rows(options, synthesizer), judged.rows)
    for sentence in sentences:
        sys.stderr.write(f"judge: {sentence}\n")
    if not sentences:
        print(f"{synthesizer.identity.name}: every figure as published.")
    return 1 if sentences else 0


def _published_rows(options: argparse.Namespace, synthesizer: Synthesizer) -> list[Row]:
    weights = synthesizer.identity.sha256[:12]
    rows = [row for row in read_rows(options.results) if row.weights == weights]
    if not rows:
        name = synthesizer.identity.name
        raise GanError(f"{options.results} has no figure of these weights of {name}")
    return rows
