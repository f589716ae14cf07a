"""The gateway as a real process, its OOD detector a rule: `python -m gateway_process`.

Settings come from `CXR_GATEWAY_*`; `CXR_TEST_MAX_FILE_BYTES` limits every file that it writes;
`CXR_TEST_DIE_AT` is a step, a file and a number, as `fault_points.arm` takes them.
"""

import os
import resource
import sys
from pathlib import Path

from cxr_gateway.app import create_app
from cxr_gateway.cli.serve import server_of
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.logs import configure_logging
from support.fake_gateway import RuleOodDetector
from support.fault_points import arm


def main() -> int:
    """Serve until a signal comes."""
    if limit := os.environ.get("CXR_TEST_MAX_FILE_BYTES"):
        # Byte code would be kept cut off at the limit, for every later process.
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    if step := os.environ.get("CXR_TEST_DIE_AT"):
        name, armed, hits = step.split(":")
        arm(name, Path(armed), int(hits))
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level)
    server = server_of(create_app(settings, ood=RuleOodDetector()), settings)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
