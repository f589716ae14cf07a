"""The service that a user would write first: one process, one model after the other."""

import io
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from benchmarks.peers.eager import EagerModels


def create_app(detector: Path) -> FastAPI:
    """FastAPI over eager PyTorch.

    Args:
        detector: the folder of a published one.
    """
    app = FastAPI()
    models = EagerModels(detector)

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, Any]:
        image = Image.open(io.BytesIO(await file.read()))
        return models.analyse([image])[0]

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning")
