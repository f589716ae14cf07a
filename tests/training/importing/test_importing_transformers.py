"""Vision transformers are imported and served with the probabilities that timm gives."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import timm
import torch
from torch import nn

from cxr_classifier.app import create_app
from cxr_classifier.network import TokenNetwork, build_member
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    CLASSIFY_PATH,
    Architecture,
    ClassifyResponse,
    Finding,
    ModelManifest,
    ServiceInfo,
)
from cxr_serving.settings import RuntimeChoice
from cxr_training.cli import main
from cxr_training.importing import ModelImportError
from cxr_training.importing.checkpoints import read_checkpoint
from cxr_training.importing.networks import adopt, probes
from cxr_training.importing.sources import read_eva_x
from support.eva_x_checkpoints import (
    SIDE_PX,
    random_network,
    save_as_authors,
    timm_probabilities,
)
from support.images import encoded, radiograph_like

TOLERANCE = 1e-4
IMAGES = [radiograph_like(SIDE_PX, SIDE_PX, seed=seed) for seed in range(2)]


def settled(name: str, **arguments: Any) -> nn.Module:
    """Our network around one of timm's, with norms that do something."""
    torch.manual_seed(0)
    three = {"in_chans": 3, "channel_mean": [0.4, 0.5, 0.6], "channel_std": [0.2, 0.25, 0.3]}
    network = build_member(
        Architecture(library="timm", name=name, arguments=three | arguments), len(Finding)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        # Some begin with a head that says next to nothing.
        network.head.weight.normal_(std=0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("test_vit", {}),
        ("test_vit", {"global_pool": "avg"}),
        ("test_vit", {"global_pool": "avg", "fc_norm": False}),
        ("test_vit2", {}),
        ("beit_base_patch16_224", {"embed_dim": 64, "depth": 1, "num_heads": 2}),
    ],
)
def test_logits_are_timms_and_a_map_is_the_logit_patch_by_patch(
    name: str, arguments: dict[str, Any]
) -> None:
    network: Any = settled(name, **arguments)
    assert isinstance(network, TokenNetwork)
    patches: Any = network.backbone.patch_embed
    side = patches.img_size
    image = torch.rand(2, 1, *side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, cams = network(image)
        expected = network.backbone(network.as_trained(image))
    assert cams.shape == (2, 14, *patches.grid_size)
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(cams.mean(dim=(2, 3)), expected, atol=TOLERANCE, rtol=0)
    assert float(cams.flatten(2).std(dim=2).min()) > 1e-3, "the map is flat"


def test_a_patch_shows_up_where_it_lies() -> None:
    """What a token adds to the logit appears in its own cell alone."""
    network: Any = settled("test_vit", global_pool="avg")
    image = torch.rand(1, 1, *network.backbone.patch_embed.img_size)
    with torch.inference_mode():
        tokens = network.backbone.forward_features(network.as_trained(image))
        before = network._of_patches(tokens)
        cell, first = 7, network.backbone.num_prefix_tokens
        other = tokens.clone()
        # One token twice, the other way round: the mean stays, so does the norm's scale.
        other[:, [first + cell, first + 9]] = tokens[:, [first + 9, first + cell]]
        after = network._of_patches(other)
    moved = (after - before).abs().amax(dim=1).flatten() > 1e-6
    assert set(np.flatnonzero(moved.numpy())) == {7, 9}


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("test_vit", {"global_pool": "map"}, "neither the mean of its patches nor a token"),
        ("test_vit", {"global_pool": "max"}, "neither the mean of its patches nor a token"),
        ("deit_tiny_distilled_patch16_224", {}, "neither the mean of its patches nor a token"),
    ],
)
def test_a_head_that_sees_something_else_is_refused(
    name: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        settled(name, **arguments)


def test_transformers_are_not_averaged() -> None:
    from cxr_classifier.network import build_network

    architecture = Architecture(library="timm", name="test_vit", arguments={"members": 2})
    with pytest.raises(ValueError, match="of vision transformers it is not known"):
        build_network(architecture, len(Finding))


@pytest.mark.parametrize(
    ("size", "reference"),
    [("tiny", 14), ("tiny", 16), ("small", 14), pytest.param("base", 16, marks=pytest.mark.slow)],
)
def test_the_authors_names_and_positions_become_timms(
    tmp_path: Path, size: str, reference: int
) -> None:
    theirs = random_network(size, reference=reference)
    foreign = read_eva_x(save_as_authors(theirs, tmp_path / "ft.pth", reference=reference))
    assert foreign.licence == "MIT"
    assert foreign.architecture.arguments["ref_feat_shape"] == [reference, reference]
    network: Any = build_member(foreign.architecture, 14)
    network.backbone.load_state_dict(foreign.state)
    images = torch.from_numpy(probes(foreign.spec)[:2])
    with torch.inference_mode():
        logits, cams = network.eval()(images)
        expected = theirs(network.as_trained(images))
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(cams.mean(dim=(2, 3)), expected, atol=TOLERANCE, rtol=0)
    assert float(expected.std()) > 0.01


def test_what_is_no_fine_tuned_eva_x_is_refused(tmp_path: Path) -> None:
    network = random_network("tiny")
    before = save_as_authors(network, tmp_path / "mim.pt", pre_trained=True)
    with pytest.raises(ModelImportError, match="was pre-trained and has no outputs yet"):
        read_eva_x(before)
    five = save_as_authors(random_network("tiny", outputs=5), tmp_path / "chexpert.pth")
    with pytest.raises(ModelImportError, match="has 5 outputs: say with --labels"):
        read_eva_x(five)
    other = timm.create_model("test_vit", num_classes=14)
    torch.save({"model": other.state_dict()}, tmp_path / "other.pth")
    with pytest.raises(ModelImportError, match="none of EVA-X's networks"):
        read_eva_x(tmp_path / "other.pth")
    odd = dict(read_checkpoint(tmp_path / "chexpert.pth")["model"])  # type: ignore[index]
    odd["rope.freqs_cos"] = odd["rope.freqs_cos"] * 0.9
    torch.save({"model": odd}, tmp_path / "odd.pth")
    (tmp_path / "labels.csv").write_text("label\n" + "Mass\n" * 5)
    with pytest.raises(ModelImportError, match="of no grid"):
        read_eva_x(tmp_path / "odd.pth", tmp_path / "labels.csv")


def test_another_size_of_image_is_the_networks_own(tmp_path: Path) -> None:
    from cxr_training.importing.sources import Description, read_timm

    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=14, img_size=96)
    torch.save(module.state_dict(), tmp_path / "vit.pth")
    labels = tmp_path / "labels.csv"
    labels.write_text("label\n" + "".join(f"{finding.value}\n" for finding in Finding))
    foreign = read_timm(tmp_path / "vit.pth", Description("test_vit"), labels=labels, size_px=96)
    adopted: Any = adopt(foreign).network
    assert adopted.backbone.patch_embed.img_size == (96, 96)
    assert foreign.spec.width_px == 96


