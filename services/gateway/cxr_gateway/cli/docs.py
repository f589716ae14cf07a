"""The command `docs`: documents that follow from the code, for `make generate` and for CI.

`docs openapi` and the others print a document; with `--check FILE` they print nothing and end 1 if
the file is stale.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    docs = commands.add_parser("docs", help="print a document that follows from the code")
    docs.add_argument("document", choices=sorted(_DOCUMENTS))
    docs.add_argument("--check", type=Path, metavar="FILE", help="end 1 if this file is stale")
    docs.set_defaults(run=run)


def run(_settings: GatewaySettings, options: argparse.Namespace) -> int:
    """Print the document, or compare it with a file."""
    text = document_text(options.document)
    if options.check is None:
        sys.stdout.write(text)
        return 0
    if options.check.is_file() and options.check.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        f"{options.check} is stale: run cxr-gateway docs {options.document} > {options.check}\n"
    )
    return 1


def document_text(name: str) -> str:
    """A document as it is committed; it depends on the code only, not on the environment."""
    return _DOCUMENTS[name]()


def _openapi() -> str:
    from cxr_gateway.app import create_app

    document = create_app(GatewaySettings.model_construct()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _permissions() -> str:
    from cxr_gateway.access.permissions import Operations, markdown
    from cxr_gateway.app import create_app

    return markdown(Operations(create_app(GatewaySettings.model_construct()).routes))


def _problems() -> str:
    from cxr_gateway.api.problems import markdown

    return markdown()


def _triage() -> str:
    from cxr_gateway.analysis.triage import markdown

    return markdown()


_DOCUMENTS: dict[str, Callable[[], str]] = {
    "openapi": _openapi,
    "permissions": _permissions,
    "problems": _problems,
    "triage": _triage,
}
