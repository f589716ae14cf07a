"""The commands. What a person can mend ends with one sentence and exit status 2."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cxr_screening.errors import ScreeningError
from cxr_screening.output import Output, OutputState
from cxr_screening.private import PrivateFolder, key_id

_SOURCES = """\
SOURCE is one of
  a folder, a file or a glob      PNG, JPEG and DICOM, and such in zip and tar files
  FILE.csv                        places in its column called path
  s3://BUCKET/PREFIX              server and keys from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID ...
  dicomweb+https://SERVER/PATH    QIDO-RS and WADO-RS; CXR_SCREEN_DICOMWEB_AUTHORIZATION is sent
  archive                         the gateway's own, by its CXR_GATEWAY_* settings
Models, limits and budgets are those of the services' settings."""
# A PACS has other users.
_MAX_FETCHES = 4


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 done, 1 not all of it, 2 a sentence says what to mend, 130 interrupted."""
    options = make_parser().parse_args(arguments)
    console = Console(stderr=True, soft_wrap=True)
    try:
        status: int = options.command(options, console)
    except ScreeningError as error:
        _say(console, f"cxr-screen {options.name}: {error}")
        return 2
    except KeyboardInterrupt:
        _say(
            console, "Interrupted; what was read is kept, and the same command goes on from there."
        )
        return 130
    return status


def make_parser() -> argparse.ArgumentParser:
    """What is understood on the command line."""
    parser = argparse.ArgumentParser(
        prog="cxr-screen", description="A whole archive of radiographs through the models."
    )
    commands = parser.add_subparsers(dest="name", required=True)
    _add_run(commands)
    status = commands.add_parser("status", help="how far a run is")
    status.add_argument("folder", metavar="FOLDER")
    status.set_defaults(command=_status)
    report = commands.add_parser("report", help="write the summary page, report.html")
    report.add_argument("folder", metavar="FOLDER")
    report.add_argument("--engine", help="whose rows; default: the latest")
    report.set_defaults(command=_report)
    _add_compare(commands)
    _add_select(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="read what has no row yet",
        epilog=_SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("source", metavar="SOURCE")
    run.add_argument(
        "--out", required=True, metavar="FOLDER", help="a folder or s3://BUCKET/PREFIX"
    )
    run.add_argument(
        "--new", action="store_true", help="read again, with another engine than before"
    )
    run.add_argument("--retry-failed", action="store_true", help="read those with an error again")
    run.add_argument("--limit", type=_positive, metavar="N", help="of the source, only the first N")
    run.add_argument("--query", default="", help="DICOMweb: e.g. StudyDate=20150101-20151231")
    private = run.add_argument_group("whose images they are")
    private.add_argument(
        "--identified", action="store_true", help="keep patients' numbers; audited"
    )
    private.add_argument(
        "--key", type=Path, metavar="FILE", help="of the pseudonyms, 64 hex digits"
    )
    private.add_argument("--private", type=Path, metavar="FOLDER", help="default: OUT.private")
    where = run.add_argument_group("where it runs")
    where.add_argument("--address", help="of a Ray cluster; default: this machine")
    where.add_argument("--workers", type=_positive, metavar="N", help="default: one a core")
    where.add_argument(
        "--gpus", type=float, default=0.0, metavar="X", help="of a worker, e.g. 0.125"
    )
    where.add_argument("--dashboard", action="store_true", help="Ray's, at port 8265")
    where.add_argument("--flush-s", type=float, default=30.0, metavar="S", help="between two files")
    where.add_argument("--quiet", action="store_true", help="no progress bar")
    polite = run.add_argument_group("how hard the source is asked")
    polite.add_argument("--max-fetches", type=_positive, metavar="N", help="at once; DICOMweb: 4")
    polite.add_argument("--max-mb-per-s", type=float, metavar="X", help="megabytes a second")
    polite.add_argument("--hours", metavar="19:00-06:30", help="only then, local time")
    run.set_defaults(command=_run)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="two engines on the same images: who moved")
    compare.add_argument("a", metavar="A", help="FOLDER, or FOLDER@ENGINE")
    compare.add_argument("b", metavar="B")
    compare.add_argument("--out", type=Path, metavar="FILE", help="the page; default: compare.html")
    compare.add_argument("--top", type=_positive, default=20, help="largest changes shown")
    compare.add_argument("--images", type=Path, metavar="FOLDER", help="draw them there, too")
    compare.add_argument("--private", type=Path, metavar="FOLDER", help="of A; default: A.private")
    compare.set_defaults(command=_compare)


def _add_select(commands: Any) -> None:
    select = commands.add_parser(
        "select", help="write chosen images out, for `cxr-gateway import-screening`"
    )
    select.add_argument("folder", metavar="FOLDER")
    select.add_argument(
        "--where", required=True, metavar="SQL", help="e.g. \"nodule_level='likely'\""
    )
    select.add_argument("--out", type=Path, required=True, metavar="NEW_FOLDER")
    select.add_argument("--limit", type=_positive, default=1000, metavar="N")
    select.add_argument("--engine", help="whose rows; default: the latest")
    select.add_argument("--private", type=Path, metavar="FOLDER", help="default: FOLDER.private")
    select.set_defaults(command=_select)


def _run(options: argparse.Namespace, console: Console) -> int:
    from cxr_screening.engine import EngineConfig, identify
    from cxr_screening.progress import Progress
    from cxr_screening.rows import SCHEMA_VERSION, RowWriter, schema_of
    from cxr_screening.run import ClusterError, run, stopping_softly

    settings = _run_options(options)
    config = EngineConfig.from_settings()
    engine = identify(config)
    schema_of(engine.findings)  # labels that make no columns are refused before anything is written
    output = Output(options.out)
    before = output.state()
    private = PrivateFolder.beside(options.out, options.private)
    key = private.read_key(options.key, may_make=before is None)
    state = OutputState(SCHEMA_VERSION, key_id(key), options.identified, engine.short)
    _refuse_other(before, state, options)
    with private.locked(), stopping_softly():
        output.begin(state, engine)
        if options.identified:
            private.audit(
                "identified-run", source=options.source, out=options.out, engine=engine.short
            )
        if options.retry_failed and (count := output.forget_failed(engine.short)):
            _say(console, f"{count:,} images with an error are read again.")
        rows = RowWriter(key, engine.fingerprint, options.identified, engine.findings)
        with Progress(console, quiet=options.quiet) as progress:
            try:
                result = run(
                    settings,
                    output,
                    private,
                    rows=rows,
                    engine=engine,
                    config=config,
                    progress=progress,
                )
            except ClusterError as error:
                _say(console, str(error))
                return 1
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(result.counts.items()))
    rate = result.n_written / result.seconds if result.seconds else 0.0
    _say(
        console,
        f"{result.n_written:,} images read ({said or 'none was left'}), {result.n_already:,} were "
        f"done before, {result.n_skipped:,} files of other kinds; {result.seconds:.1f} s, "
        f"{rate:.1f} images/s.",
    )
    if result.n_missing:
        _say(console, f"{result.n_missing:,} images got no row; run the same command again.")
        return 1
    return 0


def _run_options(options: argparse.Namespace) -> Any:
    from cxr_screening.coordinator import Politeness, parse_hours
    from cxr_screening.run import RunOptions

    remote = options.source.startswith("dicomweb+")
    polite = Politeness(
        max_fetches=options.max_fetches or (_MAX_FETCHES if remote else None),
        max_bytes_per_s=options.max_mb_per_s * 1e6 if options.max_mb_per_s else None,
        hours=parse_hours(options.hours) if options.hours else None,
    )
    base = RunOptions(source=options.source, politeness=polite)
    return replace(
        base,
        query=options.query,
        limit=options.limit,
        address=options.address,
        workers=options.workers,
        gpus=options.gpus,
        dashboard=options.dashboard,
        flush_s=options.flush_s,
    )


def _refuse_other(
    before: OutputState | None, now: OutputState, options: argparse.Namespace
) -> None:
    if before is None:
        return
    if before.key_id != now.key_id:
        raise ScreeningError(f"{options.out} was written with another key; name it with --key.")
    if before.identified != now.identified:
        word = "identified" if before.identified else "de-identified"
        raise ScreeningError(f"{options.out} is {word}; write the other kind elsewhere.")
    if before.engine != now.engine and not options.new:
        raise ScreeningError(
            f"{options.out} was written by engine {before.engine}, and today's is {now.engine}; "
            "--new reads everything again with it, beside the rows of the former."
        )


def _status(options: argparse.Namespace, console: Console) -> int:
    from cxr_screening.status import described

    for line in described(Output(options.folder)):
        console.file = sys.stdout
        _say(console, line)
    return 0


def _report(options: argparse.Namespace, console: Console) -> int:
    from cxr_screening.report import report

    output = Output(options.folder)
    engine = options.engine or output.existing_state().engine
    output.put("report.html", report(output, engine).encode())
    _say(console, f"Written: {options.folder.rstrip('/')}/report.html")
    return 0


def _compare(options: argparse.Namespace, console: Console) -> int:
    from cxr_screening.compare import Side, compare

    sides = [Side.named(options.a), Side.named(options.b)]
    private = PrivateFolder.beside(sides[0].output.address, options.private)
    page = compare(*sides, top=options.top, images=options.images, private=private)
    target = options.out or Path("compare.html")
    target.write_text(page)
    _say(console, f"Written: {target}")
    return 0


def _select(options: argparse.Namespace, console: Console) -> int:
    from cxr_screening.select import select

    output = Output(options.folder)
    engine = options.engine or output.existing_state().engine
    private = PrivateFolder.beside(options.folder, options.private)
    count, gone = select(
        output, engine, private, where=options.where, limit=options.limit, target=options.out
    )
    _say(console, f"{count:,} images are in {options.out}: keep it private.")
    if gone:
        _say(console, f"{gone:,} more are not where they were.")
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it has to be at least 1")
    return value


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False)
