"""`python -m deploy.dependency_audit`: known vulnerabilities of the packages that are locked.

Python's packages are asked for by pip-audit, from the lock files and without installing any; the
page's by npm. Where no source of advisories answers, that is said in one line and is no failure:
it says nothing about the packages. What is known and cannot be fixed stands in
`known_advisories.json` beside this file, with its reason.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KNOWN = Path(__file__).with_name("known_advisories.json")
_TIMEOUT_S = 300


@dataclass
class Audit:
    """What a source said of some packages.

    Attributes:
        asked: what was asked about, for the sentence.
        judged: packages about which it knows something.
        unjudged: packages that it does not know.
        advisories: sentences by the advisory's id.
    """

    asked: str
    judged: int = 0
    unjudged: int = 0
    advisories: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether it knows any of them; a source that knows none is none."""
        return self.judged > 0


def of_pip_audit(asked: str, report: Mapping[str, Any]) -> Audit:
    """Read what `pip-audit --format json` printed."""
    audit = Audit(asked)
    for package in report["dependencies"]:
        if "skip_reason" in package:
            audit.unjudged += 1
            continue
        audit.judged += 1
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version"
            named = f"{package['name']} {package['version']}"
            audit.advisories[found["id"]] = f"{asked}: {named}: {found['id']}, fixed in {fixed}"
    return audit


def of_npm(asked: str, report: Mapping[str, Any]) -> Audit:
    """Read what `npm audit --json` printed; without `metadata` it has not been told anything."""
    audit = Audit(asked)
    audit.judged = report.get("metadata", {}).get("dependencies", {}).get("prod", 0)
    for package in report.get("vulnerabilities", {}).values():
        for via in package["via"]:
            # A text names another package of this list, through which this one is touched.
            if isinstance(via, dict):
                name = str(via["url"]).rpartition("/")[2]
                audit.advisories[name] = f"{asked}: {package['name']} {via['range']}: {name}"
    return audit


def complaints(audits: Sequence[Audit], known: Mapping[str, str]) -> list[str]:
    """What has to be done: advisories that are not known, and known ones that are no more.

    Args:
        audits: of everything that is locked.
        known: reasons by advisory.
    """
    found = {name: text for audit in audits for name, text in audit.advisories.items()}
    lines = [text for name, text in sorted(found.items()) if name not in known]
    if all(audit.answered for audit in audits):
        lines += [
            f"{KNOWN.name} names {name}, which concerns no package any more."
            for name in sorted(known.keys() - found.keys())
        ]
    return lines


def _report(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """The JSON that a program prints; empty where it prints none."""
    try:
        ended = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
        report: dict[str, Any] = json.loads(ended.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return {}
    return report


def _python(lock: Path) -> Audit:
    pip_audit = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    report = _report(
        [*pip_audit, "--progress-spinner", "off", "--format", "json", "--requirement", str(lock)],
        ROOT,
    )
    return of_pip_audit(lock.name, report or {"dependencies": []})


def audited() -> list[Audit]:
    """Everything that is locked; a lock file after one about which nobody answers is not asked."""
    audits = [of_npm("the page", _report(["npm", "audit", "--omit=dev", "--json"], _PAGE))]
    # The smallest first: where nobody answers, that is known soon.
    for lock in sorted((ROOT / "requirements").glob("*.txt"), key=lambda path: path.stat().st_size):
        audits.append(_python(lock))
        if not audits[-1].answered:
            break
    return audits


def main() -> int:
    """Print what was found; 1 if something has to be done."""
    audits = audited()
    for audit in audits:
        if not audit.answered:
            print(f"{audit.asked}: no source of advisories answers here; nothing was audited.")
        else:
            print(f"{audit.asked}: {audit.judged} packages judged, {audit.unjudged} unknown.")
    known = {entry["id"]: entry["reason"] for entry in json.loads(KNOWN.read_text())}
    lines = complaints(audits, known)
    print("\n".join(lines))
    return 1 if lines else 0


_PAGE = ROOT / "frontend"

if __name__ == "__main__":
    sys.exit(main())
