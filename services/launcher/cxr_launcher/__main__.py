"""`python -m cxr_launcher`: start, wait, analyse the sample, print the result, stay up."""

import argparse
import os
import signal
import socket
import sys
import threading

import httpx
from honcho.manager import Manager

from cxr_launcher.sample import NotReady, Refused, analyse_sample, as_json, wait_until_ready
from cxr_launcher.serve import add_options, run
from cxr_launcher.settings import LOOPBACK, LauncherSettings, Service, services
from cxr_launcher.supervisor import supervisor

EXIT_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Start the services with the models that the options name, if any; the exit status."""
    parser = argparse.ArgumentParser(
        prog="cxr_launcher", description="All services on this machine; `cxr serve` is this, too."
    )
    add_options(parser)
    return run(parser.parse_args(arguments))


def start() -> int:
    """Run until a signal or until a service stops; the exit status of the first that stopped."""
    settings = LauncherSettings()
    running = services(settings)
    for service in running:
        for variable, port in service.ports.items():
            if _in_use(port):
                print(
                    f"Port {port}, which the {service.name} needs, is in use. Stop what holds it,"
                    f" or set {variable}.",
                    file=sys.stderr,
                )
                return EXIT_USAGE
    manager = supervisor(running)
    threading.Thread(
        target=_greet, args=(manager, running, settings.start_timeout_s), daemon=True
    ).start()
    manager.loop()
    return int(manager.returncode or 0)


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        # As the services do it: a port that lingers in TIME_WAIT is free to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _greet(manager: Manager, running: list[Service], timeout_s: float) -> None:
    gateway = next(service for service in running if service.name == "gateway")
    try:
        wait_until_ready(running, timeout_s=timeout_s, stopped=lambda: manager._terminating)
        result, for_whom = as_json(analyse_sample(gateway)), "Open to this machine only."
    except Refused:
        result, for_whom = "", "It wants an API key or a sign-in; the sample was not analysed."
    except (NotReady, OSError, httpx.HTTPError) as error:
        print(f"Could not analyse the sample radiograph: {error}", file=sys.stderr)
        # The main thread alone may end the services: honcho's loop runs there.
        os.kill(os.getpid(), signal.SIGTERM)
        return
    print(result)
    address = gateway.url.replace(LOOPBACK, "localhost")
    print(f"\nOpen {address} in a browser (Ctrl-C stops the services).")
    print(f"Research use. Not a medical device. {for_whom}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
