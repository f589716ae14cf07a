"""The service as a process: what it stands on is looked at first, then uvicorn serves."""

import logging
import shutil
import socket

import uvicorn
from fastapi import FastAPI

from cxr_gateway.access.start import refuse_open_to_others
from cxr_gateway.analysis.triage_folder import TriageModelError
from cxr_gateway.analysis.triage_model import load_triage_models
from cxr_gateway.api.dependencies import AppState
from cxr_gateway.app import create_app
from cxr_gateway.archive import open_files
from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.archive.schema import current_database
from cxr_gateway.cli.upgrades import NoUpgrades
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError
from cxr_serving.logs import configure_logging
from cxr_serving.process import KEEP_ALIVE_S
from cxr_serving.starting import start_failure

_log = logging.getLogger(__name__)


def serve(settings: GatewaySettings) -> int:
    """Until a signal; 2 if settings, archive or constants are unfit, 3 if another part is."""
    configure_logging("gateway", settings.log_level)
    try:
        refuse_open_to_others(settings)
        load_triage_models(settings)
        _check_archive(settings)
    except (TriageModelError, ServiceError) as error:
        # What an operator put there, like a setting: a sentence, and no traceback around it.
        _log.error(start_failure("gateway", error))
        return 2
    server = server_of(create_app(settings), settings)
    server.run()
    return 0 if server.started else 3


class _Server(uvicorn.Server):
    """Ends the streams of events, which would go on for an hour, before it waits for requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does."""
        state: AppState | None = getattr(self._app.state, "gateway", None)
        if state is not None:
            state.streams.close()
        await super().shutdown(sockets)


def server_of(app: FastAPI, settings: GatewaySettings) -> uvicorn.Server:
    """The server of an app, not started."""
    config = uvicorn.Config(
        app,
        http=NoUpgrades,
        ws="none",
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
    return _Server(config, app)


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
    with current_database(settings, migrates=True):
        pass
