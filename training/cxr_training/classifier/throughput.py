"""How fast a run goes, and what holds it up: loading, or the network."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

Batch = TypeVar("Batch")


@dataclass
class Throughput:
    """Counts images and the time spent waiting for them, in this process."""

    device: torch.device
    images: int = 0
    waited_s: float = 0.0
    started: float = field(default_factory=time.monotonic)
    stopped: float | None = None
    _use: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def seconds(self) -> float:
        """Since the beginning, until it was stopped."""
        return (self.stopped or time.monotonic()) - self.started

    def stop(self) -> None:
        """Count no further."""
        self.stopped = time.monotonic()

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches, with the time that each lets one wait."""
        asked = time.monotonic()
        for batch in batches:
            self.waited_s += time.monotonic() - asked
            yield batch
            asked = time.monotonic()

    def look_at_gpu(self) -> None:
        """Take a sample of its use."""
        use = gpu_use_percent(self.device)
        if use is not None:
            self._use.append(use)

    def facts(self, n_processes: int = 1) -> dict[str, Any]:
        """Images a second of all processes, the share of time spent waiting, the GPU's use."""
        seconds = max(self.seconds, 1e-9)
        facts: dict[str, Any] = {
            "images_per_s": self.images * n_processes / seconds,
            "data_wait_share": self.waited_s / seconds,
        }
        if self.device.type == "cuda":
            facts["gpu_peak_memory_mb"] = torch.cuda.max_memory_allocated(self.device) / 2**20
            if self._use:
                facts["gpu_use_percent"] = sum(self._use) / len(self._use)
        return facts


def gpu_use_percent(device: torch.device) -> int | None:
    """The share of the last moment in which the GPU worked; None where nobody can say."""
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.utilization(device)
    except Exception:  # no nvidia-ml-py, no driver library, a part of a GPU: a run must not end
        return None


def speed_in_words(facts: dict[str, Any]) -> str:
    """`facts` of a `Throughput` as part of a line."""
    words = f"{facts['images_per_s']:.1f} images/s"
    if "data_wait_share" in facts:
        words += f", {facts['data_wait_share']:.0%} of the time waiting for data"
    if "gpu_use_percent" in facts:
        words += f", GPU {facts['gpu_use_percent']:.0f}% used"
    elif "gpu_peak_memory_mb" in facts:
        words += f", GPU memory {facts['gpu_peak_memory_mb']:.0f} MB at most"
    return words
