"""One supervisor over the services: when one stops, all stop."""

import os
import shlex
import signal
import sys
from collections.abc import Iterable

from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Process

from cxr_launcher.child import die_with_parent
from cxr_launcher.settings import Service


class _BoundProcess(Process):  # type: ignore[misc]  # honcho carries no annotations
    """A honcho process that dies with the supervisor, even if that is killed outright.

    honcho runs each service below a process of its own that ignores SIGINT and SIGTERM; that
    one is killed with the supervisor, and the service is terminated with it.
    """

    def run(self, events: object = None, ignore_signals: bool = False) -> None:
        die_with_parent(signal.SIGKILL)
        super().run(events, ignore_signals)


def supervisor(running: Iterable[Service]) -> Manager:
    """A honcho manager over `running`; `loop()` starts them and blocks until all have ended."""
    # Logs go to standard error: standard output carries the sample's result alone.
    manager = Manager(Printer(sys.stderr))
    manager._process_ctor = _BoundProcess
    for service in running:
        command = shlex.join([sys.executable, "-m", "cxr_launcher.child", service.package])
        # `exec`: honcho starts a shell, which must not stand between it and the service.
        manager.add_process(
            service.name, f"exec {command}", env={**os.environ, **service.environment}
        )
    # A closed terminal ends the services, too; honcho itself handles SIGINT and SIGTERM.
    signal.signal(signal.SIGHUP, lambda *_: manager.terminate())
    return manager
