"""Networks on PyTorch; imports torch, so import this module only where it is installed."""

import logging
from typing import Literal

import torch
from torch import nn

from cxr_serving.runtime import DeviceError, FloatArray

_log = logging.getLogger("cxr.torch")
# Runs before a recording: libraries choose their algorithms in the first ones.
_RUNS_BEFORE_RECORDING = 3


def cuda_is_available() -> bool:
    """Whether PyTorch sees a CUDA device."""
    return torch.cuda.is_available()


def choose_device(choice: str) -> str:
    """The device that a setting means; `auto` is the first CUDA device, or the CPU.

    Raises:
        DeviceError: A CUDA device is asked for, and PyTorch sees none.
    """
    if choice.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"the device is set to {choice}, and PyTorch sees no NVIDIA GPU here.")
    if choice != "auto":
        return choice
    return "cuda:0" if torch.cuda.is_available() else "cpu"


class TorchRuntime:
    """A module in evaluation mode, in full float32 precision, on one device.

    On a GPU the kernels of a run are recorded once for a batch size and replayed as one (CUDA
    graphs): launched one by one from Python, those of a small network take longer than they work.
    """

    name: Literal["torch"] = "torch"

    def __init__(self, module: nn.Module, *, device: str, threads: int) -> None:
        if device.startswith("cuda"):
            # TF32 keeps 10 bits of a product's mantissa: enough to leave the CPU's outputs
            # by more than the 1e-3 that both runtimes are held to.
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        else:
            torch.set_num_threads(threads)
        self.device = device
        self._module = module.eval().to(device)
        self._replays = device.startswith("cuda")
        self._recorded: dict[tuple[int, ...], _Recorded] = {}

    @torch.inference_mode()
    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        batch = torch.from_numpy(images)
        outputs = self._replay(batch) if self._replays else None
        if outputs is None:
            outputs = _outputs_of(self._module, batch.to(self.device))
        return tuple(output.float().cpu().numpy() for output in outputs)

    def _replay(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
        """The outputs by a recording; None where the network cannot be recorded."""
        # Five recordings serve every batch of up to 16.
        size = 1 << (len(batch) - 1).bit_length()
        shape = (size, *batch.shape[1:])
        if shape not in self._recorded:
            try:
                with torch.cuda.device(self.device):
                    self._recorded[shape] = _Recorded(self._module, shape, self.device)
            except RuntimeError as error:
                self._replays = False
                _log.warning("Runs are not recorded on %s: %s", self.device, error)
                return None
        return self._recorded[shape].run(batch)


class _Recorded:
    """A run of one shape, recorded on the current CUDA device; RuntimeError where it cannot be."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], device: str) -> None:
        self._input = torch.zeros(shape, device=device)
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_RUNS_BEFORE_RECORDING):
                module(self._input)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, with networks of their own, go on meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = _outputs_of(module, self._input)

    def run(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs for `batch`, of at most as many images; good until the next run."""
        self._input[: len(batch)].copy_(batch)
        self._graph.replay()
        return tuple(output[: len(batch)] for output in self._outputs)


def _outputs_of(module: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    outputs = module(images)
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
