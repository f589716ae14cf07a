"""The operator's command `export`: studies without their patients, and what readers corrected."""

import argparse
import asyncio
import getpass
import os
import sys
from contextlib import AsyncExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

from cxr_gateway.archive import folder_failures, open_archive
from cxr_gateway.audit import AuditLog, by_the_machine, open_audit_log
from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.errors import BadInput, CommandError
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    export = commands.add_parser(
        "export", help="write studies as files without their patients, or readers' corrections"
    )
    export.add_argument(
        "what",
        nargs="?",
        choices=("feedback",),
        help="what readers corrected: a table, COCO's JSON, a manifest to train on, the images",
    )
    export.add_argument("--deidentified", nargs="+", metavar="STUDY", help="by PS3.15's profile")
    export.add_argument("--department", help="with `feedback`: of its studies; default: of all")
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    export.add_argument(
        "--pixels-reviewed",
        action="store_true",
        help="someone has looked at each image: none shows text about a patient",
    )
    export.add_argument(
        "--by", metavar="NAME", default=_operator(), help="who looked; default: this user"
    )
    export.set_defaults(run=command(_run))


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # a container's user may have no name


def _run(settings: GatewaySettings, options: argparse.Namespace) -> str:
    if (options.what is None) == (options.deidentified is None):
        raise BadInput("either `feedback` or `--deidentified STUDY` says what is exported")
    work = _export_all if options.what is None else _export_feedback
    return asyncio.run(work(settings, options))


async def _export_all(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The decoders are large; other commands start without.
    from cxr_gateway.exports.deidentification.exports import Exports
    from cxr_gateway.exports.workers import InThisThread
    from cxr_gateway.imaging.decoders import open_decoder

    refused = 0
    with folder_failures():
        options.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        archive = await stack.enter_async_context(open_archive(settings))
        log = await stack.enter_async_context(open_audit_log(settings))
        decoder = stack.enter_context(closing(open_decoder(settings)))
        exports = Exports(archive, InThisThread(decoder))
        for study_id in options.deidentified:
            try:
                exported = await exports.of(study_id, None, reviewed=options.pixels_reviewed)
            except ServiceError as error:
                refused += 1
                sys.stderr.write(f"export: {study_id}: {error}\n")
                await _note(log, study_id, 1, options)
                continue
            # On record first: a file that nobody knows of must not lie there.
            await _note(log, study_id, 0, options)
            with folder_failures():
                _write(options.out / exported.name, exported.content)
            sys.stdout.write(f"{study_id} {exported.name}\n")
    written = len(options.deidentified) - refused
    if refused:
        raise CommandError(f"{written} studies were written to {options.out}, {refused} were not.")
    return f"{written} studies were written to {options.out}."


async def _export_feedback(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The decoders are large; other commands start without.
    from cxr_gateway.archive.pseudonym_key import pseudonym_key
    from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms
    from cxr_gateway.exports.feedback import (
        assessed,
        coco_json,
        corrections_csv,
        image_name,
        manifest_csv,
        together,
    )
    from cxr_gateway.feedback.corrections import corrections
    from cxr_gateway.imaging import Limits
    from cxr_gateway.imaging.decoders import open_decoder
    from cxr_gateway.rendering import render_image

    out: Path = options.out
    # What was accepted once can be exported later, whatever the limits are by then.
    limits = Limits(max_bytes=1 << 40, max_pixels=1 << 40)
    with folder_failures():
        (out / "images").mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        archive = await stack.enter_async_context(open_archive(settings))
        log = await stack.enter_async_context(open_audit_log(settings))
        decoder = stack.enter_context(closing(open_decoder(settings)))
        reviewed = together(*await corrections(archive, options.department))
        pseudonyms = Pseudonyms(await archive.in_thread(pseudonym_key, archive.engine))
        # On record first: a file that nobody knows of must not lie there.
        for one in reviewed:
            details = {"feedback": True}
            await log.record(by_the_machine("export", 0, study_id=one.study.id, details=details))
        for name, text in (
            ("corrections.csv", corrections_csv(reviewed)),
            ("coco.json", coco_json(reviewed)),
            ("manifest.csv", manifest_csv(reviewed, pseudonyms)),
        ):
            with folder_failures():
                _write(out / name, text.encode())
        for one in assessed(reviewed):
            stored = await archive.get(one.study.id, None)
            content = await archive.in_thread(archive.files.read, stored.id, stored.original)
            image = render_image(decoder.decode(BytesIO(content), limits).grey)
            with folder_failures():
                _write(out / image_name(one.study), image)
    entries = sum(len(one.records) for one in reviewed)
    return f"{entries} entries of {len(reviewed)} studies were written to {out}."


async def _note(log: AuditLog, study_id: str, outcome: int, options: argparse.Namespace) -> None:
    known = study_id if is_study_id(study_id) else None
    reviewed = {"pixels_reviewed_by": options.by} if options.pixels_reviewed else {}
    details = {"pixels_reviewed": options.pixels_reviewed, **reviewed}
    await log.record(by_the_machine("export", outcome, study_id=known, details=details))


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
