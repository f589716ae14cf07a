"""A generator on disk, published or as its run left it, and the images it makes."""

from cxr_gan.published.folder import open_generator
from cxr_gan.published.manifest import GeneratorManifest
from cxr_gan.published.synthesizer import Synthesizer

__all__ = ["GeneratorManifest", "Synthesizer", "open_generator"]
