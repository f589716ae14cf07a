"""ONNX Runtime and PyTorch give the same outputs, from the same folder, to 1e-3."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_classifier import predictor as classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_detector.fused import is_fused, member_folders
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.predictor import DetectorPredictor
from cxr_detector.settings import DetectorSettings
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder, choose_model, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.runtime import choose_runtime
from cxr_serving.settings import RuntimeChoice
from support.images import radiograph_like

pytestmark = pytest.mark.slow
MODELS = Path(__file__).parents[2] / "models"
RUNTIMES: tuple[RuntimeChoice, ...] = ("onnxruntime", "torch")
DEVICES = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]
IMAGES = [
    DecodedImage(radiograph_like(width, height, seed=width), "png")
    for width, height in ((1024, 1024), (600, 900), (1500, 700), (96, 96))
]


@pytest.fixture(params=["random", "published"])
def classifier_model(request: pytest.FixtureRequest) -> ModelFolder:
    random: Path = request.getfixturevalue("classifier_folder")
    published = MODELS / "classifier" / "lite0-cxr"
    return open_model_folder(random if request.param == "random" else published, "classifier")


@pytest.fixture(params=["random", "published"])
def detector_model(request: pytest.FixtureRequest) -> ModelFolder:
    random: Path = request.getfixturevalue("detector_folder")
    published = choose_model(MODELS / "detector")
    return open_model_folder(random if request.param == "random" else published, "detector")


def test_the_runtime_is_pytorch_where_cuda_is_and_onnx_runtime_elsewhere() -> None:
    assert choose_runtime("auto") == ("torch" if torch.cuda.is_available() else "onnxruntime")


@pytest.mark.parametrize("device", DEVICES)
def test_the_classifiers_probabilities_and_maps_agree(
    classifier_model: ModelFolder, device: str
) -> None:
    results = []
    for runtime in RUNTIMES:
        model = classifier.load_predictor(
            ClassifierSettings(model_dir=classifier_model.path, runtime=runtime, device=device)
        )
        assert model.runtime == runtime
        outputs = model.predict([model.prepare(image) for image in IMAGES])
        results.append(
            (
                np.stack([model.calibration.probabilities(one.logits) for one in outputs]),
                np.stack([one.cams for one in outputs]),
            )
        )
    (onnx_probabilities, onnx_cams), (torch_probabilities, torch_cams) = results
    assert np.abs(onnx_probabilities - torch_probabilities).max() < 1e-3
    # Maps are in logits, some tens of units wide where the weights are random.
    assert np.abs(onnx_cams - torch_cams).max() < 1e-3 * max(1.0, np.abs(onnx_cams).max())


@pytest.mark.parametrize("device", DEVICES)
def test_the_detectors_scores_and_boxes_agree(detector_model: ModelFolder, device: str) -> None:
    from cxr_detector.torch_runtime import load_torch_runtime

    is_one = not is_fused(detector_model.manifest.architecture)
    for network in [detector_model] if is_one else member_folders(detector_model):
        runtimes = (
            OnnxRuntime(network.onnx(), threads=1),
            load_torch_runtime(network, device=device, threads=1),
        )
        model = DetectorPredictor(network.manifest, runtimes[0])
        images = np.stack([model.prepare(image).inputs[0].pixels for image in IMAGES])
        (from_onnx,), (from_torch,) = (runtime.run(images) for runtime in runtimes)
        assert from_onnx.shape == from_torch.shape
        assert np.abs(from_onnx[:, 4:] - from_torch[:, 4:]).max() < 1e-3
        assert np.abs(from_onnx[:, :4] - from_torch[:, :4]).max() < 0.5


@pytest.mark.parametrize("device", DEVICES)
def test_the_detector_reports_the_same_boxes(detector_model: ModelFolder, device: str) -> None:
    reported = []
    for runtime in RUNTIMES:
        model = load_detector(
            # 8 bits answer otherwise, and have a gate of their own.
            DetectorSettings(
                model_dir=detector_model.path, runtime=runtime, device=device, int8="off"
            )
        )
        assert model.runtime == runtime
        reported.append(model.predict([model.prepare(image) for image in IMAGES]))
    for one, other in zip(*reported, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-3)
        assert len(one.boxes) == len(other.boxes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("count", [1, 3, 4])
def test_what_is_replayed_on_a_gpu_is_what_would_be_launched(count: int) -> None:
    from cxr_serving.torch_runtime import TorchRuntime

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten())
    recorded = TorchRuntime(module, device="cuda:0", threads=1)
    random = np.random.default_rng(count)
    for _ in range(2):
        images = random.random((count, 3, 32, 32), dtype=np.float32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(images).cuda()).cpu().numpy()
        (found,) = recorded.run(images)
        np.testing.assert_allclose(found, expected, atol=1e-5)
