"""`cxr-gan interpolate`."""

import argparse
from pathlib import Path

from cxr_gan.errors import GanError
from cxr_gan.interpolation.strip import write_strip
from cxr_gan.published import open_generator
from cxr_gan.sampling.asking import findings_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan interpolate`."""
    parser.add_argument("--model", type=Path, required=True, help="a published folder, or a run")
    parser.add_argument("--from", type=int, required=True, dest="first", help="a seed")
    parser.add_argument("--to", type=int, required=True, dest="last", help="another seed")
    parser.add_argument("--steps", type=int, default=8, help="images, both ends in; default: 8")
    parser.add_argument("--label", default="No Finding", help="as for `sample`")
    parser.add_argument("--truncation", type=float, help="as for `sample`")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--out", type=Path, required=True, help="a PNG")


def run(options: argparse.Namespace) -> int:
    """Write the strip; exit status 0."""
    if options.steps < 2:
        raise GanError(f"--steps {options.steps}: at least 2, the two ends")
    if options.out.suffix.lower() != ".png":
        raise GanError(f"--out {options.out}: a file that ends in .png")
    synthesizer = open_generator(options.model, options.device)
    write_strip(
        synthesizer,
        (options.first, options.last),
        options.steps,
        findings_named(options.label),
        options.out,
        truncation=options.truncation,
    )
    print(f"Wrote {options.out}.")
    return 0
