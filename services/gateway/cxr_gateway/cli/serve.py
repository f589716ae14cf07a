"""The service as a process: what it stands on is looked at first, then uvicorn serves."""

import logging
import shutil

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from cxr_gateway.access.start import refuse_open_to_others
from cxr_gateway.analysis.rescoring import RescoringError, load_rescorings
from cxr_gateway.app import create_app
from cxr_gateway.archive import open_files
from cxr_gateway.archive.db_errors import database_failures, folder_failures
from cxr_gateway.archive.schema import migrate_if_older, refuse_other
from cxr_gateway.archive.tables import open_engine
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError
from cxr_serving.logs import configure_logging
from cxr_serving.process import KEEP_ALIVE_S
from cxr_serving.starting import start_failure

_log = logging.getLogger(__name__)


def serve(settings: GatewaySettings) -> int:
    """Until a signal; 2 if settings, archive or rescorings are unfit, 3 if another part is."""
    configure_logging("gateway", settings.log_level)
    try:
        refuse_open_to_others(settings)
        load_rescorings(settings.rescoring_dir)
        _check_archive(settings)
    except (RescoringError, ServiceError) as error:
        # What an operator put there, like a setting: a sentence, and no traceback around it.
        _log.error(start_failure("gateway", error))
        return 2
    server = server_of(create_app(settings), settings)
    server.run()
    return 0 if server.started else 3


def server_of(app: FastAPI, settings: GatewaySettings) -> uvicorn.Server:
    """The server of an app, not started."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # It would believe X-Forwarded-For of whoever is on this machine; see `forwarded.py`.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.shutdown_grace_s),
    )
    return uvicorn.Server(config)


def _check_archive(settings: GatewaySettings) -> None:
    """Raise unless studies can be archived: room for one, a place for it, today's schema."""
    files = open_files(settings)
    with folder_failures():
        free = shutil.disk_usage(settings.archive_dir).free
    if free < settings.max_upload_bytes:
        raise StorageFull(
            f"{settings.archive_dir}: {free / 1e6:.0f} MB are free on this volume, less than the "
            f"{settings.max_upload_bytes / 1e6:.0f} MB of one upload; make room."
        )
    files.open()
    try:
        files.check_writable()
    finally:
        files.close()
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        _check_schema(settings, engine)
    finally:
        engine.dispose()


def _check_schema(settings: GatewaySettings, engine: Engine) -> None:
    if settings.resolved_migrate_at_start:
        migrate_if_older(engine, settings.database_timeout_s)
    with database_failures(), engine.connect() as connection:
        refuse_other(connection)
