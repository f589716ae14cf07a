"""Imported weights of torchxrayvision are served with the probabilities of the library."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from cxr_classifier.app import create_app
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, ClassifyResponse, Finding, Level, ModelManifest
from cxr_serving.settings import RuntimeChoice
from cxr_training.cli import main
from support.images import encoded
from support.xrv_checkpoints import (
    THRESHOLDS,
    drawn_images,
    library_outputs,
    random_densenet,
    save,
    xrv,
)

TOLERANCE = 1e-3
OUTPUTS = xrv.datasets.default_pathologies


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The library's network with operating points, saved whole as its releases are."""
    network = random_densenet(2, op_threshs=torch.from_numpy(THRESHOLDS))
    path = tmp_path_factory.mktemp("given") / "mine.pt"
    return network, save(network, path, before_1_6=True)


@pytest.fixture(scope="module")
def folder(checkpoint: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    line = ["models", "import", "torchxrayvision", "--weights", str(checkpoint[1])]
    line += ["--licence", "Apache-2.0"]
    assert main([*line, "--name", "xrv-mine", "--models", str(models)]) == 0
    return models / "classifier" / "xrv-mine"


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
async def test_the_service_agrees_with_the_library(
    checkpoint: tuple[Any, Path], folder: Path, runtime: RuntimeChoice
) -> None:
    network, _ = checkpoint
    thresholds = torch.from_numpy(THRESHOLDS)
    # What the library says: probabilities stretched so that each threshold is one half.
    stretched = library_outputs(network, drawn_images(3))
    network.op_threshs = None
    probabilities = torch.sigmoid(library_outputs(network, drawn_images(3)))
    network.op_threshs = thresholds
    settings = ClassifierSettings(model_dir=folder, runtime=runtime, device="cpu")
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=60
        ) as client,
    ):
        assert await app.state.service.loaded()
        for image, expected, against in zip(drawn_images(3), probabilities, stretched, strict=True):
            answer = await client.post(
                CLASSIFY_PATH,
                params={"explain": 1},
                files={"image": ("image.png", encoded(image))},
            )
            assert answer.status_code == 200, answer.text
            response = ClassifyResponse.model_validate(answer.json())
            assert response.model.name == "xrv-mine"
            assert {one.finding for one in response.findings} == set(Finding)
            for one in response.findings:
                column = OUTPUTS.index(one.finding.value)
                assert one.probability == pytest.approx(float(expected[column]), abs=TOLERANCE)
                assert (one.level is not Level.UNLIKELY) == bool(against[column] >= 0.5)
            logit = float(np.mean(response.cams[0].values))
            top = response.findings[0].probability
            assert 1 / (1 + np.exp(-logit)) == pytest.approx(top, abs=TOLERANCE)


def test_the_folder_says_what_was_dropped_and_where_it_is_from(folder: Path) -> None:
    manifest = ModelManifest.model_validate_json((folder / "manifest.json").read_text())
    assert manifest.extra["dropped"] == OUTPUTS[14:]
    assert manifest.extra["outputs"] == OUTPUTS
    assert manifest.extra["imported"]["file"] == "mine.pt"
    assert manifest.architecture.library == "timm"
    thresholds = {label.name: label.threshold for label in manifest.labels}
    assert thresholds == {
        name: float(THRESHOLDS[row]) for row, name in enumerate(OUTPUTS) if name in thresholds
    }
    card = (folder / "MODEL_CARD.md").read_text()
    assert "Black arrives as -1024, white as 1024." in card
    assert "Lung Opacity" in card
