"""`python -m deploy.client_models > clients/python/cxr_client/models.py`: its models, from the API.

A generator for any document would wrap each nullable number in a class of its own; this document
is written by one library, so what can be in it is little.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.version import ROOT

# What the client's calls take and give; the rest follows.
WANTED = (
    *(
        "Study",
        "StudyPage",
        "SubmittedFiles",
        "SystemStatus",
        "Me",
        "Worklist",
        "Review",
        "ReviewChange",
    ),
    *("Report", "ReportText", "ReportChange", "ChangePage", "Problem"),
)
_HEAD = '''"""The API's models: `make generate` writes them from docs/openapi.json."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import {names}

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """What the gateway answers. A field of a later version is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
'''
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_FORMATS = {"date-time": "dt.datetime", "date": "dt.date"}


def source(document: dict[str, Any]) -> str:
    """The module, each model after those that it is made of."""
    schemas = document["components"]["schemas"]
    ordered: dict[str, None] = {}
    for name in WANTED:
        _visit(name, schemas, ordered)
    classes = "".join(f"\n\n{_class(name, schemas[name])}" for name in ordered)
    names = "Any, Literal" if "Any" in classes else "Literal"
    return _HEAD.format(names=names) + classes


def _visit(name: str, schemas: dict[str, Any], ordered: dict[str, None]) -> None:
    for inner in sorted({*_named(schemas[name])} - {*ordered}):
        _visit(inner, schemas, ordered)
    ordered[name] = None


def _named(part: Any) -> Iterator[str]:
    """The schemas that a schema refers to; a discriminator's mapping repeats them."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].rpartition("/")[2]
        for name, each in part.items():
            if name != "mapping":
                yield from _named(each)
    elif isinstance(part, list):
        for each in part:
            yield from _named(each)


def _class(name: str, schema: dict[str, Any]) -> str:
    if "enum" in schema:
        words = "".join(f'    {_constant(word)} = "{word}"\n' for word in schema["enum"])
        return f"class {name}(StrEnum):\n{_doc(schema['description'])}\n{words}"
    if "properties" not in schema:
        return f"{name} = {_type(schema)}\n" + _doc(schema["description"]).replace("    ", "")
    is_open = schema.get("additionalProperties") is True
    config = '\n    model_config = ConfigDict(extra="allow", frozen=True)\n' if is_open else ""
    fields = "".join(
        _field(field, described, is_required=field in schema.get("required", []))
        for field, described in schema["properties"].items()
    )
    return f"class {name}(Model):\n{_doc(schema['description'])}{config}\n{fields}"


def _field(name: str, described: dict[str, Any], *, is_required: bool) -> str:
    default = "" if is_required else f" = {_literal(described.get('default'))}"
    kind = _type(described)
    if not is_required and described.get("default") is None and "None" not in kind:
        kind = f"{kind} | None"
    return f"    {name}: {kind}{default}\n{_doc(described['description'])}"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if several := schema.get("anyOf", schema.get("oneOf")):
        return " | ".join(dict.fromkeys(_type(each) for each in several))
    if "const" in schema or "enum" in schema:
        words = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(json.dumps(word) for word in words)}]"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type(schema['items'])}]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"dict[str, {_type(inner) if isinstance(inner, dict) else 'Any'}]"
    return _FORMATS.get(schema.get("format", ""), _PLAIN.get(str(kind), "Any"))


def _literal(value: Any) -> str:
    return "None" if value is None else json.dumps(value)


def _constant(word: str) -> str:
    return word.upper().replace("-", "_").replace(" ", "_")


def _doc(text: str) -> str:
    words = " ".join(text.split())
    lines, line = [], '    """'
    for word in words.split(" "):
        if len(line) + len(word) > 95:
            lines.append(line.rstrip())
            line = "    "
        line += f"{word} "
    lines.append(line.rstrip())
    end = '"""' if len(lines) == 1 else '\n    """'
    return "\n".join(lines) + end + "\n"


def main() -> int:
    """Print the module."""
    sys.stdout.write(source(json.loads(Path(ROOT / "docs/openapi.json").read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
