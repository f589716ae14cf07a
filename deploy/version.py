"""The one version number, of `cxr_serving/product.py`, wherever else it has to be written.

python -m deploy.version            write it there
python -m deploy.version --check    exit status 1, and where, if it is another somewhere
python -m deploy.version 0.2.0      first make it this one
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = "services/serving/cxr_serving/product.py"
_NUMBER = r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?"
# Files, and what stands before the number in them.
_PLACES = (
    (SOURCE, r'VERSION = "'),
    ("frontend/package.json", r'^  "version": "'),
    ("frontend/package-lock.json", r'(?:\A\{|^    "": \{)\n +"name": "[a-z-]+",\n +"version": "'),
    ("*compose*.yml", r"\$\{CXR_VERSION:-"),
    (".env.example", r"^#CXR_VERSION="),
    ("docs/conformance.md", r"^version (?=[0-9.]+\. Research use)"),
    ("deploy/kubernetes/**/*.yaml", r"image: open-chest-xray-reader/[a-z-]+:"),
)


def version(root: Path = ROOT) -> str:
    """The product's version."""
    found = re.search(rf'VERSION = "({_NUMBER})"', (root / SOURCE).read_text())
    if found is None:
        raise SystemExit(f"{SOURCE}: there is no version.")
    return found[1]


def differing(number: str, root: Path = ROOT) -> dict[Path, str]:
    """The files that name another version than `number`, as they have to be."""
    changed = {}
    for pattern, before in _PLACES:
        for path in sorted(root.glob(pattern)):
            text = path.read_text()
            after = re.sub(rf"({before}){_NUMBER}", rf"\g<1>{number}", text, flags=re.MULTILINE)
            if after != text:
                changed[path] = after
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Write, or check; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.version", description=__doc__)
    parser.add_argument("number", nargs="?", help="the new version")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    number = options.number or version()
    if not re.fullmatch(_NUMBER, number):
        parser.error(f"{number}: versions are like 0.2.0 or 0.2.0rc1")
    changed = differing(number)
    for path, text in changed.items():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if not options.check:
            path.write_text(text)
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
