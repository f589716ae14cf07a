"""The same two models under BentoML, with its adaptive batching."""

from typing import Any

import bentoml
from PIL import Image

from benchmarks.peers.eager import EagerModels


@bentoml.service(workers=1, traffic={"timeout": 120})
class Models:
    """One worker that holds both models."""

    def __init__(self) -> None:
        self.models = EagerModels()

    @bentoml.api(batchable=True, max_batch_size=8)  # type: ignore[untyped-decorator]  # as LitServe
    def predict(self, images: list[Image.Image]) -> list[dict[str, Any]]:
        """Analyse a batch."""
        return self.models.analyse(images)
