"""The same two models under LitServe, with its dynamic batching."""

import io
import sys
from typing import Any

import litserve
from fastapi import UploadFile
from PIL import Image

from benchmarks.peers.eager import EagerModels


class ModelsAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve is not annotated
    """Decode, batch, analyse, respond."""

    def setup(self, device: str) -> None:
        """Load both models in the worker."""
        del device
        self.models = EagerModels()

    def decode_request(self, request: UploadFile) -> Image.Image:
        """The uploaded file as a image."""
        return Image.open(io.BytesIO(request.file.read()))

    def predict(self, batch: list[Image.Image]) -> list[dict[str, Any]]:
        """Analyse a batch."""
        return self.models.analyse(batch)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return output


if __name__ == "__main__":
    api = ModelsAPI(max_batch_size=8, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run("127.0.0.1", int(sys.argv[1]), generate_client_file=False, log_level="error")
