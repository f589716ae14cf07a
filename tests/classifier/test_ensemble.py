"""Several networks as one: its outputs are the means of theirs, on either runtime."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cxr_classifier.network import (
    CamClassifier,
    CamEnsemble,
    CamNetwork,
    build_member,
    build_network,
    ensemble_state,
    load_weights,
)
from cxr_contracts import Architecture
from cxr_training.classifier.publish import export

IMAGE = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def architecture(**arguments: object) -> Architecture:
    return Architecture(
        library="timm", name="test_efficientnet", arguments={"in_chans": 1, **arguments}
    )


@pytest.fixture(scope="module")
def alone() -> list[CamNetwork]:
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(build_member(architecture(drop_rate=0.3), 14).eval())
    return networks


def together(
    alone: list[CamNetwork], more: dict[str, Tensor] | None = None, **arguments: object
) -> CamClassifier:
    network = build_network(architecture(members=len(alone), drop_rate=0.3, **arguments), 14)
    return load_weights(network, ensemble_state([one.state_dict() for one in alone]) | (more or {}))


def test_logits_and_maps_are_the_means_over_the_members(alone: list[CamNetwork]) -> None:
    with torch.inference_mode():
        logits, cams = together(alone)(IMAGE)
        outputs = [one(IMAGE) for one in alone]
    torch.testing.assert_close(logits, torch.stack([each for each, _ in outputs]).mean(dim=0))
    torch.testing.assert_close(cams, torch.stack([each for _, each in outputs]).mean(dim=0))
    torch.testing.assert_close(cams.mean(dim=(2, 3)), logits)
    assert not torch.allclose(outputs[0][0], outputs[1][0])


def test_the_mirror_image_and_the_mean_normal_cam_are_of_the_whole(alone: list[CamNetwork]) -> None:
    mean = torch.randn(14, 2, 2)
    mean -= mean.mean(dim=(1, 2), keepdim=True)
    with torch.inference_mode():
        plain = together(alone)
        whole = together(alone, {"mean_normal_cam": mean}, mirrored=True, mean_normal_cam=[2, 2])
        (logits, cams), (mirror_logits, mirror_cams) = plain(IMAGE), plain(IMAGE.flip(3))
        found_logits, found_cams = whole(IMAGE)
    torch.testing.assert_close(found_logits, (logits + mirror_logits) / 2)
    torch.testing.assert_close(found_cams, (cams + mirror_cams.flip(3)) / 2 - mean)
    torch.testing.assert_close(found_cams.mean(dim=(2, 3)), found_logits)


def test_one_head_over_the_features_side_by_side_answers_as_the_whole(
    alone: list[CamNetwork],
) -> None:
    network = together(alone)
    with torch.inference_mode():
        features = network.features(IMAGE).mean(dim=(2, 3))
        weight, bias = network.linear()
        torch.testing.assert_close(features @ weight.T + bias, network(IMAGE)[0])
    assert features.shape[1] == 3 * alone[0].head.in_features


def test_the_tensors_are_named_by_their_member_and_of_one_as_they_always_were(
    alone: list[CamNetwork],
) -> None:
    own = alone[0].state_dict()
    assert all(name.startswith("backbone.") for name in own)
    single = build_network(architecture(members=1, drop_rate=0.3), 14)
    assert list(single.state_dict()) == list(own)
    state = together(alone).state_dict()
    assert set(state) == {f"members.{index}.{name}" for index in range(3) for name in own}
    with pytest.raises(RuntimeError, match=r"members\.2"):
        build_network(architecture(members=3), 14).load_state_dict(
            ensemble_state([one.state_dict() for one in alone[:2]])
        )


def test_one_onnx_file_answers_as_pytorch_does_on_any_batch(
    alone: list[CamNetwork], tmp_path: Path
) -> None:
    mean = torch.randn(14, 2, 2)
    network = together(alone[:2], {"mean_normal_cam": mean}, mean_normal_cam=[2, 2])
    # Compares both runtimes, on a batch and on one image alone.
    export(network, tmp_path, np.asarray(IMAGE))
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "weights.safetensors"}


@pytest.mark.parametrize("members", [0, -1, 1.5, "two"])
def test_a_number_of_members_that_is_none_is_refused(members: object) -> None:
    with pytest.raises(ValueError, match="a whole number from 1 on"):
        build_network(architecture(members=members), 14)


def test_a_single_network_is_built_as_a_member_and_several_as_an_ensemble() -> None:
    assert isinstance(build_network(architecture(), 14), CamNetwork)
    assert isinstance(build_network(architecture(members=2), 14), CamEnsemble)
