"""An inference service as a process: uvicorn, JSON logs, an exit code for its supervisor."""

import contextlib
import ssl
import sys
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from cxr_serving.inference_service import InferenceService
from cxr_serving.logs import configure_logging
from cxr_serving.settings import InferenceSettings, ServiceSettings

# Longer than any client keeps an idle connection, so that none is closed under a request that is
# on its way.
KEEP_ALIVE_S = 75
Settings = TypeVar("Settings", bound=ServiceSettings)


def settings_or_exit(kind: type[Settings]) -> Settings:
    """The settings from the environment; if one is wrong, a sentence for each and exit code 2."""
    try:
        return kind()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            where = ".".join(str(step) for step in item["loc"])
            name = f"{kind.model_config.get('env_prefix', '')}{where}".upper() if where else ""
            print(f"{name}: {item['msg']}" if name else item["msg"], file=sys.stderr)
        sys.exit(2)


def serve(app: FastAPI, service: InferenceService[Any, Any]) -> int:
    """Serve until a signal comes. Returns 1 if the model could not be loaded, else 0."""
    settings = service.settings
    configure_logging(service.role, settings.log_level)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.shutdown_s,
            **_tls_of(settings),
        )
    )

    def stop() -> None:
        server.should_exit = True

    service.on_failure = stop
    with contextlib.suppress(KeyboardInterrupt):  # the server has shut down by then
        server.run()
    return 1 if service.failed else 0


def _tls_of(settings: InferenceSettings) -> dict[str, Any]:
    """Uvicorn's options for mutual TLS, where the settings name certificates."""
    if settings.tls_cert_file is None:
        return {}
    return {
        "ssl_certfile": settings.tls_cert_file,
        "ssl_keyfile": settings.tls_key_file,
        "ssl_ca_certs": str(settings.tls_client_ca_file),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
