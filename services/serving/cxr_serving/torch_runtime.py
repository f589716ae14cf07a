"""Networks on PyTorch; imports torch, so import this module only where it is installed."""

from typing import Literal

import torch
from torch import nn

from cxr_serving.runtime import DeviceError, FloatArray


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
    """A module in evaluation mode, in full float32 precision, on one device."""

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

    @torch.inference_mode()
    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        outputs = self._module(torch.from_numpy(images).to(self.device))
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)
