"""`import-screening` at work: the images that `cxr-screen select` wrote become studies.

They are analysed as any upload is, by the services. They were taken long ago, so that none of them
stands before the radiographs of today: their priority is routine, and the reason says what it would
be by its scores.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cxr_gateway.analysis.analyzer import Analyzer
from cxr_gateway.analysis.pipeline import AnalysisPipeline, Upload
from cxr_gateway.analysis.triage_model import load_triage_models
from cxr_gateway.archive import Archive, IncomingFile, open_archive
from cxr_gateway.archive.promotions import latest_promotions
from cxr_gateway.archive.triage_thresholds import site_thresholds
from cxr_gateway.audit import AuditLog, by_the_machine, open_audit_log
from cxr_gateway.core.errors import BadInput, CommandError
from cxr_gateway.core.metrics import GatewayMetrics
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging.decoders import open_decoder
from cxr_gateway.inference.clients import ClientOpener, open_clients
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.ood import load_ood_detector
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unprocessable

SELECTION = "selection.jsonl"
_MAX_REFERENCE_CHARS = 255


@dataclass(frozen=True)
class Chosen:
    """An image of a selection: its file, and where it came from."""

    file: Path
    reference: str


def import_selection(
    settings: GatewaySettings, options: argparse.Namespace, opener: ClientOpener = open_clients
) -> str:
    """Analyse what a folder holds and put it on the worklist; a sentence of what came of it.

    Raises:
        BadInput: the folder is no selection.
        CommandError: not all of it became studies.
        ServiceError: the archive cannot be used.
    """
    return asyncio.run(
        _import_all(settings, read_selection(options.folder), options.department, opener)
    )


def read_selection(folder: Path) -> list[Chosen]:
    """What `cxr-screen select` wrote. Raises BadInput."""
    listed = folder / SELECTION
    try:
        lines = [json.loads(line) for line in listed.read_text().splitlines()]
        chosen = [
            Chosen(folder / Path(line["file"]).name, str(line["reference"])) for line in lines
        ]
    except OSError as error:
        raise BadInput(f"{listed} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{listed} is not what `cxr-screen select` writes.") from error
    if not chosen:
        raise BadInput(f"{listed} names no image.")
    if missing := [one.file.name for one in chosen if not one.file.is_file()]:
        raise BadInput(f"{folder} lacks {len(missing)} of its files, e.g. {missing[0]}.")
    return chosen


async def _import_all(
    settings: GatewaySettings,
    chosen: Sequence[Chosen],
    department: str | None,
    opener: ClientOpener,
) -> str:
    new = known = refused = 0
    triage = load_triage_models(settings)
    ood = load_ood_detector(settings.ood_model_dir)
    metrics = GatewayMetrics()
    with (
        ThreadPoolExecutor(settings.cpu_threads, thread_name_prefix="image") as threads,
        closing(open_decoder(settings, metrics.decoder_failures.inc)) as decoder,
    ):
        async with (
            open_archive(settings) as archive,
            open_audit_log(settings) as log,
            opener(settings) as clients,
        ):
            triage.use(await archive.query(site_thresholds))
            promotions = partial(archive.query, latest_promotions)
            router = ModelRouter(clients, promotions, settings.promotion_poll_s)
            await router.refresh()
            analyzer = Analyzer(
                ood, router, triage, decoder=decoder, threads=threads, metrics=metrics
            )
            pipeline = AnalysisPipeline(
                archive, analyzer, metrics, settings, on_analysed=lambda _stored, _analysis: None
            )
            for one in chosen:
                try:
                    upload = await archive.in_thread(_received, archive, one, settings)
                    analysed = await pipeline.analyze(upload, None, department)
                except ServiceError as error:
                    refused += 1
                    sys.stderr.write(f"import-screening: {one.file.name}: {error}\n")
                    await _note(log, None, 1)
                    continue
                new, known = new + analysed.is_new, known + (not analysed.is_new)
                await _note(log, analysed.stored.id, 0)
            await pipeline.close()
    said = f"{new} studies are on the worklist as routine, {known} were in the archive before"
    if refused:
        raise CommandError(f"{said}, {refused} images were refused.")
    return f"{said}."


def _received(archive: Archive, chosen: Chosen, settings: GatewaySettings) -> Upload:
    # Whoever filled the folder may be somebody else: no more than an upload may have, and no
    # other file by a link.
    try:
        with os.fdopen(os.open(chosen.file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            content = stream.read(settings.max_upload_bytes + 1)
    except OSError as error:
        raise Unprocessable(f"It cannot be read: {error.strerror}.") from error
    if len(content) > settings.max_upload_bytes:
        raise PayloadTooLarge(f"It has more than {settings.max_upload_bytes} bytes.")
    incoming: IncomingFile = archive.files.begin()
    incoming.write(content)
    return Upload(
        incoming=incoming,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        file_name=chosen.reference[-_MAX_REFERENCE_CHARS:],
        received_at=datetime.now(UTC),
        screened=True,
    )


async def _note(log: AuditLog, study_id: str | None, outcome: int) -> None:
    await log.record(by_the_machine("import-screening", outcome, study_id=study_id))
