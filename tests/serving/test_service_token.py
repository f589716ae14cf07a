"""The services' token: who does not have it is told nothing of the model."""

from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from cxr_classifier.app import create_app
from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, Problem
from cxr_gateway.inference.clients import open_clients
from cxr_serving.model_folder import open_model_folder
from cxr_serving.runtime import FloatArray
from support.fake_gateway import settings_for
from support.images import png

# pragma: allowlist nextline secret
TOKEN = "a-token-of-the-test"


class ZeroRuntime:
    """A network that finds nothing."""

    name: Literal["onnxruntime"] = "onnxruntime"
    device = "cpu"

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        cams = np.zeros((len(images), 14, 3, 3), np.float32)
        return cams.mean(axis=(2, 3)), cams


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401),
        ("Bearer ", 401),
        ("Bearer another", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}", 200),
    ],
)
async def test_the_model_is_for_those_who_have_the_token(
    classifier_folder: Path, sent: str | None, status: int
) -> None:
    manifest = open_model_folder(classifier_folder, "classifier").manifest
    settings = ClassifierSettings(service_token=SecretStr(TOKEN))
    app = create_app(settings, ClassifierPredictor(manifest, ZeroRuntime()))
    headers = {} if sent is None else {"Authorization": sent}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        assert await app.state.service.loaded()
        answer = await client.post(CLASSIFY_PATH, files={"image": png()}, headers=headers)
        assert answer.status_code == status
        if status != 200:
            problem = Problem.model_validate_json(answer.content)
            assert problem.type == "urn:cxr:problem:unknown-caller"
            assert TOKEN not in answer.text
        # A scraper and a probe have none.
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("token", [TOKEN, "another"])
async def test_a_gateway_that_has_the_token_is_answered(
    classifier_folder: Path, tmp_path: Path, token: str
) -> None:
    manifest = open_model_folder(classifier_folder, "classifier").manifest
    theirs = ClassifierSettings(service_token=SecretStr(TOKEN))
    app = create_app(theirs, ClassifierPredictor(manifest, ZeroRuntime()))
    ours = settings_for(tmp_path, service_token=SecretStr(token))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with app.router.lifespan_context(app), open_clients(ours, http) as clients:
        assert await app.state.service.loaded()
        answer = await http.post(f"{ours.classifier_url}{CLASSIFY_PATH}", files={"image": png()})
        assert answer.status_code == (200 if token == TOKEN else 401)
        assert clients.classifier is not None
