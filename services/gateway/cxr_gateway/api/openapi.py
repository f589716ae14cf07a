"""Export of the OpenAPI document: `python -m cxr_gateway.api.openapi > docs/openapi.json`.

With `--check FILE` it prints nothing and ends 1 if the file is stale, for CI.
"""

import argparse
import json
import sys
from pathlib import Path

from cxr_gateway.app import create_app
from cxr_gateway.core.settings import GatewaySettings


def document_text() -> str:
    """The document as it is committed; it depends on the code only, not on the environment."""
    document = create_app(GatewaySettings.model_construct()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Print the document, or compare it with a file."""
    parser = argparse.ArgumentParser(prog="python -m cxr_gateway.api.openapi", description=__doc__)
    parser.add_argument("--check", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    text = document_text()
    if options.check is None:
        sys.stdout.write(text)
        return 0
    if options.check.is_file() and options.check.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        f"{options.check} is stale: run python -m cxr_gateway.api.openapi > {options.check}\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
