"""Settings that both readers have; each adds its prefix, port and model."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from cxr_serving.settings import ServiceSettings

RuntimeChoice = Literal["auto", "onnxruntime", "torch"]


class ReaderSettings(ServiceSettings):
    """From the environment, under the prefix of the reader; nothing here is secret."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8001, ge=0, le=65535)
    model_dir: Path = Field(default=Path("models"), description="A published model's folder.")
    runtime: RuntimeChoice = Field(
        default="auto", description="`auto` is PyTorch where CUDA is, ONNX Runtime elsewhere."
    )
    device: str = Field(
        default="auto", description="PyTorch's device; `auto` is `cuda:0` where CUDA is, or `cpu`."
    )
    threads: int = Field(
        default=0, ge=0, description="Of one run of the model on a CPU; 0: as many as cores."
    )
    # On a CPU a larger batch takes memory (100 MB from 2 to 4 with the classifier at 320 px) and
    # its images come no faster; a GPU is the place for more.
    max_batch_size: int = Field(default=2, ge=1, le=64)
    max_wait_ms: float = Field(
        default=2.0, ge=0, le=1000, description="How long a batch of two or more waits to fill."
    )
    max_queue_length: int = Field(default=32, ge=1, description="The next image gets a 503.")
    decode_threads: int = Field(default=2, ge=1, le=32)
    max_upload_bytes: int = Field(
        default=51_000_000, gt=0, description="Holds `max_pixels` as an uncompressed PNG."
    )
    max_inside_bytes: int = Field(
        default=200_000_000, gt=0, description="Of all uploads being read at the same time."
    )
    max_pixels: int = Field(default=50_000_000, gt=0)
    shutdown_s: int = Field(default=10, ge=0, description="For requests that are being answered.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def model_threads(self) -> int:
        """Threads of one run of the model: the setting, or the cores this process may use."""
        return self.threads or len(os.sched_getaffinity(0))