@pytest.fixture(scope="module")
def eva_x(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """The network, and the model folder that one command made of its authors' file."""
    folder = tmp_path_factory.mktemp("eva")
    network = random_network("tiny")
    path = save_as_authors(network, folder / "eva_x_tiny.pth")
    line = ["models", "import", "eva-x", "--weights", str(path), "--name", "eva-x-tiny"]
    assert main([*line, "--models", str(folder / "models")]) == 0
    return network, folder / "models/classifier/eva-x-tiny"


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
async def test_a_served_transformer_agrees_with_timm_and_says_what_it_is(
    eva_x: tuple[nn.Module, Path], runtime: RuntimeChoice
) -> None:
    network, folder = eva_x
    expected = timm_probabilities(network, IMAGES)
    app = create_app(ClassifierSettings(model_dir=folder, runtime=runtime, device="cpu"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=60
        ) as client,
    ):
        assert await app.state.service.loaded()
        info = ServiceInfo.model_validate((await client.get("/info")).json())
        assert (info.licence, info.calibrated, info.has_maps) == ("MIT", False, True)
        for image, row in zip(IMAGES, expected, strict=True):
            answer = await client.post(
                CLASSIFY_PATH,
                params={"explain": 14},
                files={"image": ("image.png", encoded(image))},
            )
            response = ClassifyResponse.model_validate(answer.json())
            assert response.calibrated is False
            assert [cam.finding for cam in response.cams] == [x.finding for x in response.findings]
            for one, cam in zip(response.findings, response.cams, strict=True):
                column = list(Finding).index(one.finding)
                assert one.probability == pytest.approx(float(row[column]), abs=TOLERANCE)
                logit = float(np.mean(cam.values))
                assert 1 / (1 + np.exp(-logit)) == pytest.approx(one.probability, abs=1e-3)
                assert np.shape(cam.values) == (14, 14)


def test_manifest_and_card_say_licence_maps_and_that_nothing_is_calibrated(
    eva_x: tuple[nn.Module, Path],
) -> None:
    text = (eva_x[1] / "manifest.json").read_text()
    manifest = ModelManifest.model_validate_json(text)
    assert manifest.licence == "MIT"
    assert not manifest.calibrated
    assert manifest.extra["maps"] == "the head applied to each patch's token"
    card = (eva_x[1] / "MODEL_CARD.md").read_text()
    assert "Not calibrated here" in card
    assert "Licence of the weights: MIT" in card
