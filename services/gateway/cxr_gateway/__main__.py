"""`python -m cxr_gateway`: the gateway as a process."""

import sys

import uvicorn

from cxr_gateway.app import create_app
from cxr_gateway.joining import JoiningError, load_joinings
from cxr_gateway.settings import GatewaySettings
from cxr_serving.logs import configure_logging
from cxr_serving.process import settings_or_exit


def main() -> int:
    """Serve until a signal comes; 2 if a joining is broken, 3 (uvicorn's) if another part is."""
    settings = settings_or_exit(GatewaySettings)
    try:
        load_joinings(settings.joining_dir)
    except JoiningError as error:
        # What an operator put there, like a setting: a sentence, and no traceback around it.
        print(error, file=sys.stderr)
        return 2
    configure_logging("gateway", settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_grace_s),
    )
    server = uvicorn.Server(config)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
