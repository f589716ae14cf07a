"""The program `cxr-dicom`: without a command it serves; with one, what an operator does.

Commands read and change the ledger beside a node that runs; it notices within a second.
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from pydicom import config

from cxr_dicom.delivery import ask
from cxr_dicom.forwarding import objects_of, why_withheld
from cxr_dicom.gateway import GatewayClient, GatewayError
from cxr_dicom.ledger import DeliveryState, InstanceState, Ledger, LedgerError
from cxr_dicom.peers import Destination, Peers, PeersError, read_peers
from cxr_dicom.settings import DicomSettings
from cxr_dicom.spool import SpoolError
from cxr_serving.logs import configure_logging
from cxr_serving.process import KEEP_ALIVE_S, settings_or_exit

EXIT_USAGE = 2
_LOG = logging.getLogger("cxr.dicom")
_Run = Callable[[DicomSettings, Peers, argparse.Namespace], str]


class CommandError(Exception):
    """What the user can mend; a sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Serve, or run a command; its exit status, 1 with a sentence for what the user can mend."""
    options = parser().parse_args(arguments)
    settings = settings_or_exit(DicomSettings)
    try:
        peers = read_peers(settings.peers_file)
    except PeersError as error:
        print(f"CXR_DICOM_PEERS_FILE: {error}", file=sys.stderr)
        return EXIT_USAGE
    if options.command is None:
        return serve(settings, peers)
    configure_logging("dicom", "ERROR")
    run: _Run = options.run
    try:
        print(run(settings, peers, options))
    except (CommandError, GatewayError, LedgerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def serve(settings: DicomSettings, peers: Peers) -> int:
    """Until a signal; 2 if the spool or the port cannot be used."""
    from cxr_dicom.app import create_app

    configure_logging("dicom", settings.log_level)
    # pydicom quotes what it finds odd in a file; the log holds nothing of a patient.
    config.settings.reading_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
    # It logs each protocol error with a traceback; what matters is logged by the handlers.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    serving = uvicorn.Config(
        create_app(settings, peers),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(serving)
    try:
        server.run()
    except (SpoolError, LedgerError, OSError) as error:
        _LOG.critical("the node cannot start", extra={"reason": str(error)})
        return EXIT_USAGE
    return 0 if server.started else EXIT_USAGE


def parser() -> argparse.ArgumentParser:
    """What is understood on the command line; a command's options carry its `run`."""
    made = argparse.ArgumentParser(
        prog="cxr-dicom", description="Without a command it serves until a signal comes."
    )
    commands = made.add_subparsers(dest="command")
    _add(commands, "status", _status, "what waits, what was sent, what has failed")
    retry = _add(commands, "retry", _retry, "analyse instances again that were put aside")
    _one_or_all(retry, "instance")
    resend = _add(commands, "resend", _resend, "send results again that could not be delivered")
    _one_or_all(resend, "delivery")
    deliver = _add(commands, "deliver", _deliver, "queue the results of a study for a destination")
    deliver.add_argument("study", help="the study's id at the gateway")
    deliver.add_argument("--to", required=True, metavar="NAME", help="a destination")
    echoed = _add(commands, "echo", _echo, "ask a destination whether it is there")
    echoed.add_argument("name")
    return made


def _add(commands: Any, name: str, run: _Run, described: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=described)
    made.set_defaults(run=run)
    return made


def _one_or_all(made: argparse.ArgumentParser, what: str) -> None:
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("number", nargs="?", type=int, help=f"of the {what}, as `status` shows it")
    which.add_argument("--all", action="store_true")


@contextmanager
def _ledger(settings: DicomSettings) -> Iterator[Ledger]:
    path = settings.spool_dir / "ledger.sqlite3"
    if not path.exists():
        raise CommandError(f"{path} is not there: the node has never run on this spool.")
    ledger = Ledger.open(path)
    try:
        yield ledger
    finally:
        ledger.close()


def _status(settings: DicomSettings, _peers: Peers, _options: argparse.Namespace) -> str:
    with _ledger(settings) as ledger:
        counts = ledger.counts()
        lines = [f"{table:12}{state:12}{count}" for (table, state), count in sorted(counts.items())]
        for number, uid, sender, _, reason in ledger.instances_in(InstanceState.FAILED):
            lines.append(f"instance {number} of {sender} failed: {uid}: {reason}")
        for number, uid, sender, _, reason in ledger.instances_in(InstanceState.WAITING):
            if reason:
                lines.append(f"instance {number} of {sender} waits: {uid}: {reason}")
        shown = (DeliveryState.QUEUED, DeliveryState.FAILED, DeliveryState.WITHHELD)
        for row in ledger.deliveries_in(*shown):
            number, destination, study, kind, state, attempts, reason = row
            told = f": {reason}" if reason else ""
            lines.append(
                f"delivery {number} {state} to {destination}: {kind} of {study}, "
                f"{attempts} attempts{told}"
            )
    return "\n".join(lines) or "Nothing has come yet."


def _retry(settings: DicomSettings, _peers: Peers, options: argparse.Namespace) -> str:
    with _ledger(settings) as ledger:
        files = ledger.retry(None if options.all else options.number)
    return f"{len(files)} instances wait again."


def _resend(settings: DicomSettings, _peers: Peers, options: argparse.Namespace) -> str:
    with _ledger(settings) as ledger:
        count = ledger.resend(None if options.all else options.number)
    return f"{count} results are queued again."


def _deliver(settings: DicomSettings, peers: Peers, options: argparse.Namespace) -> str:
    to = _destination(peers, options.to)
    with GatewayClient.open(settings) as gateway:
        study = gateway.study(options.study)
    if (reason := why_withheld(to, study)) is not None:
        raise CommandError(reason)
    objects = objects_of(to, study)
    with _ledger(settings) as ledger:
        ledger.queue(study.id, study.priority, [(to.name, kind) for kind in objects])
    return f"{', '.join(objects)} of {study.id} are queued for {to.name}."


def _echo(settings: DicomSettings, peers: Peers, options: argparse.Namespace) -> str:
    return ask(settings, _destination(peers, options.name))


def _destination(peers: Peers, name: str) -> Destination:
    found = peers.destination_of(name)
    if found is None:
        known = ", ".join(one.name for one in peers.destination) or "none"
        raise CommandError(
            f"There is no destination {name} in the file of peers; there are: {known}."
        )
    return found
