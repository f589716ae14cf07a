"""One version everywhere, a release that can be checked, and advisories read from a file."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import advisories
from deploy.advisories import Package, affected, debian, locked, records
from deploy.manifests import ARCHIVE, COMPOSE, KUBERNETES, REPOSITORY, write_archive
from deploy.release import (
    ADVISORIES,
    IMAGE_LIST,
    NOTES,
    PACKAGES,
    PROVENANCE,
    SUMS,
    as_released,
    main,
    make,
    notes_of,
    sign,
)
from deploy.version import ROOT, differing, version


def test_one_version_is_everywhere() -> None:
    assert differing(version()) == {}


def test_a_new_version_is_written_wherever_it_has_to_be() -> None:
    changed = {str(path.relative_to(ROOT)) for path in differing("9.8.7")}
    assert {
        "services/serving/cxr_serving/product.py", "frontend/package.json", ".env.example",
        "frontend/package-lock.json", "docker-compose.yml", "compose.gpu.yml",
        "docs/conformance.md", "deploy/kubernetes/base/gateway.yaml",
        "deploy/kubernetes/overlays/gpu/detector.yaml",
    } <= changed  # fmt: skip
    for path, text in differing("9.8.7").items():
        before = path.read_text()
        assert text.count("9.8.7") - before.count("9.8.7") == before.count(version()) - text.count(
            version()
        ), path
    lock = next(
        text for path, text in differing("9.8.7").items() if path.name == "package-lock.json"
    )
    assert lock.count("9.8.7") == 2


def test_notes_are_the_changelogs_own() -> None:
    changelog = "# Changelog\n\n## 0.2.0\n\nNew.\n\n### Part\n\n- one\n\n## 0.1.0\n\nFirst.\n"
    assert notes_of("0.2.0", changelog) == "New.\n\n### Part\n\n- one\n"
    assert notes_of("0.1.0", changelog) == "First.\n"
    with pytest.raises(SystemExit, match=r"no section 0\.3\.0"):
        notes_of("0.3.0", changelog)


def test_a_trial_has_the_versions_section_or_what_is_unreleased() -> None:
    unnamed = "# Changelog\n\n## Unreleased\n\nNew.\n\n## 0.1.0\n\nFirst.\n"
    assert notes_of("0.2.0", as_released("0.2.0", unnamed)) == "New.\n"
    named = "# Changelog\n\n## Unreleased\n\n## 0.2.0\n\nNew.\n"
    assert notes_of("0.2.0", as_released("0.2.0", named)) == "New.\n"


def test_this_versions_notes_begin_with_a_summary_and_say_what_breaks() -> None:
    """As docs/compatibility.md promises of a release before 1.0."""
    summary, _, rest = notes_of(version(), (ROOT / "CHANGELOG.md").read_text()).partition("\n### ")
    assert 5 <= len(summary.splitlines()) <= 20
    assert rest.startswith("Breaking\n")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_release_says_what_it_is_made_of(tmp_path: Path) -> None:
    folder = make(tmp_path, [], None, trial=True)
    wheels = sorted(path.name for path in folder.glob("*.whl"))
    assert len(wheels) == len(PACKAGES)
    assert all(f"-{version()}-py3-none-any.whl" in name for name in wheels)
    notes = (folder / NOTES).read_text()
    assert notes == notes_of(version(), (ROOT / "CHANGELOG.md").read_text())
    sums = (folder / SUMS).read_text().splitlines()
    # So who signs the sums signs the images' digests.
    assert {IMAGE_LIST, PROVENANCE, NOTES, *wheels} <= {line.split("  ")[1] for line in sums}
    for line in sums:
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    provenance = json.loads((folder / PROVENANCE).read_text())
    assert {subject["name"] for subject in provenance["subject"]} >= {*wheels, NOTES}
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    made_of = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"uri": "git", "digest": {"gitCommit": commit}} in made_of
    assert (
        shutil.which("sha256sum") is None
        or not subprocess.run(
            ["sha256sum", "--check", "--quiet", SUMS], cwd=folder, check=False
        ).returncode
    )
    with pytest.raises(SystemExit, match="never replaced"):
        make(tmp_path, [], None, trial=True)


def test_what_an_operator_signs_is_checked_as_the_docs_say_and_a_change_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    key, public = tmp_path / "cxr.key", tmp_path / "cxr.pub"
    made = ["minisign", "-G", "-W", "-s", str(key), "-p", str(public)]
    subprocess.run(made, check=True, capture_output=True)
    sums = tmp_path / SUMS
    sums.write_text("what is released\n")
    monkeypatch.setenv("MINISIGN_KEY", str(key))
    sign(sums, [])
    check = ["minisign", "-V", "-p", str(public), "-m", str(sums)]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    sums.write_text("something else\n")
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def a_record(name: str, ecosystem: str = "PyPI", **part: Any) -> dict[str, Any]:
    package = {"name": name, "ecosystem": ecosystem}
    return {"id": "TEST-1", "summary": "A hole.", "affected": [{"package": package, **part}]}


def a_range(**events: str) -> dict[str, Any]:
    return {
        "ranges": [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events.items()]}]
    }


@pytest.mark.parametrize(
    ("version_here", "part", "is_affected"),
    [
        ("1.4.2", a_range(introduced="0", fixed="1.4.3"), True),
        ("1.4.3", a_range(introduced="0", fixed="1.4.3"), False),
        ("1.10", a_range(introduced="1.9", fixed="1.11"), True),
        ("1.8", a_range(introduced="1.9", fixed="1.11"), False),
        ("2.0", a_range(introduced="1.0", last_affected="2.0"), True),
        ("2.0.post1", a_range(introduced="1.0", last_affected="2.0"), False),
        ("1.5", {"versions": ["1.4", "1.5"]}, True),
        ("1.6", {"versions": ["1.4", "1.5"]}, False),
        ("1.6", {"ranges": [{"type": "GIT", "events": [{"introduced": "abcdef12"}]}]}, False),
        # What cannot be compared is not taken for safe.
        ("1.0.0-next.5", a_range(introduced="0", fixed="1.0.1"), True),
        ("1.6", a_range(introduced="0", fixed="r42"), True),
    ],
)  # fmt: skip
def test_a_version_is_held_against_a_records_events(
    version_here: str, part: dict[str, Any], *, is_affected: bool
) -> None:
    package = Package("PyPI", "some-package", version_here, "a list")
    found = affected([package], iter([a_record("Some_Package", **part)]))
    assert bool(found) is is_affected


def test_a_release_without_advisories_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.release.PACKAGES", ())
    assert main(["--out", str(tmp_path), "--trial"]) == 0
    folder, said = capsys.readouterr().out.splitlines()
    assert "nobody knows whether a package is vulnerable" in said
    assert (Path(folder) / ADVISORIES).read_text() == f"{said}\n"
    assert said in (Path(folder) / ADVISORIES).read_text()
    provenance = json.loads((Path(folder) / PROVENANCE).read_text())
    definition = provenance["predicate"]["buildDefinition"]
    assert definition["internalParameters"] == {"advisories": []}


# Answers as docker does of images that were built and pushed, and of one base image.
DOCKER = """#!/bin/sh
sum=0123456789012345678901234567890123456789012345678901234567890123
last=$(eval echo \\$$#)
case "$1 $2" in
  "image inspect")
    case "$last" in
      registry.example/*) echo "[{\\"RepoDigests\\": [\\"${last%:*}@sha256:$sum\\"]}]" ;;
      python:*) echo "[{\\"RepoDigests\\": [\\"python@sha256:$sum\\"]}]" ;;
      open-chest-xray-reader/*) echo "[{\\"Id\\": \\"sha256:$sum\\"}]" ;;
      *) exit 1 ;;
    esac ;;
  "run --rm") printf 'openssl 3.0.11-1\\nglibc 2.36-9\\nopenssl 3.0.11-1\\n' ;;
  *) : ;;
esac
"""


def test_a_release_with_images_names_them_by_digest_and_asks_for_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("deploy.release.PACKAGES", ())
    quiet = [a_record("absent", one, **a_range(introduced="0")) for one in ("PyPI", "npm")]
    holed = a_record("openssl", "Debian:12", versions=["3.0.11-1"])
    database = tmp_path / "osv.json"
    database.write_text(json.dumps([*quiet, holed]))
    folder = make(tmp_path / "dist", [database], "registry.example/cxr", trial=True)
    assert "TEST-1: openssl 3.0.11-1 (debian-gateway.txt)" in (folder / ADVISORIES).read_text()
    assert (folder / "debian-database.txt").read_text() == "glibc 2.36-9\nopenssl 3.0.11-1\n"
    digest = "registry.example/cxr/{}@sha256:0123"
    services = yaml.safe_load((folder / COMPOSE).read_text())["services"]
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    built = {name for name, one in composed.items() if REPOSITORY in one["image"]}
    assert set(services) == built - {"orthanc"}
    for name, image in (("gateway", "gateway"), ("migrate", "gateway"), ("dicom", "dicom")):
        assert services[name]["image"].startswith(digest.format(image))
    component = yaml.safe_load((folder / KUBERNETES).read_text())
    pinned = {one["name"]: one for one in component["images"]}
    manifests = (ROOT / "deploy/kubernetes").glob("[bd]*/*.yaml")
    used = set(
        re.findall(rf"{REPOSITORY}/[a-z-]+", "".join(path.read_text() for path in manifests))
    )
    assert used == set(pinned)
    assert pinned[f"{REPOSITORY}/gateway"]["newName"] == "registry.example/cxr/gateway"
    assert pinned[f"{REPOSITORY}/gateway"]["digest"].startswith("sha256:0123")
    made_of = json.loads((folder / PROVENANCE).read_text())["predicate"]["buildDefinition"]
    bases = [one["uri"] for one in made_of["resolvedDependencies"] if "docker:" in one["uri"]]
    assert bases == ["docker:python:3.11-slim-bookworm"]
    listed = {line.split("  ")[1] for line in (folder / SUMS).read_text().splitlines()}
    assert {COMPOSE, KUBERNETES, ARCHIVE, "debian-gateway.txt"} <= listed
    # A file without Debian's records was not asked about them: nothing is released then.
    database.write_text(json.dumps(quiet))
    folder = make(tmp_path / "other", [database], "registry.example/cxr", trial=True)
    assert "Debian: no file has records of it" in (folder / ADVISORIES).read_text()


