"""`python -m deploy.sbom [FOLDER]`: what each built image is made of, as CycloneDX documents.

Asked of the images themselves: Debian's packages, Python distributions, the models with the
sha256 of their weights; of the page, what the lock file puts into it.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import yaml
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from cxr_serving.product import VERSION

ROOT = Path(__file__).parents[1]
_VERSION = SchemaVersion.V1_6
_DEBIAN = ("dpkg-query", "--show", "--showformat", r"${Package}\t${Version}\t${Architecture}\n")
_VENV = "/opt/venv/bin/python"
_PYTHON = """
import importlib.metadata, json, pathlib
manifests = pathlib.Path("/app/models").rglob("manifest.json")
print(json.dumps({
    "python": [[d.name, d.version] for d in importlib.metadata.distributions()],
    "models": [json.loads(path.read_text()) for path in manifests],
}))
"""


class SbomError(Exception):
    """A document cannot be made; the message is a sentence."""


def main(arguments: list[str]) -> int:
    """Write a document for each image; 2 if there is no engine or an image is not built."""
    folder = Path(arguments[0]) if arguments else ROOT / "sbom"
    try:
        client = docker.from_env()
        for service, image in images().items():
            path = folder / f"{service}.cdx.json"
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(document(bom_of(service, contents(client, service, image))))
            print(path)
    except docker.errors.ImageNotFound as error:
        print(f"{error.explanation}: run `make images` first.", file=sys.stderr)
        return 2
    except docker.errors.DockerException as error:
        print(f"No Docker engine answers: {error}", file=sys.stderr)
        return 2
    return 0


def images() -> dict[str, str]:
    """The image of each service of docker-compose.yml that is built here, at this version."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {
        name: str(service["image"]).partition(":")[0] + f":{VERSION}"
        for name, service in services.items()
        if "build" in service
    }


def contents(client: docker.DockerClient, service: str, image: str) -> dict[str, Any]:
    """What is in an image: `debian` [name, version, architecture], `python`, `npm`, `models`."""
    found: dict[str, Any] = {"debian": list(_rows(_run(client, image, *_DEBIAN)))}
    if service == "frontend":
        return {**found, "npm": list(page_packages(ROOT / "frontend/package-lock.json"))}
    if service != "database":
        found |= json.loads(_run(client, image, _VENV, "-c", _PYTHON))
    return found


def page_packages(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of what the page is built from and carries; tools of the build are not."""
    for place, package in json.loads(lock.read_text())["packages"].items():
        if place and not package.get("dev"):
            yield place.rpartition("node_modules/")[2], package["version"]


def bom_of(service: str, found: Mapping[str, Any]) -> Bom:
    """The document of one image."""
    bom = Bom()
    bom.metadata.component = Component(
        name=f"open-chest-xray-reader/{service}", version=VERSION, type=ComponentType.CONTAINER
    )
    for name, version, architecture in found.get("debian", []):
        purl = PackageURL("deb", "debian", name, version, {"arch": architecture})
        bom.components.add(_library(name, version, purl))
    for kind, rows in (("pypi", found.get("python", [])), ("npm", found.get("npm", []))):
        for name, version in rows:
            space, _, last = name.rpartition("/")
            bom.components.add(
                _library(name, version, PackageURL(kind, space or None, last, version))
            )
    for manifest in found.get("models", []):
        bom.components.add(_model(manifest))
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def document(bom: Bom) -> str:
    """`bom` as JSON. Raises SbomError if it is not a valid document."""
    text = make_outputter(bom, OutputFormat.JSON, _VERSION).output_as_string(indent=2)
    if (fault := JsonStrictValidator(_VERSION).validate_str(text)) is not None:
        raise SbomError(f"The document breaks CycloneDX's schema: {fault}")
    return text + "\n"


def _library(name: str, version: str, purl: PackageURL) -> Component:
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=purl.to_string(),
    )


def _model(manifest: Mapping[str, Any]) -> Component:
    sha256 = manifest["weights"]["sha256"]
    return Component(
        name=manifest["name"],
        version=manifest["version"],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        bom_ref=f"model:{manifest['role']}:{sha256}",
    )


def _run(client: docker.DockerClient, image: str, *command: str) -> str:
    output: bytes = client.containers.run(
        image,
        list(command[1:]),
        entrypoint=[command[0]],
        remove=True,
        network_disabled=True,
        read_only=True,
    )
    return output.decode()


def _rows(text: str) -> Iterator[list[str]]:
    return (line.split("\t") for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
