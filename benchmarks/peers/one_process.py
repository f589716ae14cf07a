"""The service that a user would write first: one process, one model after the other."""

import io
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from benchmarks.peers.eager import EagerModels


def create_app() -> FastAPI:
    """FastAPI over eager PyTorch."""
    app = FastAPI()
    models = EagerModels()

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, Any]:
        image = Image.open(io.BytesIO(await file.read()))
        return models.analyse([image])[0]

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), port=int(sys.argv[1]), log_level="warning")
