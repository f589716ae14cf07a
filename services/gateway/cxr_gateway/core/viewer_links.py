"""Links of a study to other viewers, such as OHIF or Weasis, as an operator writes them."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from cxr_gateway.core.schemas import ViewerLink

# What the page puts in, from the study's DICOM file.
PLACES = ("study_uid", "patient_id", "accession")
SCHEMES = ("https", "http", "weasis")
_MAX_NAME_CHARS = 40
_MAX_URL_CHARS = 2000
_PLACE = re.compile(r"\{([^{}]*)\}")


def viewer_links(entries: Sequence[str], setting: str) -> list[ViewerLink]:
    """The links of `entries`, each `NAME=URL`, in their order.

    Raises:
        ValueError: a sentence that names `setting` and the viewer whose entry is no link.
    """
    links: list[ViewerLink] = []
    for entry in entries:
        name, parted, url = (part.strip() for part in entry.partition("="))
        if not parted or not 0 < len(name) <= _MAX_NAME_CHARS:
            raise ValueError(
                f"{setting}: `{entry[:80]}` is not NAME=URL with a name of at most "
                f"{_MAX_NAME_CHARS} characters"
            )
        if (wrong := _wrong(url)) is not None:
            raise ValueError(f"{setting}, {name}: {wrong}")
        if name in {link.name for link in links}:
            raise ValueError(f"{setting}: there are two links called {name}")
        links.append(ViewerLink(name=name, url=url))
    return links


def _wrong(url: str) -> str | None:
    """What keeps a template from being one; None if nothing does."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL cannot be read"
    places = _PLACE.findall(url)
    unknown = next((place for place in places if place not in PLACES), None)
    is_web = parts.scheme != "weasis"
    known = ", ".join(f"{{{place}}}" for place in PLACES)
    reasons = (
        (
            len(url) > _MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url,
            f"the URL has to be at most {_MAX_URL_CHARS} ASCII characters, without spaces",
        ),
        (
            parts.scheme not in SCHEMES,
            f"the URL has to begin with one of {', '.join(f'{one}:' for one in SCHEMES)}",
        ),
        (is_web and not parts.hostname, "the URL names no host"),
        # A patient's file must not decide where a reader goes, and a password is for nobody.
        (
            is_web and not {"{", "@"}.isdisjoint(parts.netloc),
            "the URL's host holds a place to be filled, or a name and a password",
        ),
        (unknown is not None, f"{{{unknown}}} is not one of {known}"),
        (not {"{", "}"}.isdisjoint(_PLACE.sub("", url)), "a brace of the URL has no other half"),
        (not places, f"the URL names no study; put in one of {known}"),
    )
    return next((reason for is_wrong, reason in reasons if is_wrong), None)
