"""Known vulnerabilities of what is locked, from files: no network is asked.

    python -m deploy.advisories --database pypi.zip npm.zip [--debian packages.txt ...]

Each file is an export of OSV's database (https://osv.dev: an ecosystem's `all.zip`), or a folder or
a single JSON file of its records. Read are requirements/*.txt, frontend/package-lock.json, and the
Debian packages of images, `source version` a line. Exit status 1 if one is vulnerable, may be (its
version cannot be compared), or is of an ecosystem that no file knows.
"""

import argparse
import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
# Advisories that are known and do not concern this project, each with its reason beside it.
IGNORED: dict[str, str] = {}

Record = dict[str, Any]


@dataclass(frozen=True, order=True)
class Package:
    """What is locked, and in which list."""

    ecosystem: str
    name: str
    version: str
    where: str


@dataclass(frozen=True, order=True)
class Found:
    """A package with a known vulnerability."""

    package: Package
    advisory: str
    summary: str


def locked(root: Path = ROOT) -> list[Package]:
    """Every package of the lock files, those of the page that it is built with left out."""
    packages = set()
    for path in sorted((root / "requirements").glob("*.txt")):
        for name, version in re.findall(r"^([a-z0-9._-]+)\S*==(\S+)", path.read_text(), re.M):
            packages.add(Package("PyPI", name, version, f"requirements/{path.name}"))
    lock = json.loads((root / "frontend/package-lock.json").read_text())
    for place, described in lock["packages"].items():
        if place and not described.get("dev"):
            name = place.rpartition("node_modules/")[2]
            packages.add(Package("npm", name, described["version"], "frontend/package-lock.json"))
    return sorted(packages)


def debian(path: Path) -> list[Package]:
    """Of lines `source version`, as dpkg-query prints them; advisories name source packages."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [
        Package("Debian", fields[0].partition(":")[0], fields[1], path.name)
        for fields in lines
        if len(fields) == 2
    ]


def records(source: Path) -> Iterator[Record]:
    """The records of a zip file, a folder or a JSON file."""
    if source.is_dir():
        for path in sorted(source.rglob("*.json")):
            yield json.loads(path.read_text())
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    yield json.loads(archive.read(name))
    else:
        read = json.loads(source.read_text())
        yield from read if isinstance(read, list) else [read]


def affected(packages: list[Package], advisories: Iterator[Record]) -> list[Found]:
    """Those of the packages that a record names in this version; withdrawn ones name nobody."""
    by_name = defaultdict(list)
    for package in packages:
        by_name[_known_as(package.ecosystem, package.name)].append(package)
    found = set()
    for record in advisories:
        if record.get("withdrawn"):
            continue
        for part in record.get("affected", ()):
            named = part.get("package", {})
            ecosystem = named.get("ecosystem", "").partition(":")[0]
            for package in by_name.get(_known_as(ecosystem, named.get("name", "")), ()):
                if _is_affected(package, part):
                    summary = record.get("summary") or record.get("details", "")[:100]
                    found.add(Found(package, record["id"], " ".join(summary.split())))
    return sorted(found)


def _known_as(ecosystem: str, name: str) -> tuple[str, str]:
    return ecosystem, re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name


def _is_affected(package: Package, part: Record) -> bool:
    if package.version in part.get("versions", ()):
        return True
    if package.ecosystem == "Debian":
        return False  # its order of versions is another; records list each of them
    return any(
        _in_range(package.version, one["events"])
        for one in part.get("ranges", ())
        # Of commits: such a record lists its versions.
        if one.get("type") != "GIT"
    )


def _in_range(version: str, events: list[dict[str, str]]) -> bool:
    """As OSV's schema says: events in order, each of which opens or closes what is affected."""
    try:
        ours = Version(version)
        ordered = sorted(
            (Version("0") if value == "0" else Version(value), kind)
            for event in events
            for kind, value in event.items()
            if kind != "limit"
        )
    except InvalidVersion:
        return True  # which of the two is the newer nobody knows: a person looks
    inside = False
    for at, kind in ordered:
        if kind == "introduced" and ours >= at:
            inside = True
        if (kind == "fixed" and ours >= at) or (kind == "last_affected" and ours > at):
            inside = False
    return inside


def main(arguments: list[str] | None = None) -> int:
    """Print what is found; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.advisories", description=__doc__)
    parser.add_argument("--database", nargs="+", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--debian", nargs="*", type=Path, default=[], metavar="FILE", help="an image's packages"
    )
    options = parser.parse_args(arguments)
    packages = locked() + [package for path in options.debian for package in debian(path)]
    n_records, found, ecosystems = 0, list[Found](), set[str]()
    for source in options.database:
        read = list(records(source))
        n_records += len(read)
        ecosystems |= {
            part.get("package", {}).get("ecosystem", "").partition(":")[0]
            for record in read
            for part in record.get("affected", ())
        }
        found += affected(packages, iter(read))
    for one in found:
        package, ignored = one.package, one.advisory in IGNORED
        sys.stdout.write(
            f"{one.advisory}{' (ignored)' if ignored else ''}: {package.name} {package.version} "
            f"({package.where}): {one.summary}\n"
        )
    unasked = {package.ecosystem for package in packages} - ecosystems
    for ecosystem in sorted(unasked):
        sys.stdout.write(f"{ecosystem}: no file has records of it; its packages were not asked.\n")
    sys.stdout.write(f"{len(packages)} packages held against {n_records} records.\n")
    serious = [one for one in found if one.advisory not in IGNORED]
    return int(bool(serious) or bool(unasked))


if __name__ == "__main__":
    sys.exit(main())
