"""The objects of an overlay of deploy/kubernetes, put together as kustomize does it.

Only what the manifests use: `resources`, strategic merge `patches`, `namespace`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "deploy/kubernetes"
OVERLAYS = ("cpu", "gpu")
Object = dict[str, Any]
_KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "patches"}


def objects_of(folder: Path) -> list[Object]:
    """Every object that `kubectl apply -k folder` would send."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    # A field that this reader does not know would be lost in silence.
    assert set(kustomization) <= _KNOWN, folder
    found: list[Object] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += objects_of(path) if path.is_dir() else documents(path)
    for patch in kustomization.get("patches", []):
        [change] = documents(folder / patch["path"])
        [place] = [number for number, one in enumerate(found) if _named(one) == _named(change)]
        found[place] = _merged(found[place], change)
    return found


def documents(path: Path) -> list[Object]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """The objects of these kinds by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def pods(objects: list[Object]) -> dict[str, Object]:
    """The pod specification of every workload, by its name."""
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    return {name: one["spec"]["template"]["spec"] for name, one in workloads.items()}


def container(pod: Object) -> Object:
    """The pod's only container."""
    [only] = pod["containers"]
    return dict(only)


def environment(pod: Object) -> dict[str, str | None]:
    """The container's variables; None where the value comes from a secret."""
    return {entry["name"]: entry.get("value") for entry in container(pod)["env"]}


def sources(folder: Path) -> Iterator[Path]:
    """Every YAML file of a kustomization but the list itself."""
    return (path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")


def _named(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _merged(base: Any, change: Any) -> Any:
    if isinstance(base, dict) and isinstance(change, dict):
        rescored = {name: _merged(base.get(name), value) for name, value in change.items()}
        return {**base, **rescored}
    if isinstance(base, list) and isinstance(change, list) and _are_named([*base, *change]):
        after = {entry["name"]: entry for entry in base}
        for entry in change:
            after[entry["name"]] = _merged(after.get(entry["name"]), entry)
        return list(after.values())
    return change


def _are_named(entries: list[Any]) -> bool:
    return all(isinstance(entry, dict) and "name" in entry for entry in entries)
