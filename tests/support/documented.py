"""Blocks of the docs that a test runs as they stand: what follows `<!-- tried: NAME -->`."""

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^<!-- tried: (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def tried_block(page: str, name: str, places: Mapping[str, str | Path] | None = None) -> str:
    """A block of `docs/PAGE`.

    Args:
        page: the file's name.
        name: as the comment before the block has it.
        places: folders and names of a test, by those that are written there.

    Raises:
        KeyError: the page has no such block.
    """
    text: str = dict(_BLOCK.findall((ROOT / "docs" / page).read_text()))[name]
    for written, here in (places or {}).items():
        text = text.replace(written, str(here))
    return text
