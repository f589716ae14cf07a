"""A release in a folder: wheels, manifests, notes, parts, advisories, provenance, sums, signatures.

    python -m deploy.release --out dist [--database FILE ...] [--registry HOST/PATH] [--trial]

It is made of a clean checkout of the tag `vVERSION`; `--trial` makes one of whatever is there. The
images that `make images` built are listed where docker is at hand, and with `--registry` pushed.
What is in the folder is signed where the operator has keys: `MINISIGN_KEY` (the file of a secret
key) by minisign, `COSIGN_KEY` by cosign, which then signs pushed images, too.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import advisories, manifests
from deploy.manifests import REPOSITORY, write_archive, write_pinned
from deploy.version import ROOT, differing, version

PACKAGES = (
    *(f"services/{name}" for name in ("contracts", "serving", "classifier", "detector", "gateway")),
    *("services/dicom", "services/launcher", "training", "gan", "screening", "clients/python"),
)
IMAGES = ("frontend", "gateway", "classifier", "detector", "dicom", "database")
SUMS, PROVENANCE, NOTES, IMAGE_LIST = "SHA256SUMS", "provenance.json", "NOTES.md", "images.json"
ADVISORIES = "advisories.txt"
UNASKED = (
    "No database of advisories was given: nobody knows whether a package is vulnerable "
    "(docs/operations.md, Releases)."
)


def notes_of(number: str, changelog: str) -> str:
    """The changelog's section of a version; SystemExit if it has none."""
    found = re.search(rf"^## {re.escape(number)}\b.*?\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if found is None or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md has no section {number}: `Unreleased` becomes it.")
    return found[1].strip() + "\n"


def as_released(number: str, changelog: str) -> str:
    """The changelog with a section of this version: `Unreleased`, where there is no other."""
    if re.search(rf"^## {re.escape(number)}$", changelog, re.M):
        return changelog
    return changelog.replace("## Unreleased", f"## {number}", 1)


def make(out: Path, databases: list[Path], registry: str | None, *, trial: bool) -> Path:
    """Make the release; its folder."""
    number = version()
    if others := differing(number):
        names = ", ".join(str(path.relative_to(ROOT)) for path in others)
        raise SystemExit(f"{names}: of another version than {number}; run python -m deploy.version")
    commit = _git("rev-parse", "HEAD")
    if not trial:
        _refuse_unless_tagged(number, commit)
    folder = out / number
    if folder.exists():
        raise SystemExit(f"{folder}: there already; a release is never replaced.")
    folder.mkdir(parents=True)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if trial:
        changelog = as_released(number, changelog)
    (folder / NOTES).write_text(notes_of(number, changelog))
    for package in PACKAGES:
        _run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], package
        )
    for document in sorted((ROOT / "sbom").glob("*.cdx.json")):
        shutil.copy(document, folder)
    images = _images(number, registry)
    installed = [_installed(image, folder) for image in images]
    is_known = _advisories(databases, installed, folder / ADVISORIES)
    write_archive(folder / manifests.ARCHIVE)
    write_pinned(folder, images)
    (folder / IMAGE_LIST).write_text(json.dumps(images, indent=1) + "\n")
    (folder / PROVENANCE).write_text(
        json.dumps(_provenance(folder, commit, images, databases), indent=1)
    )
    (folder / SUMS).write_text(_sums(folder))
    sign(folder / SUMS, images if registry else [])
    if is_known and not trial:
        raise SystemExit(
            f"{folder}/{ADVISORIES} names vulnerable packages, or some that no file knows: "
            "not to be released."
        )
    return folder


def _refuse_unless_tagged(number: str, commit: str) -> None:
    if _git("status", "--porcelain"):
        raise SystemExit("The checkout has changes; a release is made of what is committed.")
    if f"v{number}" not in _git("tag", "--points-at", commit).split():
        raise SystemExit(f"No tag v{number} at this commit: git tag --sign v{number}")


def _installed(image: dict[str, Any], folder: Path) -> Path:
    """Write which Debian packages an image has, by their sources' names, as in advisories."""
    target = folder / f"debian-{image['name']}.txt"
    form = "--showformat=${source:Package} ${source:Version}\n"
    asking = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "dpkg-query"]
    listed = _run([*asking, image["id"], "--show", form]).splitlines()
    target.write_text("".join(f"{line}\n" for line in sorted(set(listed))))
    return target


def _advisories(databases: list[Path], installed: list[Path], target: Path) -> bool:
    """Write what the databases know; whether a package is vulnerable, or was not asked for."""
    if not databases:
        target.write_text(f"{UNASKED}\n")
        return False
    debian = ["--debian", *map(str, installed)] if installed else []
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = advisories.main(["--database", *map(str, databases), *debian])
    target.write_text(said.getvalue())
    return bool(status)


