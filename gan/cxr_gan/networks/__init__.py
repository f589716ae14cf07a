"""Networks from the papers, built from a specification."""

from torch import nn

from cxr_gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from cxr_gan.spec import GeneratorSpec


def build_generator(spec: GeneratorSpec) -> nn.Module:
    """The generator, fully grown; `forward(latent, labels=None)` as `spec` says."""
    return DcganGenerator(spec)


def build_discriminator(spec: GeneratorSpec) -> nn.Module:
    """The discriminator that goes with it."""
    return DcganDiscriminator(spec)
