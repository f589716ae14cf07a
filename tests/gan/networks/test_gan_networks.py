"""The networks do what their papers say."""

import pytest
import torch

from cxr_gan.networks import build_discriminator, build_generator
from cxr_gan.networks.pggan import (
    EqualisedConv,
    PgganDiscriminator,
    PgganGenerator,
    pixel_norm,
    with_deviation,
)
from cxr_gan.networks.spec import Family, GeneratorSpec


def spec_of(family: Family, side_px: int = 16, labels: tuple[str, ...] = ()) -> GeneratorSpec:
    return GeneratorSpec(
        family=family, side_px=side_px, latent_size=8, channels=4, most_channels=8, labels=labels
    )


@pytest.mark.parametrize("family", ["dcgan", "pggan"])
@pytest.mark.parametrize("labels", [(), ("Mass", "Hernia")])
@pytest.mark.parametrize("side_px", [8, 64])
def test_a_generator_gives_images_that_its_discriminator_takes(
    family: Family, labels: tuple[str, ...], side_px: int
) -> None:
    spec = spec_of(family, side_px, labels)
    generator, discriminator = build_generator(spec).eval(), build_discriminator(spec)
    asked = torch.ones(4, len(labels))
    made = generator(torch.randn(4, 8), asked)
    assert made.shape == (4, 1, side_px, side_px)
    assert -1 <= made.min() < made.max() <= 1
    assert discriminator(made, asked).shape == (4,)


@pytest.mark.parametrize("family", ["dcgan", "pggan"])
def test_the_label_changes_image_and_logit_and_none_is_no_finding(family: Family) -> None:
    torch.manual_seed(0)
    spec = spec_of(family, labels=("Mass", "Hernia"))
    generator, discriminator = build_generator(spec).eval(), build_discriminator(spec).eval()
    latent = torch.randn(3, 8)
    mass = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    assert torch.equal(generator(latent), generator(latent, torch.zeros(3, 2)))
    assert not torch.equal(generator(latent), generator(latent, mass))
    made = generator(latent)
    assert not torch.equal(discriminator(made), discriminator(made, mass))


@pytest.mark.parametrize("family", ["dcgan", "pggan"])
def test_labels_of_another_number_are_refused(family: Family) -> None:
    generator = build_generator(spec_of(family))
    with pytest.raises(ValueError, match="labels of shape"):
        generator(torch.randn(2, 8), torch.ones(2, 1))


def test_a_new_layer_begins_as_nothing_and_ends_alone() -> None:
    generator, discriminator = (
        PgganGenerator(spec_of("pggan")),
        PgganDiscriminator(spec_of("pggan")),
    )
    latent, images = torch.randn(4, 8), torch.randn(4, 1, 16, 16)
    generator.grow(8)
    small = generator(latent)
    assert small.shape[-1] == 8
    generator.grow(16, 0.0)
    twice = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(generator(latent), twice)
    discriminator.grow(8)
    halved = discriminator(torch.nn.functional.avg_pool2d(images, 2))
    discriminator.grow(16, 0.0)
    torch.testing.assert_close(discriminator(images), halved)
    generator.grow(16)
    assert not torch.allclose(generator(latent), twice)


def test_equalised_layers_give_unit_variance_from_weights_of_unit_variance() -> None:
    torch.manual_seed(0)
    layer = EqualisedConv(64, 64, 3, gain=1.0)
    assert layer.weight.std().item() == pytest.approx(1.0, abs=0.02)
    inner = layer(torch.randn(8, 64, 12, 12))[:, :, 1:-1, 1:-1]
    assert inner.std().item() == pytest.approx(1.0, abs=0.05)


def test_pixel_norm_puts_every_pixel_on_a_sphere() -> None:
    normed = pixel_norm(torch.randn(2, 5, 3, 3) * 100)
    torch.testing.assert_close(normed.square().mean(1), torch.ones(2, 3, 3))


def test_the_deviation_is_that_of_each_group_and_zero_of_copies() -> None:
    copies = torch.randn(1, 2, 3, 3).expand(4, -1, -1, -1)
    varied = torch.randn(4, 2, 3, 3)
    plane = with_deviation(torch.cat([copies, varied]))[:, -1]
    assert plane[:4].max() < 1e-3
    expected = varied.std(0, unbiased=False).mean()
    torch.testing.assert_close(plane[4:], expected.expand(4, 3, 3), rtol=1e-3, atol=1e-3)


def test_a_dcgan_starts_from_the_papers_weights_and_has_no_four_pixel_form() -> None:
    torch.manual_seed(0)
    first = next(build_generator(spec_of("dcgan", 64)).parameters())
    assert first.std().item() == pytest.approx(0.02, rel=0.1)
    with pytest.raises(ValueError, match="8 px or more"):
        build_generator(spec_of("dcgan", 4))
