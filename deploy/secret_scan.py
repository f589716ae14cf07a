"""`python -m deploy.secret_scan`: looks for passwords, keys and tokens in the tracked files.

What looks like one and is none stands in `not_secrets.json` beside this file, with its reason: by
file, kind and hash, so that the file does not hold it once more. Nothing is sent anywhere: the
scanner's habit of trying a token out at whoever issued it is left out.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[1]
KNOWN = Path(__file__).with_name("not_secrets.json")
_HEURISTICS = (
    *("is_indirect_reference", "is_likely_id_string", "is_not_alphanumeric_string"),
    *("is_potential_uuid", "is_prefixed_with_dollar_sign", "is_sequential_string"),
    "is_templated_secret",
)
# Digests of models and data, and of packages in the lock files.
_DIGESTS = r'"(\w+_)?(sha256|commit|config_hash|hashed_secret)": "[0-9a-f]{40,64}"'
_LOCK_FILES = r"(^|/)(requirements/\w+\.txt|package-lock\.json)$"
_PLUGINS: dict[str, type] = get_mapping_from_secret_type_to_class()
SETTINGS = {
    "plugins_used": [{"name": plugin.__name__} for plugin in _PLUGINS.values()],
    "filters_used": [
        {"path": "detect_secrets.filters.allowlist.is_line_allowlisted"},
        *({"path": f"detect_secrets.filters.heuristic.{name}"} for name in _HEURISTICS),
        {"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": [_DIGESTS]},
        {"path": "detect_secrets.filters.regex.should_exclude_file", "pattern": [_LOCK_FILES]},
    ],
}


@dataclass(frozen=True, order=True)
class Found:
    """Something that looks like a secret."""

    filename: str
    type: str
    hashed_secret: str


def scan(root: Path, files: Sequence[str]) -> dict[Found, int]:
    """What looks like a secret in `files`, which are relative to `root`, and in which line."""
    with transient_settings(SETTINGS):
        collection = SecretsCollection(root=str(root))
        collection.scan_files(*files)
        return {
            Found(filename, secret.type, secret.secret_hash): secret.line_number
            for filename, secret in collection
        }


def known() -> dict[Found, str]:
    """What looks like a secret and is none, and why."""
    entries = json.loads(KNOWN.read_text())
    return {
        Found(entry["filename"], entry["type"], entry["hashed_secret"]): entry["reason"]
        for entry in entries
    }


def tracked() -> list[str]:
    """The tracked files, and those that could be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def complaints() -> list[str]:
    """A sentence for each finding that is not known, and for each known one that is gone."""
    found, expected = scan(ROOT, tracked()), known()
    new = [
        f"{each.filename}:{found[each]}: {each.type}. Take it out and change it where it is used; "
        f"if it is none, say why in {KNOWN.name}, with the hash {each.hashed_secret}."
        for each in sorted(found.keys() - expected.keys())
    ]
    stale = [
        f"{KNOWN.name} names a {each.type} in {each.filename} that is not there any more."
        for each in sorted(expected.keys() - found.keys())
    ]
    return new + stale


def main() -> int:
    """Print the complaints; 1 if there are any."""
    lines = complaints()
    print("\n".join(lines) or "No secret in the tracked files.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
