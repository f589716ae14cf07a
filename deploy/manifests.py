"""What of a release says how its images are run: manifests, and the images by digest.

A model's manifest holds the sums of its weights, and a service opens no others; so who signs the
archive of manifests signs the models.
"""

import gzip
import io
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import yaml

from deploy.version import ROOT

ARCHIVE, COMPOSE, KUBERNETES = "manifests.tar.gz", "compose.digests.yml", "kubernetes-images.yaml"
REPOSITORY = "open-chest-xray-reader"
# Patterns of git: all that compose and kubectl read, and what each model is.
_CONTENT = (
    "docker-compose.yml", "compose.*.yml", ".env.example", "deploy/database", "deploy/dicom",
    "deploy/kubernetes", "deploy/monitoring", "deploy/nginx", ":(glob)models/**/manifest.json",
)  # fmt: skip

Image = dict[str, Any]


def write_archive(target: Path, root: Path = ROOT) -> None:
    """The tracked manifests as they lie there: the same bytes of the same files."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *_CONTENT],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in sorted(filter(None, listed.stdout.split("\0"))):
            path = root / name
            described = tarfile.TarInfo(name)
            described.size = path.stat().st_size
            described.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(described, content)
    target.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def write_pinned(folder: Path, images: list[Image], root: Path = ROOT) -> None:
    """Both files that name the pushed images by digest; none where none was pushed.

    Args:
        folder: the release's.
        images: with their `name`, and where they were pushed the `digest`, `PLACE@sha256:...`.
        root: whose compose file says which service runs which image.
    """
    digests = {image["name"]: image["digest"] for image in images if "digest" in image}
    if not digests:
        return
    (folder / COMPOSE).write_text(_compose(digests, (root / "docker-compose.yml").read_text()))
    (folder / KUBERNETES).write_text(_kustomization(digests))


def _compose(digests: dict[str, str], composed: str) -> str:
    services = {}
    for service, described in yaml.safe_load(composed)["services"].items():
        found = re.match(rf"{REPOSITORY}/([a-z-]+):", described["image"])
        if found and found[1] in digests:
            services[service] = {"image": digests[found[1]]}
    head = "# docker compose -f docker-compose.yml -f compose.digests.yml up --detach --no-build\n"
    return head + yaml.safe_dump({"services": services})


def _kustomization(digests: dict[str, str]) -> str:
    images = []
    for name, digest in sorted(digests.items()):
        place, _, sha256 = digest.partition("@")
        images.append({"name": f"{REPOSITORY}/{name}", "newName": place, "digest": sha256})
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": images,
    }
    return "# The kustomization.yaml of a component that an overlay names last.\n" + yaml.safe_dump(
        component, sort_keys=False
    )