def _images(number: str, registry: str | None) -> list[dict[str, Any]]:
    """The images of this version that docker has; with `registry`, pushed there."""
    found: list[dict[str, Any]] = []
    if shutil.which("docker") is None:
        return found
    for name in IMAGES:
        tag = f"{REPOSITORY}/{name}:{number}"
        described = subprocess.run(
            ["docker", "image", "inspect", tag], capture_output=True, text=True, check=False
        )
        if described.returncode:
            continue
        image: dict[str, Any] = {
            "name": name,
            "tag": tag,
            "id": json.loads(described.stdout)[0]["Id"],
        }
        if registry is not None:
            pushed = f"{registry}/{name}:{number}"
            _run(["docker", "tag", tag, pushed])
            _run(["docker", "push", "--quiet", pushed])
            digests = json.loads(_run(["docker", "image", "inspect", pushed]))[0]["RepoDigests"]
            image["digest"] = next(one for one in digests if one.startswith(f"{registry}/{name}@"))
        found.append(image)
    return found


def _bases() -> list[dict[str, Any]]:
    """The base images of docker's, by the digest under which their registry gave them."""
    found: list[dict[str, Any]] = []
    if shutil.which("docker") is None:
        return found
    example = (ROOT / ".env.example").read_text()
    for variable, usual in re.findall(r"^#(CXR_\w+_IMAGE)=(.+)$", example, re.M):
        name = os.environ.get(variable) or usual
        described = subprocess.run(
            ["docker", "image", "inspect", name], capture_output=True, text=True, check=False
        )
        digests = json.loads(described.stdout)[0]["RepoDigests"] if not described.returncode else []
        for digest in digests[:1]:
            sha256 = digest.rpartition("@sha256:")[2]
            found.append({"uri": f"docker:{name}", "digest": {"sha256": sha256}})
    return found


def _provenance(
    folder: Path, commit: str, images: list[dict[str, Any]], databases: list[Path]
) -> dict[str, Any]:
    """An in-toto statement: what was made, of which commit and lock files, by what."""
    locks = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "frontend/package-lock.json"]
    subjects = [
        {"name": path.name, "digest": {"sha256": _sha256(path)}}
        for path in sorted(folder.iterdir())
    ]
    subjects += [
        {"name": image["tag"], "digest": {"sha256": image["id"].partition(":")[2]}}
        for image in images
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "make release",
                "externalParameters": {"version": folder.name},
                # Which files of advisories were asked; none, then nobody looked.
                "internalParameters": {
                    "advisories": [
                        {"name": path.name, "sha256": _sha256(path)}
                        for path in databases
                        if path.is_file()
                    ]
                },
                "resolvedDependencies": [
                    {"uri": "git", "digest": {"gitCommit": commit}},
                    *(
                        {"uri": str(path.relative_to(ROOT)), "digest": {"sha256": _sha256(path)}}
                        for path in locks
                    ),
                    *_bases(),
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "deploy/release.py",
                    "version": {"python": platform.python_version()},
                },
                "metadata": {"finishedOn": datetime.now(UTC).isoformat(timespec="seconds")},
            },
        },
    }


def _sums(folder: Path) -> str:
    """As `sha256sum --check` reads them."""
    return "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()))


def sign(sums: Path, images: list[dict[str, Any]]) -> None:
    """Sign a release's sums, and its pushed images, with the keys that the environment names."""
    commands: list[list[str]] = []
    if key := os.environ.get("MINISIGN_KEY"):
        commands.append(["minisign", "-S", "-s", key, "-m", str(sums)])
    if key := os.environ.get("COSIGN_KEY"):
        signing = ["--yes", "--key", key]
        blob = ["--output-signature", f"{sums}.sig", str(sums)]
        commands.append(["cosign", "sign-blob", *signing, *blob])
        commands += [["cosign", "sign", *signing, image["digest"]] for image in images]
    for command in commands:
        # Its words are shown as they come: it may ask for the key's password.
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{' '.join(command[:2])}: not signed.")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(*arguments: str) -> str:
    return _run(["git", *arguments]).strip()


def _run(command: list[str], folder: str = ".") -> str:
    ended = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command[:4])}: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def main(arguments: list[str] | None = None) -> int:
    """Make a release; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--database", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--registry", help="push the images there, and list their digests")
    parser.add_argument("--trial", action="store_true", help="untagged, of whatever is there")
    options = parser.parse_args(arguments)
    folder = make(options.out.resolve(), options.database, options.registry, trial=options.trial)
    sys.stdout.write(f"{folder}\n")
    if not options.database:
        sys.stdout.write(f"{UNASKED}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
