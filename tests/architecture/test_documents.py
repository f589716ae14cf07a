"""What documents say of the repository is so."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked(pattern: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [path for name in names if (path := ROOT / name).is_file()]


def test_the_tests_that_security_md_names_are_there() -> None:
    there = {path.name for path in tracked("tests/**/test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "docs/security.md").read_text()))
    assert named <= there, named - there


def test_make_test_security_runs_each_of_them() -> None:
    security = (ROOT / "docs/security.md").read_text()
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    [listed] = re.findall(r"^SECURITY_TESTS = (.*)$", makefile, re.MULTILINE)
    for prefix, names in re.findall(r"\$\(addprefix (\S+?),\$\(addsuffix \.py,([^)]*)\)\)", listed):
        listed += " " + " ".join(f"{prefix}{name}.py" for name in names.split())
    run = listed.split()
    for path in tracked("tests/**/test_*.py"):
        if f"`{path.name}`" in security:
            place = path.relative_to(ROOT).as_posix()
            assert any(place == one or place.startswith(f"{one}/") for one in run), place


def test_each_entry_point_has_threats_of_every_kind_that_applies_each_with_what_holds_it() -> None:
    security = (ROOT / "docs/security.md").read_text()
    parts = dict(re.findall(r"^### (.*)\n((?:(?!^##).*\n)*)", security, re.MULTILINE))
    for point in (
        "upload", "API", "feed of changes", "Webhooks", "import-screening", "reverse proxy",
        "DICOM node", "page `/operations`", "`[[source]]`", "database", "Inference services",
        "Backups",
    ):  # fmt: skip
        [table] = [text for heading, text in parts.items() if point in heading]
        rows = re.findall(r"^\| ([STRIDE]) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE)
        assert len(rows) == len(re.findall(r"^\| [STRIDE] \|", table, re.MULTILINE)), point
        assert len({letter for letter, _ in rows}) >= 4, point
        for letter, held in rows:
            assert re.search(r"`test_\w+\.py`|\]\(results/", held), (point, letter, held)


def test_every_decision_is_in_the_index_and_a_page_at_most() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    decisions = [path for path in folder.glob("*.md") if path.name != "README.md"]
    assert decisions
    for path in decisions:
        assert f"]({path.name})" in index, path.name
        assert len(path.read_text().split()) <= 450, path.name


def test_the_makefile_names_each_command_of_the_guides() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/operations.md"):
        named = set(re.findall(r"`make ([a-z-]+)", (ROOT / name).read_text()))
        assert named <= targets, (name, named - targets)
