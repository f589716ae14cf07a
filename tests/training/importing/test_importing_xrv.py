"""Imported torchxrayvision weights agree with the library itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxr_classifier.calibration import Calibration
from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Finding
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import NO_OPERATING_POINT, ForeignNetwork, adopt
from cxr_training.importing.sources import read_xrv, xrv_outputs, xrv_releases
from support.xrv_checkpoints import (
    THRESHOLDS,
    drawn_images,
    library_outputs,
    random_densenet,
    save,
    settle,
    xrv,
)

TOLERANCE = 1e-4
NIH = [xrv_outputs().index(finding.value) for finding in Finding]
ALL = "densenet121-res224-all"


@pytest.fixture(scope="module")
def densenet() -> nn.Module:
    return random_densenet()


def probabilities(foreign: ForeignNetwork, side_px: int = 224) -> tuple[Tensor, Tensor]:
    """Ours [P, 14] of the images, in our order, and which are positive."""
    adopted = adopt(foreign)
    inputs = np.stack([preprocess(grey, foreign.spec) for grey in drawn_images(side_px=side_px)])
    with torch.inference_mode():
        logits, cams = adopted.network(torch.from_numpy(inputs))
    assert torch.allclose(cams.mean(dim=(2, 3)), logits)
    calibration = Calibration(adopted.selection.labels)
    ours = torch.from_numpy(np.stack([calibration.probabilities(row.numpy()) for row in logits]))
    possible = torch.tensor([point for point, _ in calibration.level_thresholds])
    return ours.float(), ours >= possible


@pytest.mark.parametrize("before_1_6", [False, True], ids=["zip", "before 1.6"])
def test_a_whole_module_agrees_with_the_library(
    densenet: nn.Module, tmp_path: Path, before_1_6: bool
) -> None:
    path = save(densenet, tmp_path / "mine.pt", before_1_6=before_1_6)
    foreign = read_xrv(path)
    ours, positive = probabilities(foreign)
    expected = torch.sigmoid(library_outputs(densenet, drawn_images()))[:, NIH]
    assert float((ours - expected).abs().max()) < TOLERANCE
    assert float(expected.std()) > 0.1, "the random network says the same of everything"
    assert {label.threshold_rule for label in adopt(foreign).selection.labels} == {
        NO_OPERATING_POINT
    }
    assert torch.equal(positive, ours >= 0.5)


def test_operating_points_in_the_module_are_honoured(tmp_path: Path) -> None:
    network = random_densenet(1, op_threshs=torch.from_numpy(THRESHOLDS))
    path = save(network, tmp_path / "mine.pt")
    ours, positive = probabilities(read_xrv(path))
    # The library stretches what it says so that each threshold comes to lie at one half.
    expected = library_outputs(network, drawn_images())[:, NIH]
    stretched = xrv.models.op_norm(ours, torch.from_numpy(THRESHOLDS[NIH]))
    assert float((stretched - expected).abs().max()) < TOLERANCE
    assert torch.equal(positive, expected >= 0.5)
    assert 0.1 < float(positive.float().mean()) < 0.9


def test_a_release_is_known_by_the_name_of_its_file(densenet: nn.Module, tmp_path: Path) -> None:
    path = save(densenet, tmp_path / xrv_releases()[ALL].file, before_1_6=True)
    # The library's own way to its weights: the file lies where it would have downloaded it.
    library = xrv.models.DenseNet(weights=ALL, cache_dir=str(tmp_path))
    ours, positive = probabilities(read_xrv(path))
    expected = library_outputs(library, drawn_images())[:, NIH]
    stretched = xrv.models.op_norm(ours, library.op_threshs[NIH])
    assert float((stretched - expected).abs().max()) < TOLERANCE
    assert torch.equal(positive, expected >= 0.5)


def test_the_resnet_agrees_with_the_library(tmp_path: Path) -> None:
    variant = "resnet50-res512-all"
    path = tmp_path / xrv_releases()[variant].file
    torch.manual_seed(0)
    network = xrv.models.torchvision.models.resnet50(num_classes=18)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    torch.save(settle(network).state_dict(), path)
    library = xrv.models.ResNet(weights=variant, cache_dir=str(tmp_path))
    ours, _ = probabilities(read_xrv(path, variant), side_px=512)
    expected = library_outputs(library, drawn_images(side_px=512))[:, NIH]
    stretched = xrv.models.op_norm(ours, library.op_threshs[NIH])
    assert float((stretched - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("variant", sorted(xrv_releases()))
def test_the_table_of_releases_is_the_librarys_own(variant: str) -> None:
    theirs, ours = xrv.models.model_urls[variant], xrv_releases()[variant]
    assert [output.label for output in ours.outputs] == theirs["labels"]
    assert ours.url == theirs["weights_url"]
    assert ours.size_px == theirs["input_resolution"]
    thresholds = [one.threshold for one in ours.outputs]
    found = [np.nan if value is None else value for value in thresholds]
    np.testing.assert_array_equal(found, np.float32(theirs["op_threshs"]))


def test_the_default_order_is_the_librarys_own() -> None:
    assert list(xrv_outputs()) == xrv.datasets.default_pathologies


@pytest.mark.parametrize("variant", ["chex", "rsna", "mimic_nb", "mimic_ch"])
def test_a_release_that_lacks_findings_is_refused(
    densenet: nn.Module, tmp_path: Path, variant: str
) -> None:
    path = save(densenet, tmp_path / "mine.pt")
    with pytest.raises(ModelImportError, match=r"no output for .*Infiltration, .*Hernia"):
        adopt(read_xrv(path, f"densenet121-res224-{variant}"))


def _name_outputs(network: Any) -> None:
    network.pathologies = [*xrv_outputs()[:13], "", *xrv_outputs()[14:]]


def _leave_hernia_untrained(network: Any) -> None:
    with torch.no_grad():
        network.classifier.bias[xrv_outputs().index("Hernia")] = 0.0


def _no_point_for_hernia(network: Any) -> None:
    thresholds = torch.from_numpy(THRESHOLDS.copy())
    thresholds[xrv_outputs().index("Hernia")] = float("nan")
    network.op_threshs = thresholds


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_name_outputs, "no output for Hernia"),
        (_leave_hernia_untrained, "was not trained on Hernia .*give --variant"),
        (_no_point_for_hernia, "no threshold for Hernia"),
    ],
)
def test_a_network_without_hernia_is_refused(
    tmp_path: Path, change: Callable[[nn.Module], None], reason: str
) -> None:
    network = random_densenet()
    change(network)
    path = save(network, tmp_path / "mine.pt")
    with pytest.raises(ModelImportError, match=reason):
        adopt(read_xrv(path))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: xrv.models.DenseNet(num_classes=5), "has 5 outputs and does not say what they"),
        (lambda: xrv.models.DenseNet(in_channels=3), r"size mismatch for features\.conv0\.weight"),
        (lambda: xrv.models.DenseNet(block_config=(6, 12, 32, 32)), "does not fill densenet121"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 1)), "no head and does not say"),
    ],
)
def test_another_architecture_is_refused(
    tmp_path: Path, network: Callable[[], nn.Module], reason: str
) -> None:
    path = save(network(), tmp_path / "mine.pt")
    with pytest.raises(ModelImportError, match=reason):
        adopt(read_xrv(path))


def test_grey_values_arrive_as_the_library_wants_them(densenet: nn.Module, tmp_path: Path) -> None:
    spec = read_xrv(save(densenet, tmp_path / "mine.pt")).spec
    grey = np.arange(256, dtype=np.uint8).repeat(224)[: 224 * 224].reshape(224, 224)
    theirs = xrv.datasets.normalize(grey, 255)
    np.testing.assert_allclose(preprocess(grey, spec)[0], theirs, atol=1e-3)
