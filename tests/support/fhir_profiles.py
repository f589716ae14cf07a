"""Holds resources to the FHIR profiles of `docs/fhir`.

Only the features of a differential that these profiles use are interpreted. A profile with another
one is refused when it is read, so that nothing that a profile says goes unchecked.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Resource = dict[str, Any]
FILES = sorted((Path(__file__).parents[2] / "docs/fhir").glob("*.json"))
# Of an element also `fixed[x]` and `pattern[x]`. What it is called, and what a receiver has to do
# with it (mustSupport), cannot be wrong in a resource.
_INTERPRETED = {
    "element": {
        *("id", "path", "short", "sliceName", "mustSupport"),
        *("min", "max", "type", "binding", "slicing", "minValueDecimal", "maxValueDecimal"),
    },
    "type": {"code", "profile", "targetProfile"},
    "binding": {"strength", "valueSet"},
    "slicing": {"discriminator", "rules"},
    "discriminator": {"type", "path"},
    "include": {"system", "concept"},
}


class Profiles:
    """Profiles with their value sets.

    Raises:
        ValueError: one of them says something that is not interpreted.
    """

    def __init__(self, resources: list[Resource]) -> None:
        by_url = {one["url"]: one for one in resources}
        self.structures = {url: one for url, one in by_url.items() if "differential" in one}
        self._includes: dict[str, list[Resource]] = {
            url: one["compose"]["include"] for url, one in by_url.items() if "compose" in one
        }
        for include in (one for includes in self._includes.values() for one in includes):
            _refuse_others("include", include)
        for profile in self.structures.values():
            for element in elements(profile):
                _refuse_unknown(element)

    def violations(self, root: Resource) -> list[str]:
        """What is wrong by the profiles that it, what it contains and its entries claim."""
        contained = root.get("contained", [])
        inside = [entry["resource"] for entry in root.get("entry", [])]
        known = {"#": root} | {f"#{one['id']}": one for one in contained}
        known |= {f"{one['resourceType']}/{one['id']}": one for one in inside}
        found = []
        for one in (root, *contained, *inside):
            profiles = [self.structures[url] for url in _claimed(one)]
            if {profile["type"] for profile in profiles} != {one["resourceType"]}:
                found.append(f"{one['resourceType']}.meta.profile: there is none of its type")
            for profile in profiles:
                found += self._check(profile, one, known)
        return found

    def _check(self, profile: Resource, resource: Resource, known: Resource) -> Iterator[str]:
        for element in elements(profile):
            where, most = element["id"], element.get("max", "*")
            for parent in values(profile, where.rpartition(".")[0], resource):
                there = list(_children(profile, where, parent))
                if len(there) < element.get("min", 0) or (most != "*" and len(there) > int(most)):
                    yield f"{where}: there are {len(there)}"
                for name, value in there:
                    for wrong in self._wrong(profile, element, name, value, known):
                        yield f"{where}: {wrong}"

    def _wrong(
        self, profile: Resource, element: Resource, name: str, value: Any, known: Resource
    ) -> Iterator[str]:
        if not _has_value(element, value):
            yield "it is another value"
        if "minValueDecimal" in element and value < element["minValueDecimal"]:
            yield "it is less"
        if "maxValueDecimal" in element and value > element["maxValueDecimal"]:
            yield "it is more"
        if "binding" in element and not self._is_in(element["binding"]["valueSet"], value):
            yield "it is not in the value set"
        if "slicing" in element:
            slices = re.compile(re.escape(element["id"]) + r":[^.]+")
            names = [one["id"] for one in elements(profile) if slices.fullmatch(one["id"])]
            if not any(_is_of_slice(profile, one, value) for one in names):
                yield "it is of no slice"
        for kind in element.get("type", []):
            if not _is_of_type(element, name, value):
                yield f"it is no {kind['code']}"
            elif kind["code"] == "Reference":
                yield from self._wrong_reference(kind, value, known)
            elif "profile" in kind and not set(kind["profile"]) & set(_claimed(value)):
                yield f"it is none of {kind['profile']}"

    def _wrong_reference(self, kind: Resource, value: Resource, known: Resource) -> Iterator[str]:
        for url in kind.get("profile", []):
            yield from self._check(self.structures[url], value, known)
        target = known.get(value.get("reference", ""), {})
        targets = set(kind.get("targetProfile", []))
        if targets and "reference" in value and not targets & set(_claimed(target)):
            yield f"it leads to none of {sorted(targets)}"

    def _is_in(self, url: str, value: Any) -> bool:
        codings = [{"code": value}] if isinstance(value, str) else value["coding"]
        return any(
            coding.get("system", include["system"]) == include["system"]
            and coding["code"] in [one["code"] for one in include.get("concept", [coding])]
            for include in self._includes[url]
            for coding in codings
        )


def read_profiles() -> Profiles:
    """Those of the repository."""
    return Profiles([json.loads(path.read_text()) for path in FILES])


def elements(profile: Resource) -> list[Resource]:
    """What a profile says of each element."""
    found: list[Resource] = profile["differential"]["element"]
    return found


def values(profile: Resource, where: str, resource: Resource) -> list[Any]:
    """What a resource has for the element of this id."""
    if where == profile["type"]:
        return [resource]
    above = values(profile, where.rpartition(".")[0], resource)
    return [one for parent in above for _, one in _children(profile, where, parent)]


def _children(profile: Resource, where: str, parent: Resource) -> Iterator[tuple[str, Any]]:
    name, _, is_sliced = where.rpartition(".")[2].partition(":")
    names = re.compile(name.removesuffix("[x]") + "[A-Z].*" if name.endswith("[x]") else name)
    for key in filter(names.fullmatch, parent):
        for one in parent[key] if isinstance(parent[key], list) else [parent[key]]:
            if not is_sliced or _is_of_slice(profile, where, one):
                yield key, one


def _is_of_slice(profile: Resource, where: str, value: Resource) -> bool:
    said = {one["id"]: one for one in elements(profile)}
    names = [one["path"] for one in said[where.rpartition(":")[0]]["slicing"]["discriminator"]]
    return all(
        name in value
        and _has_value(said[f"{where}.{name}"], value[name])
        and _is_of_type(said[f"{where}.{name}"], name, value[name])
        for name in names
    )


def _is_of_type(element: Resource, name: str, value: Any) -> bool:
    choice, kinds = element["path"].rpartition(".")[2], element.get("type", [])
    if choice.endswith("[x]"):
        return all(name == choice[:-3] + one["code"][0].upper() + one["code"][1:] for one in kinds)
    return all(value.get("resourceType", "Reference") == one["code"] for one in kinds)


def _has_value(element: Resource, value: Any) -> bool:
    fixed = [said for key, said in element.items() if key.startswith("fixed")]
    patterns = [said for key, said in element.items() if key.startswith("pattern")]
    return all(value == one for one in fixed) and all(_matches(one, value) for one in patterns)


def _matches(pattern: Any, value: Any) -> bool:
    if isinstance(pattern, dict):
        return all(key in value and _matches(said, value[key]) for key, said in pattern.items())
    if isinstance(pattern, list):
        return all(any(_matches(said, one) for one in value) for said in pattern)
    return bool(pattern == value)


def _claimed(resource: Resource) -> list[str]:
    found: list[str] = resource.get("meta", {}).get("profile", [])
    return found


def _refuse_unknown(element: Resource) -> None:
    slicing = element.get("slicing", {"rules": "closed", "discriminator": []})
    kinds = element.get("type", [{}])
    _refuse_others("element", {key for key in element if not re.match("(fixed|pattern)[A-Z]", key)})
    for name, said in (
        ("binding", element.get("binding", {})),
        ("slicing", slicing),
        *(("type", one) for one in kinds),
        *(("discriminator", one) for one in slicing["discriminator"]),
    ):
        _refuse_others(name, said)
    if (
        len(kinds) != 1
        or element.get("binding", {"strength": "required"})["strength"] != "required"
        or slicing["rules"] != "closed"
        or {one["type"] for one in slicing["discriminator"]} - {"pattern", "type"}
        or element["path"] != re.sub(r":[^.]+", "", element["id"])
    ):
        raise ValueError(f"{element['id']} has a feature that is not interpreted")


def _refuse_others(name: str, said: Iterable[str]) -> None:
    if others := set(said) - _INTERPRETED[name]:
        raise ValueError(f"{name}: {others} are not interpreted")
