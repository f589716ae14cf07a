"""`cxr data check`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_training.data.own import Layout


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `data` and its commands."""
    data = commands.add_parser("data", help="data sets to train on")
    actions = data.add_subparsers(dest="action", required=True)
    check = actions.add_parser(
        "check",
        help="say what is missing or corrupt, by file, and count what there is",
        description="Decode every file, check every row, box and name, and count images, "
        "patients, labels and boxes by split. Exit status 0: clean, 2: problems.",
    )
    check.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a table of your own images (CSV); or an NIH folder, a ChestX-Det folder, one that "
        "holds both; several, CSV manifests among them, are checked together",
    )
    check.add_argument(
        "--processes", type=_positive, help="how many decode at once; default: one a core"
    )
    add_layout(check)
    check.set_defaults(run=_check)


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a table is read."""
    told = parser.add_argument_group("the table, where its columns' names do not say it")
    told.add_argument("--image-column", metavar="COLUMN")
    told.add_argument("--patient-column", metavar="COLUMN")
    told.add_argument("--labels-column", metavar="COLUMN", help="lists, by `;` or `|`")
    told.add_argument("--one-hot", metavar="A,B", default="", help="columns of 0 and 1")
    told.add_argument("--split-column", metavar="COLUMN", help="train, validation, test")
    told.add_argument("--images", type=Path, metavar="DIR", help="default: the table's folder")
    told.add_argument("--boxes", type=Path, help="COCO's .json, or a .csv")


def layout_of(options: argparse.Namespace) -> "Layout":
    """What the options say of the table."""
    from cxr_training.data.own import Layout

    return Layout(
        image=options.image_column,
        patient=options.patient_column,
        labels=options.labels_column,
        one_hot=tuple(x.strip() for x in options.one_hot.split(",") if x.strip()),
        split=options.split_column,
        images=options.images,
        boxes=options.boxes,
    )


def _check(options: argparse.Namespace) -> int:
    if [path.suffix.lower() for path in options.paths] == [".csv"]:
        from cxr_training.data import own

        found = own.read_own(options.paths[0], layout_of(options), processes=options.processes)
        for note in found.notes:
            print(f"note: {note}")
        print("\n".join([*own.summary(found), "0 problems"]))
        return 0
    from cxr_training.data.check import check, summary

    report = check(options.paths, options.processes)
    for problem in report.problems:
        print(f"problem: {problem}")
    for note in report.notes:
        print(f"note: {note}")
    print()
    print("\n".join(summary(report)))
    print(f"{len(report.problems)} problem(s)")
    return 2 if report.problems else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes")
    return value
