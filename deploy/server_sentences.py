"""`python -m deploy.server_sentences > frontend/src/i18n/sentences.json`: what the page translates.

Notes, problems, reasons and warnings come from the gateway as English sentences. They are found in
the code that makes them, with `{0}` and so on for what is put in, so that the page can tell each of
them in the reader's language; a sentence that is not in the page's file fails a test.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_GATEWAY = ROOT / "services/gateway/cxr_gateway"
# Whose sentences a study carries.
SOURCES = (
    *(
        _GATEWAY / "imaging/dicom" / f"{name}.py"
        for name in ("decode", "display", "geometry", "metadata", "suitability")
    ),
    _GATEWAY / "imaging/quality.py",
    _GATEWAY / "ood/detector.py",
    _GATEWAY / "ood/rules.py",
    _GATEWAY / "analysis/triage.py",
    _GATEWAY / "inference/failures.py",
    ROOT / "services/serving/cxr_serving/imaging/colour.py",
)
# They write documents and the system's status, no study.
_NOT_OF_A_STUDY = {"markdown", "rules", "triage_status", "_rule_text", "_lines"}
_MODELS = ROOT / "models/ood"


def sentences() -> list[str]:
    """Each once, in alphabetical order."""
    found = {one for path in SOURCES for one in _in_code(ast.parse(path.read_text()))}
    for manifest in _MODELS.glob("*/manifest.json"):
        found |= set(json.loads(manifest.read_text())["extra"]["kind_reasons"].values())
    return sorted(found)


def _in_code(tree: ast.AST) -> Iterator[str]:
    """The sentences under a node that are neither documentation nor an error's."""
    if isinstance(tree, ast.Raise):
        return
    if isinstance(tree, ast.FunctionDef) and tree.name in _NOT_OF_A_STUDY:
        return
    if isinstance(tree, ast.keyword) and tree.arg == "description":
        return
    text = _text(tree)
    if text is not None:
        if " " in text and text.endswith((".", "?")) and "\n" not in text:
            yield text
        # What is put into one may hold others.
        if isinstance(tree, ast.JoinedStr):
            for part in tree.values:
                if isinstance(part, ast.FormattedValue):
                    yield from _in_code(part.value)
        return
    for child in ast.iter_child_nodes(tree):
        if not _is_documentation(child):
            yield from _in_code(child)


def _is_documentation(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # A template of `str.format`.
        return node.value.replace("{}", "{0}")
    if isinstance(node, ast.JoinedStr):
        parts, places = [], 0
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            else:
                parts.append(f"{{{places}}}")
                places += 1
        return "".join(parts)
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sentences(), indent=1, ensure_ascii=False) + "\n")
