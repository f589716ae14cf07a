import pytest
import torch

from cxr_classifier.network import build_member, build_network, load_weights
from cxr_contracts import Architecture


def _architecture(name: str = "tf_efficientnet_lite0", **arguments: object) -> Architecture:
    return Architecture(library="timm", name=name, arguments={"in_chans": 1, **arguments})


def test_the_mean_of_a_class_activation_map_is_the_logit() -> None:
    torch.manual_seed(0)
    network = build_network(_architecture(), 14).eval()
    with torch.inference_mode():
        logits, cams = network(torch.randn(2, 1, 128, 128))
    assert logits.shape == (2, 14)
    assert cams.shape == (2, 14, 4, 4)
    torch.testing.assert_close(cams.mean(dim=(2, 3)), logits)


def test_the_logit_is_what_the_backbones_own_head_answers() -> None:
    torch.manual_seed(0)
    network = build_member(_architecture(drop_rate=0.3), 14).eval()
    image = torch.randn(2, 1, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(network(image)[0], network.backbone(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dilated", [True, False])
def test_an_output_stride_of_16_gives_a_finer_map_of_the_same_weights(dilated: bool) -> None:
    coarse = build_network(_architecture(), 14)
    fine = build_network(_architecture(output_stride=16, dilated=dilated), 14)
    load_weights(fine, coarse.state_dict())
    assert fine(torch.randn(1, 1, 128, 128))[1].shape == (1, 14, 8, 8)
    dilations = {m.dilation for m in fine.modules() if isinstance(m, torch.nn.Conv2d)}
    assert dilations == ({(1, 1), (2, 2)} if dilated else {(1, 1)})


def test_a_mirrored_output_is_the_mean_of_both_and_its_map_lies_as_the_image_does() -> None:
    torch.manual_seed(0)
    plain = build_network(_architecture(), 14).eval()
    both = load_weights(build_network(_architecture(mirrored=True), 14), plain.state_dict())
    image = torch.randn(2, 1, 96, 96)
    with torch.inference_mode():
        (logits, cams), (mirror_logits, mirror_cams) = plain(image), plain(image.flip(3))
        found_logits, found_cams = both(image)
        torch.testing.assert_close(found_logits, (logits + mirror_logits) / 2)
        torch.testing.assert_close(found_cams, (cams + mirror_cams.flip(3)) / 2)
        torch.testing.assert_close(both(image.flip(3))[0], found_logits)


def test_what_normal_maps_have_in_common_is_subtracted_and_the_mean_stays_the_logit() -> None:
    torch.manual_seed(0)
    plain = build_network(_architecture(), 14).eval()
    relative = build_network(_architecture(mean_normal_cam=[3, 3]), 14)
    mean = torch.randn(14, 3, 3)
    mean -= mean.mean(dim=(1, 2), keepdim=True)
    load_weights(relative, {**plain.state_dict(), "mean_normal_cam": mean})
    image = torch.randn(2, 1, 96, 96)
    with torch.inference_mode():
        (logits, cams), (same_logits, relative_cams) = plain(image), relative(image)
        torch.testing.assert_close(same_logits, logits)
        torch.testing.assert_close(relative_cams, cams - mean)
        torch.testing.assert_close(relative_cams.mean(dim=(2, 3)), logits)
        relative.train()
        assert relative(image)[1].shape == cams.shape
    with pytest.raises(RuntimeError, match="mean_normal_cam"):
        load_weights(
            build_network(_architecture(mean_normal_cam=[4, 4]), 14), relative.state_dict()
        )


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network = build_network(_architecture(drop_rate=0.5), 3).eval()
    image = torch.randn(2, 1, 64, 64)
    assert torch.equal(network(image)[0], network(image)[0])
    network.train()
    assert not torch.equal(network(image)[0], network(image)[0])


def test_weights_of_another_network_are_refused() -> None:
    state = build_network(_architecture(), 14).state_dict()
    loaded = load_weights(build_network(_architecture(), 14), state)
    assert not loaded.training
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(build_network(_architecture(), 13), state)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (Architecture(library="keras", name="x", arguments={}), "only 'timm'"),
        (_architecture("no_such_model"), "no model"),
    ],
)
def test_an_unknown_architecture_is_refused_by_name(
    architecture: Architecture, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        build_network(architecture, 14)