def test_manifests_of_a_release_are_those_of_the_checkout_and_the_same_twice(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_archive(first)
    write_archive(second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        names = archive.getnames()
        for name in ("docker-compose.yml", "models/classifier/lite0-cxr/manifest.json"):
            packed = archive.extractfile(name)
            assert packed is not None
            assert packed.read() == (ROOT / name).read_bytes()
    assert {"compose.gpu.yml", "deploy/kubernetes/base/gateway.yaml", ".env.example"} <= set(names)
    # By its manifest a model is signed: the sums of its weights are in it.
    kinds = ("classifier", "detector", "ood", "triage")
    for path in (
        path for kind in kinds for path in (ROOT / "models" / kind).glob("*/manifest.json")
    ):
        assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.endswith((".safetensors", ".onnx", ".env"))]


def test_another_ecosystems_and_a_withdrawn_record_say_nothing() -> None:
    package = Package("PyPI", "some-package", "1.0", "a list")
    everything = a_range(introduced="0")
    assert affected([package], iter([a_record("some-package", "npm", **everything)])) == []
    withdrawn = a_record("some-package", **everything) | {"withdrawn": "2026-01-01T00:00:00Z"}
    assert affected([package], iter([withdrawn])) == []


def test_what_is_locked_and_what_an_image_holds_are_read(tmp_path: Path) -> None:
    found = {(package.ecosystem, package.name) for package in locked()}
    assert {("PyPI", "pydicom"), ("PyPI", "pillow"), ("npm", "react")} <= found
    assert ("npm", "typescript") not in found
    listed = tmp_path / "packages.txt"
    listed.write_text("libc6:amd64 2.36-9\nopenssl 3.0.11-1\n")
    record = a_record("openssl", "Debian:12", versions=["3.0.11-1"])
    assert [one.package.name for one in affected(debian(listed), iter([record]))] == ["openssl"]


def test_the_command_reads_a_zip_file_and_says_what_it_was_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "pypi.zip"
    with zipfile.ZipFile(database, "w") as archive:
        archive.writestr("A.json", json.dumps(a_record("pydicom", **a_range(introduced="0"))))
        archive.writestr("B.json", json.dumps(a_record("absent", **a_range(introduced="0"))))
    assert len(list(records(database))) == 2
    assert advisories.main(["--database", str(database)]) == 1
    said = capsys.readouterr().out
    assert "TEST-1: pydicom" in said
    assert "npm: no file has records of it" in said
    page = tmp_path / "npm.json"
    page.write_text(json.dumps([a_record("absent", "npm", **a_range(introduced="0"))]))
    quiet = tmp_path / "quiet.json"
    quiet.write_text(json.dumps(a_record("absent", **a_range(introduced="0"))))
    assert advisories.main(["--database", str(page), str(quiet)]) == 0
