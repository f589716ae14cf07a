"""`cxr-gan examples`."""

import argparse
from pathlib import Path

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError
from cxr_gan.examples.films import FIRST_SEED, write_examples
from cxr_gan.published import open_generator

PAGE_EXAMPLES = Path("frontend/public/examples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan examples`."""
    parser.add_argument("--model", type=Path, required=True, help="a published folder")
    parser.add_argument(
        "--seed",
        type=int,
        default=FIRST_SEED,
        help=f"of the first film; default: {FIRST_SEED}",
    )
    parser.add_argument("--truncation", type=float, help="keep the latent's numbers within this")
    parser.add_argument(
        "--out", type=Path, default=PAGE_EXAMPLES, help=f"default: the page's, {PAGE_EXAMPLES}"
    )


def run(options: argparse.Namespace) -> int:
    """Write the films; exit status 0."""
    if not (options.model / MANIFEST_NAME).is_file():
        # A run goes on, and its films could not be made again.
        raise GanError(f"{options.model} holds no published generator: there is no {MANIFEST_NAME}")
    # On a CPU alone: there the same seed is the same film to the last bit.
    synthesizer = open_generator(options.model)
    index = write_examples(
        synthesizer, options.out, first_seed=options.seed, truncation=options.truncation
    )
    identity = synthesizer.identity
    print(f"{identity.name} {identity.version} made, into {options.out}:")
    for example in index.examples:
        print(f"  {example.file}  seed {example.seed}")
    return 0
