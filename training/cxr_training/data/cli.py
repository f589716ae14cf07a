"""`cxr data check`."""

import argparse
from pathlib import Path


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `data` and its commands."""
    data = commands.add_parser("data", help="data sets to train on")
    actions = data.add_subparsers(dest="action", required=True)
    check = actions.add_parser(
        "check",
        help="say what is missing or corrupt, by file, and count what there is",
        description="Decode every file, check every row, box and name, and count images, "
        "patients, labels and boxes by split. Exit status 0: clean, 1: problems.",
    )
    check.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="an NIH folder, a ChestX-Det folder, one that holds nih/ and chestx-det/, or a CSV "
        "manifest; several are checked together",
    )
    check.add_argument(
        "--processes", type=_positive, help="how many decode at once; default: one a core"
    )
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from cxr_training.data.check import check
    from cxr_training.data.check_summary import class_notes, summary

    report = check(options.paths, options.processes)
    for problem in report.problems:
        print(f"problem: {problem}")
    for note in [*report.notes, *class_notes(report)]:
        print(f"note: {note}")
    print()
    print("\n".join(summary(report)))
    print(f"{len(report.problems)} problem(s)")
    return 1 if report.problems else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes")
    return value
