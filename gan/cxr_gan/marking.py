"""What says, inside a PNG, that nobody was ever irradiated for it.

Beside plain text fields stands the IPTC's digital source type (XMP, 2022), by which other
programs tell a synthetic image.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxr_gan.generator import GeneratorIdentity, Images

MARK_KEY = "cxr-gan-synthetic"
DISCLAIMER = "Synthetic image made by a generative model. It shows no person. Not for diagnosis."
_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
Iptc4xmpExt:DigitalSourceType=\
"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>
</rdf:RDF>
</x:xmpmeta>"""


@dataclass(frozen=True, slots=True)
class SyntheticMark:
    """Where a synthetic image comes from; with these it can be made again."""

    model: str
    version: str
    sha256: str
    seed: str
    labels: str
    truncation: float | None

    @classmethod
    def of(
        cls, identity: GeneratorIdentity, seed: str, labels: str, truncation: float | None
    ) -> Self:
        """The mark of an image of the generator `identity`."""
        return cls(identity.name, identity.version, identity.sha256, seed, labels, truncation)


def write_marked(path: Path, image: Images, mark: SyntheticMark) -> None:
    """Write `image`, uint8 [H, W], as a PNG that says what it is."""
    said = PngInfo()
    said.add_text("Title", "Synthetic chest radiograph")
    said.add_text("Disclaimer", DISCLAIMER)
    said.add_text("Source", f"{mark.model} {mark.version} (sha256 {mark.sha256})")
    said.add_itxt("Comment", f"seed {mark.seed}, labels {mark.labels}")
    said.add_itxt(MARK_KEY, json.dumps(asdict(mark), sort_keys=True, ensure_ascii=False))
    said.add_itxt("XML:com.adobe.xmp", _XMP)
    Image.fromarray(image).save(path, "PNG", pnginfo=said)


def read_mark(path: Path) -> SyntheticMark | None:
    """The mark of a PNG; None where it carries none, as every real radiograph's file does."""
    with Image.open(path) as image:
        image.load()
        text = image.info.get(MARK_KEY)
    return None if text is None else SyntheticMark(**json.loads(text))
