"""MkDocs hooks: pages from outside docs/, and links that leave it.

README.md, CONTRIBUTING.md, SECURITY.md, CHANGELOG.md and the model cards are pages of the site.
A link to any other file of the repository becomes its text and path, for the site does not hold the
file; a link to a file that is not there is a warning, which `mkdocs build --strict` refuses.
"""

import logging
import re
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LOG = logging.getLogger("mkdocs.hooks.docs_site")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CARDS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("models/*/*/MODEL_CARD.md"))
# Of each page from elsewhere, its file in the repository and its place in the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
    **{card: card.removesuffix("/MODEL_CARD.md") + ".md" for card in _CARDS},
}
_SOURCES = {place: source for source, place in PAGES.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, a list of the model cards, and the cards' images."""
    for source, place in PAGES.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, place, content=text))
        for is_image, _, target in _LINK.findall(text):
            path = _resolved(source, target)
            if is_image and path and not path.startswith("docs/") and (ROOT / path).is_file():
                files.append(File.generated(config, path, content=(ROOT / path).read_bytes()))
    cards = "".join(f"- [{card[7:-14]}]({PAGES[card]})\n" for card in _CARDS)
    files.append(File.generated(config, "model-cards.md", content=f"# Model cards\n\n{cards}"))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links at the site's places."""
    place = page.file.src_uri
    if place == "model-cards.md":
        return markdown
    source = _SOURCES.get(place, f"docs/{place}")

    def link(found: "re.Match[str]") -> str:
        is_image, text, target = found.groups()
        path = _resolved(source, target)
        if path is None:
            return found[0]
        _, _, anchor = target.partition("#")
        if path.startswith("docs/") and not path.endswith((".json", ".yml")):
            inside: str | None = path.removeprefix("docs/")
        elif is_image:
            inside = path
        else:
            inside = PAGES.get(path) or PAGES.get(f"{path}/MODEL_CARD.md")
        if inside is None:
            if not (ROOT / path).exists():
                _LOG.warning("%s links to %s, which is not in the repository", source, target)
            return text if text.strip("`") == path else f"{text} (`{path}`)"
        to = relpath(inside, PurePosixPath(place).parent)
        return f"{is_image}[{text}]({to}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, markdown)


def _resolved(source: str, target: str) -> str | None:
    """The repository's path behind a link of `source`; None if it is an address or an anchor."""
    path = target.partition("#")[0]
    if not path or "://" in path or path.startswith("mailto:"):
        return None
    return normpath(PurePosixPath(source).parent / path)
