"""Networks from the papers, built from a specification."""

from torch import nn

from cxr_gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from cxr_gan.networks.pggan import PgganDiscriminator, PgganGenerator
from cxr_gan.networks.spec import GeneratorSpec


def build_generator(spec: GeneratorSpec) -> nn.Module:
    """The generator, fully grown; `forward(latent, labels=None)` as `spec` says.

    Raises:
        ValueError: a side for which the family has no layers.
    """
    return DcganGenerator(spec) if spec.family == "dcgan" else PgganGenerator(spec)


def build_discriminator(spec: GeneratorSpec) -> nn.Module:
    """The discriminator that goes with it; `forward(images, labels=None)` gives logits [n]."""
    return DcganDiscriminator(spec) if spec.family == "dcgan" else PgganDiscriminator(spec)
