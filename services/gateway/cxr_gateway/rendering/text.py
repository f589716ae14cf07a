"""Letters: Pillow's own scalable face, measured, wrapped and cut to a width."""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

from PIL import ImageFont

_ELLIPSIS = "..."
# A probability as triage writes it into its reason: three decimals or more.
_PROBABILITY = re.compile(r"(?<![\d.])([01])\.(\d{2})(\d+)(?![\d]|\.\d)")


@lru_cache(maxsize=32)
def face(size_px: int) -> ImageFont.FreeTypeFont:
    """The built-in face at `size_px`; it needs Pillow with FreeType, as every wheel has."""
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install its wheel")
    return font


def printable(text: str) -> str:
    """`text` in the letters that the face has (Latin): accents stay, other scripts become `?`."""
    folded = "".join(
        character if character.isprintable() else " "
        for character in unicodedata.normalize("NFC", text)
    )
    return "".join(
        character if ord(character) < 0x180 else _LOOKALIKES.get(character, "?")
        for character in folded
    )


_LOOKALIKES = {
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u2026": "...",
    "\u201c": '"',
    "\u201d": '"',
    "\u2265": ">=",
    "\u2264": "<=",
    "\u2212": "-",
}


def percent(probability: float) -> str:
    """As the page shows it: whole per cent, where something is never nothing, nor all."""
    if 0 < probability < 0.005:
        return "<1%"
    if 0.995 <= probability < 1:
        return ">99%"
    # Half a per cent goes up, as on the page.
    return f"{int(probability * 100 + 0.5)}%"


def in_percent(sentence: str) -> str:
    """A reason with its probabilities as percentages; no digit is lost that tells two apart."""
    return _PROBABILITY.sub(lambda found: f"{int(found[1] + found[2])}.{found[3]}%", sentence)


def cut(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, shortened at its end with dots so that it is at most `width` pixels long."""
    if font.getlength(text) <= width:
        return text
    lengths = range(len(text) + 1)
    fitting = bisect_right(lengths, width, key=lambda n: font.getlength(text[:n] + _ELLIPSIS)) - 1
    return text[:fitting].rstrip() + _ELLIPSIS if fitting > 0 else ""


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float, max_lines: int) -> list[str]:
    """`text` in at most `max_lines` lines of at most `width` pixels; the last one is cut."""
    lines: list[str] = []
    rest = text.split()
    while rest and len(lines) < max_lines:
        if len(lines) == max_lines - 1:
            lines.append(cut(" ".join(rest), font, width))
            break
        n = 1
        while n < len(rest) and font.getlength(" ".join(rest[: n + 1])) <= width:
            n += 1
        lines.append(cut(" ".join(rest[:n]), font, width))
        rest = rest[n:]
    return lines
