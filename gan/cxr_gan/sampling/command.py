"""`cxr-gan sample`."""

import argparse
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.published import Synthesizer, open_generator
from cxr_gan.sampling.asking import (
    Findings,
    drawn_like,
    findings_named,
    shuffled,
    training_findings,
)
from cxr_gan.sampling.writing import write_samples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan sample`."""
    parser.add_argument("--model", type=Path, required=True, help="a published folder, or a run")
    parser.add_argument("--n", type=int, required=True, help="images, of each --label")
    parser.add_argument("--seed", type=int, default=1, help="of the first image; default: 1")
    parser.add_argument(
        "--label",
        action="append",
        help="what to ask for, e.g. Pneumonia, 'Mass|Effusion' or 'No Finding'; may stand several "
        "times; default: No Finding",
    )
    parser.add_argument(
        "--labels-like",
        type=Path,
        metavar="DATA",
        help="instead: N images with labels as frequent as on the training radiographs there; "
        "folder that holds nih/",
    )
    parser.add_argument(
        "--shuffle-labels",
        action="store_true",
        help="the manifest gives each image another's labels: a control",
    )
    parser.add_argument(
        "--state",
        metavar="LABEL",
        help="for a generator without labels: what its images are of; the manifest says so",
    )
    parser.add_argument("--truncation", type=float, help="keep the latent's numbers within this")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")


def run(options: argparse.Namespace) -> int:
    """Make the images; exit status 0."""
    if options.n < 1:
        raise GanError(f"--n {options.n}: at least one image")
    if options.label and options.labels_like:
        raise GanError("--label and --labels-like: one of them, not both")
    synthesizer = open_generator(options.model, options.device)
    asked = _asked(options, synthesizer)
    stated = _stated(options, synthesizer, asked)
    seeds = range(options.seed, options.seed + len(asked))
    manifest = write_samples(
        synthesizer, seeds, asked, options.out, truncation=options.truncation, stated=stated
    )
    print(f"Wrote {len(asked)} synthetic images and {manifest}.")
    return 0


def _asked(options: argparse.Namespace, synthesizer: Synthesizer) -> list[Findings]:
    if options.labels_like is not None:
        known = training_findings(options.labels_like, synthesizer.spec.labels)
        return drawn_like(known, options.n, options.seed)
    named = [findings_named(label) for label in options.label or ["No Finding"]]
    return [findings for findings in named for _ in range(options.n)]


def _stated(
    options: argparse.Namespace, synthesizer: Synthesizer, asked: list[Findings]
) -> list[Findings] | None:
    name = synthesizer.identity.name
    if synthesizer.spec.labels:
        if options.state:
            raise GanError(f"--state: {name} takes labels: ask for them with --label")
        return shuffled(asked, options.seed) if options.shuffle_labels else None
    if options.shuffle_labels or options.labels_like:
        raise GanError(f"{name} takes no labels, so there are none to draw or to shuffle")
    if not options.state:
        # An image of anything, written down as healthy, would teach a classifier a falsehood.
        raise GanError(f"{name} takes no labels: say with --state LABEL what its images are of")
    return [findings_named(options.state)] * len(asked)
